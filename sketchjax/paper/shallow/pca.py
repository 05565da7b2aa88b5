"""PCAH and PCA-ITQ: hyperplanes from the principal directions of the features."""

from __future__ import annotations

import numpy as np

from sketchjax.paper.shallow.itq import ITERATIONS, SAMPLE, rotation
from sketchjax.paper.shallow.method import BLOCK, Features, LinearMethod, sample_rows
from sketchjax.paper.shallow.moments import moments, principal_directions


class Pcah(LinearMethod):
    """The sign of the first `bits` principal components (Wang et al., CVPR 2010 and 2012).

    fit raises ConfigError when bits is more than e.
    """

    def _fit(self, features: Features, labels: np.ndarray) -> None:
        found = moments(features, self.block)
        directions, _ = principal_directions(found.covariance, self.bits)
        self._set(directions, found.mean)


class PcaItq(LinearMethod):
    """Principal components, then the rotation of least quantisation error (Gong, TPAMI 2013).

    sample: rows, drawn by the seed, from which the rotation is learnt (PCA sees all): it has
      bits² / 2 free numbers, 2,000 at 64 bits; iterations: of ITQ, 50 as published.
    fit raises ConfigError when bits is more than e.
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
        found = moments(features, self.block)
        directions, _ = principal_directions(found.covariance, self.bits)
        rows = sample_rows(features, self.sample, self.seed, self.block)
        projected = (rows - found.mean) @ directions
        self._set(directions @ rotation(projected, self.seed, self.iterations), found.mean)
