"""LSH: hyperplanes of random direction (Charikar, STOC 2002)."""

from __future__ import annotations

import numpy as np

from sketchjax.paper.shallow.method import Features, LinearMethod
from sketchjax.paper.shallow.moments import mean_of


class Lsh(LinearMethod):
    """Hyperplanes with normal directions N(0, I), through the mean of the features.

    Two rows differ in a bit with probability angle / π, the angle seen from the mean. The original
    has its planes through 0; features that are nowhere negative all lie on few sides of these, so
    that comparisons of hashing centre them first, as we do.
    """

    def _fit(self, features: Features, labels: np.ndarray) -> None:
        mean = mean_of(features, self.block)
        directions = np.random.default_rng(self.seed).standard_normal((len(mean), self.bits))
        self._set(directions, mean)
