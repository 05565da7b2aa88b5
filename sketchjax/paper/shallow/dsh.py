"""Density Sensitive Hashing: planes between groups of the data (Jin et al., Cybernetics 2014)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sketchjax.errors import ConfigError, DataError
from sketchjax.paper.shallow.hasher import BLOCK, Features, LinearHasher, sample_rows


class Dsh(LinearHasher):
    """Of all planes midway between adjacent groups, the `bits` that split the data most evenly.

    A few iterations of k-means form the groups. Two groups are adjacent if either is among the
    other's nearest. The plane between groups i and j is normal to μ_i − μ_j and passes through
    (μ_i + μ_j) / 2. Planes are ranked by the entropy of their two sides, where each group counts
    on its centre's side with its share of the rows.

    bits, seed, block: as in `Hasher`.
    groups_per_bit: α, 1.5 by default, as published.
    nearest: r, 3 by default, as published.
    iterations: p of k-means, 3 by default, as published.
    sample: rows, drawn with the seed, that are grouped; 100,000 by default.
    fit raises DataError when there are fewer rows than groups, and ConfigError when the groups
    have fewer planes between them than bits.
    """

    def __init__(
        self,
        bits: int,
        seed: int = 0,
        *,
        groups_per_bit: float = 1.5,
        nearest: int = 3,
        iterations: int = 3,
        sample: int = 100_000,
        block: int = BLOCK,
    ):
        super().__init__(bits, seed, block=block)
        self.groups = max(2, round(groups_per_bit * bits))
        self.nearest, self.iterations, self.sample = nearest, iterations, sample

    def _fit(self, features: Features, labels: np.ndarray) -> None:
        rows = sample_rows(features, self.sample, self.seed, self.block)
        if len(rows) < self.groups:
            raise DataError(
                f"{len(rows)} rows of features cannot form {self.groups} groups for "
                f"{self.bits} bits: use more rows or fewer bits"
            )
        centers, shares = group_rows(rows, self.groups, self.iterations, self.seed)
        directions, middles, entropies = midway_planes(centers, shares, self.nearest)
        if len(entropies) < self.bits:
            raise ConfigError(
                f"bits={self.bits}: {self.groups} groups with nearest={self.nearest} have only "
                f"{len(entropies)} planes between them; raise groups_per_bit or nearest"
            )
        best = np.argsort(-entropies, kind="stable")[: self.bits]
        self.directions = directions[best].T.astype(np.float32)
        self.thresholds = (directions[best] * middles[best]).sum(axis=1).astype(np.float32)


def group_rows(
    rows: np.ndarray, groups: int, iterations: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Group rows by k-means; return centres f64[k e] and each group's share of the rows f64[k].

    rows: f[n e].
    groups: k.
    iterations: at most this many.
    seed: of the random start.
    Raises ConfigError when scikit-learn is missing.
    """
    try:
        from sklearn.cluster import KMeans
    except ImportError as error:
        raise ConfigError("dsh needs scikit-learn: pip install 'sketchjax[study]'") from error
    once: Any = 1  # scikit-learn annotates n_init as a string
    means = KMeans(groups, init="random", n_init=once, max_iter=iterations, random_state=seed)
    numbers = means.fit_predict(rows)
    shares = np.bincount(numbers, minlength=groups) / len(rows)
    return means.cluster_centers_.astype(np.float64), shares


def midway_planes(
    centers: np.ndarray, shares: np.ndarray, nearest: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The planes between adjacent groups, in the order of their pairs (i, j), i < j.

    centers: f64[k e].
    shares: f64[k], summing to 1.
    nearest: r.
    Returns normals f64[m e], points on the planes f64[m e] and entropies f64[m] in nats.
    """
    distances = np.linalg.norm(centers[:, None] - centers, axis=2)
    np.fill_diagonal(distances, np.inf)
    near = np.argsort(distances, axis=1, kind="stable")[:, : min(nearest, len(centers) - 1)]
    adjacent = np.zeros(distances.shape, bool)
    np.put_along_axis(adjacent, near, True, axis=1)
    # Each adjacent pair once, whichever of the two is near the other.
    first, second = np.nonzero(np.triu(adjacent | adjacent.T))
    normals = centers[first] - centers[second]
    middles = (centers[first] + centers[second]) / 2
    # The share of the rows above each plane, then the entropy of the two sides.
    above = normals @ centers.T > (normals * middles).sum(axis=1, keepdims=True)
    share = above @ shares
    both = np.clip(np.stack([share, 1 - share]), 1e-12, 1)
    return normals, middles, -(both * np.log(both)).sum(axis=0)
