"""What holds for tests of whole runs."""

from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from plain_runs import plain_data, plain_rows

# A run maps some hundreds of memory regions for each program, and Linux allows 65,530.
_MAPS = 20_000


@pytest.fixture(autouse=True)
def forget_many_programs() -> Iterator[None]:
    """Forget compiled programs before there are so many that the process would crash."""
    yield
    if len(Path("/proc/self/maps").read_text().splitlines()) > _MAPS:
        jax.clear_caches()


@pytest.fixture(scope="module", autouse=True)
def plain_encoders() -> Iterator[None]:
    """The encoders of plain_encoders.py."""
    with plain_rows():
        yield


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory) -> Path:
    """The data folder of the tiny config, to be read only."""
    return plain_data(tmp_path_factory)
