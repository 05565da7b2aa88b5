"""SKLSH: binary codes from shift-invariant kernels (Raginsky and Lazebnik, NIPS 2009)."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from sketchjax.errors import ConfigError
from sketchjax.paper.shallow.method import BLOCK, Features, Method, sample_rows

NEIGHBOR = 50  # whose mean distance is the kernel's width, as Gong et al. (TPAMI 2013) take it
_ASKING = 1_000  # rows whose neighbours are sought


class Sklsh(Method):
    """Random Fourier features with random thresholds: the sign of cos(w·x + b) + t.

    w ~ N(0, I / σ²), b ~ U[0, 2π), t ~ U[−1, 1], for the Gaussian kernel exp(−‖x − y‖² / 2σ²): the
    expected share of bits in which x and y differ is a function of it alone,
    (8 / π²) Σ_m (1 − K(m (x − y))) / (4 m² − 1) over m = 1, 2, ... (their lemma 2.3).

    width: σ; by default the mean distance of a row to its 50th nearest among `sample` rows drawn
    by the seed (a thousand of them are asked).
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
        if width is not None and not width > 0:
            raise ConfigError(f"width={width}: a positive width of the kernel can be")
        self.width, self.sample = width, sample

    def _fit(self, features: Features, labels: np.ndarray) -> None:
        rows = sample_rows(features, self.sample, self.seed, self.block)
        rng = np.random.default_rng(self.seed)
        # The kernel knows only differences: a shift changes no probability, and keeps phases small.
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
    """Mean Euclidean distance of rows f[n e] to their 50th nearest (the farthest where n ≤ 50)."""
    rng = np.random.default_rng(seed)
    asking = rng.choice(len(rows), min(_ASKING, len(rows)), replace=False)
    place = min(NEIGHBOR, len(rows) - 1)  # place 0 is the row itself
    distances = cdist(rows[asking], rows)
    mean = float(np.partition(distances, place, axis=1)[:, place].mean())
    return mean if mean > 0 else 1.0  # where all rows are one, any width will do
