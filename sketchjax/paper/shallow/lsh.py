"""LSH: hyperplanes of random direction (Charikar, STOC 2002)."""

from __future__ import annotations

import numpy as np

from sketchjax.paper.shallow.hasher import Features, LinearHasher
from sketchjax.paper.shallow.moments import mean_of


class Lsh(LinearHasher):
    """Hyperplanes with normals drawn from N(0, I), through the mean of the features.

    Two rows differ in a bit with probability angle / π, the angle seen from the mean. In the
    original the planes pass through 0, and features that are never negative then mostly fall on the
    same side of a plane. So comparisons of hashing methods centre them first, as we do.
    """

    def _fit(self, features: Features, labels: np.ndarray) -> None:
        mean = mean_of(features, self.block)
        directions = np.random.default_rng(self.seed).standard_normal((len(mean), self.bits))
        self._set(directions, mean)
