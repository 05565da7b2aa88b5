"""One process that has imported jax, from which this folder's tests fork theirs."""

from collections.abc import Iterator

import pytest
from forking import Forks


@pytest.fixture(scope="session")
def forks(environment) -> Iterator[Forks]:
    with Forks(environment) as forks:
        yield forks
