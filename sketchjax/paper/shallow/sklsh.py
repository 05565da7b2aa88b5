"""SKLSH: binary codes from shift-invariant kernels (Raginsky and Lazebnik, NIPS 2009)."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from sketchjax.paper.shallow.hasher import (
    BLOCK,
    Features,
    Hasher,
    check_kernel_width,
    sample_rows,
)

NEIGHBOR = 50  # its mean distance is the kernel's width, as in Gong et al. (TPAMI 2013)
_PROBES = 1_000  # rows whose neighbours are searched


class Sklsh(Hasher):
    """Random Fourier features with random thresholds: the sign of cos(w·x + b) + t.

    w ~ N(0, I / σ²), b ~ U[0, 2π), t ~ U[−1, 1], for the Gaussian kernel exp(−‖x − y‖² / 2σ²). The
    expected share of bits in which x and y differ depends on the kernel only: it is
    (8 / π²) Σ_m (1 − K(m (x − y))) / (4 m² − 1) over m = 1, 2, ... (their lemma 2.3).

    bits, seed, block: as in `Hasher`.
    width: σ; by default the mean distance from a row to its 50th nearest within the sample,
      averaged over a thousand rows.
    sample: rows, drawn with the seed, that the width is derived from; 10,000 by default.
    """

    def __init__(
        self,
        bits: int,
        seed: int = 0,
        *,
        width: float | None = None,
        sample: int = 10_000,
        block: int = BLOCK,
    ):
        super().__init__(bits, seed, block=block)
        check_kernel_width(width)
        self.width, self.sample = width, sample

    def _fit(self, features: Features, labels: np.ndarray) -> None:
        rows = sample_rows(features, self.sample, self.seed, self.block)
        rng = np.random.default_rng(self.seed)
        # The kernel sees only differences: a shift changes no probability and keeps phases small.
        self._shift = rows.mean(axis=0)
        width = self.width if self.width is not None else neighbor_distance(rows, self.seed)
        frequencies = rng.standard_normal((rows.shape[1], self.bits)) / width
        self._frequencies = frequencies.astype(np.float32)
        self._phases = rng.uniform(0, 2 * np.pi, self.bits).astype(np.float32)
        self._thresholds = rng.uniform(-1, 1, self.bits).astype(np.float32)

    def project(self, rows: np.ndarray) -> np.ndarray:
        angles = (rows - self._shift) @ self._frequencies + self._phases
        return np.cos(angles) + self._thresholds


def neighbor_distance(rows: np.ndarray, seed: int) -> float:
    """Mean Euclidean distance from rows f[n e] to their 50th nearest (the farthest if n ≤ 50)."""
    rng = np.random.default_rng(seed)
    probes = rng.choice(len(rows), min(_PROBES, len(rows)), replace=False)
    place = min(NEIGHBOR, len(rows) - 1)  # place 0 is the row itself
    distances = cdist(rows[probes], rows)
    mean = float(np.partition(distances, place, axis=1)[:, place].mean())
    return mean if mean > 0 else 1.0  # if all rows are equal, any width will do
