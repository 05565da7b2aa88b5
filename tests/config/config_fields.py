"""Configs with fields that may be wrong, and what the check reports about them."""

import pytest

from sketchjax.config import validate
from sketchjax.errors import ConfigError


def set_field(config, path, value):
    """As a config file could: any type in any place."""
    *sections, name = path.split(".")
    for section in sections:
        config = config[section]
    with config.ignore_type():
        config[name] = value


def problems_of(config, devices=1):
    with pytest.raises(ConfigError) as caught:
        validate(config, devices=devices)
    return caught.value.problems


def lines_of(config, devices=1):
    """The problems, none where the config can run; any other error passes through."""
    try:
        validate(config, devices=devices)
    except ConfigError as error:
        return error.problems
    return []
