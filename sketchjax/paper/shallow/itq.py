"""Methods that rotate projected features by iterative quantisation."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from sketchjax.ops.rotation import ITERATIONS, rotation
from sketchjax.paper.shallow.hasher import BLOCK, Features, LinearHasher, sample_rows

SAMPLE = 100_000  # rows that the rotation is learned from


class ItqHasher(LinearHasher):
    """Signs of projected features after the rotation of least quantisation error.

    bits, seed, block: as in `Hasher`.
    sample: rows, drawn with the seed, that the rotation is learned from; the projection sees all.
      The rotation has bits² / 2 free parameters, 2,000 at 64 bits.
    iterations: of ITQ; 50 by default, as published.
    """

    def __init__(
        self,
        bits: int,
        seed: int = 0,
        *,
        sample: int = SAMPLE,
        iterations: int = ITERATIONS,
        block: int = BLOCK,
    ):
        super().__init__(bits, seed, block=block)
        self.sample, self.iterations = sample, iterations

    def _fit(self, features: Features, labels: np.ndarray) -> None:
        directions, mean = self._projection(features, labels)
        rows = sample_rows(features, self.sample, self.seed, self.block)
        projected = (rows - mean) @ directions
        self._set(directions @ rotation(projected, self.seed, self.iterations), mean)

    @abstractmethod
    def _projection(
        self, features: Features, labels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """The directions f64[e bits] to rotate, and the mean f64[e] of the features."""
