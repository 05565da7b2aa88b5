"""What holds for tests of the paper's studies."""

from collections.abc import Iterator

import pytest
from plain_runs import plain_rows


@pytest.fixture(scope="module")
def plain_encoders() -> Iterator[None]:
    """The encoders of tests/run/plain_encoders.py."""
    with plain_rows():
        yield
