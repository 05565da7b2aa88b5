"""A tiny study, fresh for each test."""

import importlib.util
from pathlib import Path

import pytest

CONFIG = Path(__file__).parents[1] / "configs" / "tiny_study.py"


@pytest.fixture
def tiny_study():
    """The config of tests/configs/tiny_study.py."""
    spec = importlib.util.spec_from_file_location("tiny_study", CONFIG)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()
