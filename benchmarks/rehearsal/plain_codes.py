"""Codes without a network, for an index of so many drawings that encoding them takes hours."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sketchjax.data.sketch import Sketches
from sketchjax.ops.hamming import pack_codes
from sketchjax.retrieval.codes import Codes
from sketchjax.retrieval.outputs import Outputs

_SIDE = 16


class PlainCodes:
    """A `retrieval.outputs.Encoder`: random projections of how many points each cell has."""

    bits, categories, fingerprint = 64, ["any"], "0" * 64
    reads = frozenset({"strokes"})
    at_once = 1

    def __init__(self):
        shape = (_SIDE * _SIDE, self.bits)
        self._matrix = np.random.default_rng(0).normal(size=shape).astype(np.float32)

    def outputs(self, drawings: Sketches) -> Outputs:
        """Codes are the signs of the features."""
        count = len(drawings)
        x, y = (drawings.points[:, :2].T // (256 // _SIDE)).astype(np.int64)
        sketch = np.repeat(np.arange(count), drawings.lengths)
        cells = np.bincount((sketch * _SIDE + y) * _SIDE + x, minlength=count * _SIDE * _SIDE)
        features = cells.reshape(count, -1).astype(np.float32) @ self._matrix
        codes = Codes(
            pack_codes(features > 0),
            np.full(count, -1, np.int32),
            drawings.key_ids,
            drawings.places,
            categories=tuple(self.categories),
            model=self.fingerprint,
        )
        return Outputs(codes, features, np.ones((count, 1), np.float32))

    def save(self, path: Path) -> None:
        """Write the fingerprint in place of a model."""
        path.write_text(self.fingerprint)
