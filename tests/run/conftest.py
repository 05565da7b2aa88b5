"""What holds for tests of whole runs."""

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(autouse=True)
def forget_each_run() -> Iterator[None]:
    """The programs that one run has compiled serve no other, and are hundreds of megabytes."""
    yield
    jax.clear_caches()
