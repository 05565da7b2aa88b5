"""An encoder without a network: fixed random projections of a drawing's points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sketchjax.ops.hamming import pack_codes
from sketchjax.retrieval.codes import Codes
from sketchjax.retrieval.drawings import as_sketches
from sketchjax.retrieval.outputs import Outputs


class Projecting:
    """An `Encoder`.

    bits: d, also the number of features; None: a model without codes.
    seed: of the projection, and so of the fingerprint.
    at: called with the number of drawings encoded so far; may raise.
    """

    def __init__(
        self, bits: int | None = 16, seed: int = 0, at: Callable[[int], None] = lambda _: None
    ):
        self.at_once = 1
        self.bits, self.fingerprint = bits, f"{seed:064x}"
        self.categories, self.reads = ["cat", "sun"], frozenset({"strokes"})
        self.encoded, self._at = 0, at
        self._matrix = np.random.default_rng(seed).normal(size=(32 * 32, bits or 1))

    def outputs(self, drawings: Any) -> Outputs:
        """Codes are the signs of projections of a histogram of the points."""
        self._at(self.encoded)
        sketches = as_sketches(drawings)
        cells = np.zeros((len(sketches), 32 * 32))
        for i in range(len(sketches)):
            x, y = sketches.points_of(i)[:, :2].T.astype(int) // 8
            np.add.at(cells[i], 32 * y + x, 1)
        features = (cells @ self._matrix).astype(np.float32)
        self.encoded += len(sketches)
        codes = Codes(
            pack_codes(features > 0),
            np.full(len(sketches), -1, np.int32),
            sketches.key_ids,
            sketches.places,
            categories=tuple(self.categories),
            model=self.fingerprint,
        )
        shares = np.tile(np.float32([0.75, 0.25]), (len(sketches), 1))
        return Outputs(codes, features, shares)

    def save(self, path: Any) -> None:
        """Write something in place of a model."""
        path.write_text(self.fingerprint)
