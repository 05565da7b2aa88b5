"""What holds for tests of the paper's studies."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from plain_runs import plain_rows, plain_workdir


@pytest.fixture(scope="module")
def plain_encoders() -> Iterator[None]:
    """The encoders of tests/run/plain_encoders.py."""
    with plain_rows():
        yield


@pytest.fixture(scope="session")
def plain_run(tmp_path_factory) -> Path:
    """The workdir of a finished run of two plain encoders, to be read only."""
    return plain_workdir(tmp_path_factory)
