"""Spectral hashing: eigenfunctions of a uniform distribution along principal directions."""

from __future__ import annotations

import numpy as np

from sketchjax.paper.shallow.method import Features, Method, blocks
from sketchjax.paper.shallow.moments import moments, principal_directions


class SpectralHashing(Method):
    """The `bits` smoothest eigenfunctions of a box around the data (Weiss et al., NIPS 2008).

    The features are turned to their min(bits, e) first principal directions. Along direction i,
    from a_i over a length R_i, the k-th eigenfunction is Φ(x) = sin(π/2 + k π (x − a_i) / R_i); of
    all i and k = 1, 2, ... those of least k / R_i are taken. As in the authors' code the box
    reaches from the least to the greatest of all rows, and only functions of one direction serve.

    After fit, axes and modes i[bits] are the direction i and the number k of each bit, low and span
    f64[min(bits, e)] are a and R.
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
        for rows in blocks(features, self.block):
            turned = self._turned(rows)
            low = np.minimum(low, turned.min(axis=0))
            high = np.maximum(high, turned.max(axis=0))
        # As the authors widen the box, so that a direction without spread divides by no 0.
        self.low, self.span = low - _EPSILON, high - low + 2 * _EPSILON
        self.axes, self.modes = smoothest(self.span, self.bits)

    def project(self, rows: np.ndarray) -> np.ndarray:
        phase = (self._turned(rows) - self.low.astype(np.float32)) / self.span.astype(np.float32)
        return np.cos(phase[:, self.axes] * (np.pi * self.modes).astype(np.float32))

    def _turned(self, rows: np.ndarray) -> np.ndarray:
        return (rows - self._mean) @ self._directions


_EPSILON = 1e-7


def smoothest(span: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Direction and number of the `bits` eigenfunctions of least frequency, i[bits] each.

    span: f[m], the length of the box along each direction. Among equals the first direction and
    the lowest number come first.
    """
    # The widest direction has `bits` of them below the (bits + 1)-th of any other.
    axes, modes = np.indices((len(span), bits)).reshape(2, -1)
    modes += 1
    order = np.argsort(modes / span[axes], kind="stable")[:bits]
    return axes[order], modes[order]
