"""Spectral hashing: eigenfunctions of a uniform distribution along principal directions."""

from __future__ import annotations

import numpy as np

from sketchjax.ops.moments import principal_directions
from sketchjax.paper.shallow.hasher import Features, Hasher, blocks
from sketchjax.paper.shallow.moments import moments

_EPSILON = 1e-7


class SpectralHashing(Hasher):
    """The `bits` smoothest eigenfunctions of a box around the data (Weiss et al., NIPS 2008).

    Features are rotated to their first min(bits, e) principal directions. Along direction i, which
    starts at a_i and has length R_i, the k-th eigenfunction is Φ(x) = sin(π/2 + k π (x − a_i) /
    R_i). Of all i and k = 1, 2, ... the ones with least k / R_i are used. As in the authors' code,
    the box spans all rows from least to greatest, and each function varies along one direction.

    After fit, bit j uses direction axes[j] and number modes[j], both i[bits]; low and span,
    f64[min(bits, e)], are a and R.
    """

    axes: np.ndarray
    modes: np.ndarray
    low: np.ndarray
    span: np.ndarray

    def _fit(self, features: Features, labels: np.ndarray) -> None:
        found = moments(features, self.block)
        count = min(self.bits, len(found.mean))
        directions, _ = principal_directions(found.covariance, count)
        self._directions, self._mean = directions.astype(np.float32), found.mean.astype(np.float32)
        low, high = np.full(count, np.inf), np.full(count, -np.inf)
        for _, rows in blocks(features, self.block):
            rotated = self._rotated(rows)
            low = np.minimum(low, rotated.min(axis=0))
            high = np.maximum(high, rotated.max(axis=0))
        # The authors widen the box a little: a direction without spread then divides by no zero.
        self.low, self.span = low - _EPSILON, high - low + 2 * _EPSILON
        self.axes, self.modes = smoothest(self.span, self.bits)

    def project(self, rows: np.ndarray) -> np.ndarray:
        phase = (self._rotated(rows) - self.low.astype(np.float32)) / self.span.astype(np.float32)
        return np.cos(phase[:, self.axes] * (np.pi * self.modes).astype(np.float32))

    def _rotated(self, rows: np.ndarray) -> np.ndarray:
        return (rows - self._mean) @ self._directions


def smoothest(span: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Directions and numbers, i[bits] each, of the `bits` eigenfunctions of lowest frequency.

    span: f[m], length of the box along each direction. Ties go to the earlier direction, then to
    the lower number.
    """
    # The widest direction has `bits` of them below the (bits + 1)-th of any other.
    axes, modes = np.indices((len(span), bits)).reshape(2, -1)
    modes += 1
    order = np.argsort(modes / span[axes], kind="stable")[:bits]
    return axes[order], modes[order]
