"""A tiny study, fresh for each test."""

import pytest
from tiny_run import tiny_study_config


@pytest.fixture
def tiny_study():
    """The config of tests/configs/tiny_study.py."""
    return tiny_study_config()
