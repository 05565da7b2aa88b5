"""What holds for tests of whole runs."""

from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from sketchjax import models
from sketchjax.fields import share, whole
from sketchjax.models.table import ENCODERS, Encoder

# A run maps some hundreds of memory regions for each program, and Linux allows 65,530.
_MAPS = 20_000


@pytest.fixture(autouse=True)
def forget_many_programs() -> Iterator[None]:
    """Forget compiled programs before there are so many that the process would crash."""
    yield
    if len(Path("/proc/self/maps").read_text().splitlines()) > _MAPS:
        jax.clear_caches()


@pytest.fixture(scope="module", autouse=True)
def plain_encoder() -> Iterator[None]:
    """The encoder `plain` of plain_encoder.py, as a row of its own."""
    settings = {"features": whole(8, 1), "dropout": share(0.2)}
    row = Encoder("plain_encoder:PlainEncoder", "sequence", settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "__path__", [*models.__path__, str(Path(__file__).parent)])
        patch.setitem(ENCODERS, "plain", row)
        yield
