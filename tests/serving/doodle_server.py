"""A server of synthetic doodles with an encoder that needs no model, for tests."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import numpy as np
import uvicorn
from fastapi import FastAPI

from sketchjax.data.sketch import Sketches
from sketchjax.data.sources.doodles import sketches
from sketchjax.index.memory import Memory
from sketchjax.retrieval.codes import Codes
from sketchjax.retrieval.drawings import as_sketches
from sketchjax.retrieval.outputs import Outputs
from sketchjax.serving.app import create_app
from sketchjax.serving.gallery import index_in_memory
from sketchjax.serving.server import address_of, config_of, listen
from sketchjax.serving.settings import Settings

CATEGORIES = ["cat", "clock", "fish", "house", "sun", "umbrella"]
HOUSE = [[[40, 40, 200, 200, 40], [110, 240, 240, 110, 110]], [[40, 120, 200], [110, 30, 110]]]
TOKEN = "a-token-of-the-tests"


class GridEncoder:
    """Bit 8 y + x of a code: whether a point is in column x of row y of an 8 by 8 grid."""

    bits = 64
    at_once = 3
    categories = CATEGORIES
    reads = frozenset({"strokes"})
    fingerprint = "cd" * 32

    def outputs(self, drawings) -> Outputs:
        """See `Encoder`; the probabilities rise with the first bits of the code."""
        given = as_sketches(drawings)
        grid = np.zeros((len(given), 64), bool)
        for row in range(len(given)):
            x, y = (given.points_of(row)[:, :2] // 32).T
            grid[row, 8 * y.astype(int) + x] = True
        weights = 1.0 + grid[:, : len(CATEGORIES)]
        codes = Codes(
            np.packbits(grid, axis=1, bitorder="little"),
            np.full(len(given), -1, np.int32),
            given.key_ids.astype(np.uint64),
            np.arange(len(given), dtype=np.int64),
            categories=tuple(CATEGORIES),
            model=self.fingerprint,
        )
        probabilities = weights / weights.sum(1, keepdims=True)
        return Outputs(codes, grid.astype(np.float32), probabilities.astype(np.float32))


class DoodleSource:
    """30 doodles of each category, as a source of an index."""

    name = "doodles"

    def count(self) -> int:
        """Drawings of all categories."""
        return 30 * len(CATEGORIES)

    def parts(self, encoder, start: int) -> Iterator[tuple[Sketches, Outputs]]:
        """A part for each category."""
        del start
        for category in CATEGORIES:
            drawn = sketches(category, 30, seed=5)
            yield drawn, encoder.outputs(drawn)


@contextlib.contextmanager
def no_progress(name: str, total: int):
    """A task that nobody watches."""
    del name, total
    yield lambda done: None


def doodle_index() -> Memory:
    """The doodles in memory."""
    return index_in_memory("doodles", DoodleSource(), GridEncoder(), no_progress)  # pyright: ignore[reportArgumentType]


def doodle_app(**settings) -> FastAPI:
    """A warm application over the doodles."""
    app = create_app(doodle_index(), GridEncoder(), Settings(**settings))
    app.state.service.warm()
    return app


@contextlib.contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """The address of a server of this process."""
    server, listening = uvicorn.Server(config_of(app)), listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        end = time.monotonic() + 60
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < end
            time.sleep(0.01)
        yield address_of(listening).rstrip("/")
    finally:
        server.should_exit = True
        thread.join()
