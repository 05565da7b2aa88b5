"""PCAH and PCA-ITQ: hyperplanes from the principal directions of the features."""

from __future__ import annotations

import numpy as np

from sketchjax.ops.moments import principal_directions
from sketchjax.paper.shallow.hasher import Features, LinearHasher
from sketchjax.paper.shallow.itq import ItqHasher
from sketchjax.paper.shallow.moments import moments


class Pcah(LinearHasher):
    """Signs of the first `bits` principal components (Wang et al., CVPR 2010 and 2012).

    fit raises ConfigError when bits exceeds e.
    """

    def _fit(self, features: Features, labels: np.ndarray) -> None:
        self._set(*_principal(features, self.bits, self.block))


class PcaItq(ItqHasher):
    """Principal components, then ITQ's rotation (Gong et al., TPAMI 2013).

    fit raises ConfigError when bits exceeds e.
    """

    def _projection(
        self, features: Features, labels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        return _principal(features, self.bits, self.block)


def _principal(features: Features, bits: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `bits` principal directions f64[e bits] and the mean f64[e]."""
    found = moments(features, block)
    directions, _ = principal_directions(found.covariance, bits)
    return directions, found.mean
