"""Density Sensitive Hashing: planes between groups of the data (Jin et al., Cybernetics 2014)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sketchjax.errors import ConfigError, DataError
from sketchjax.paper.shallow.method import BLOCK, Features, LinearMethod, sample_rows


class Dsh(LinearMethod):
    """Of all planes midway between adjacent groups the `bits` that split the data most evenly.

    k-means of few iterations makes the groups. Two are adjacent where one is among the nearest
    groups of the other. The plane of groups i and j is normal to μ_i − μ_j and passes through
    (μ_i + μ_j) / 2; the entropy of its two sides, each group on its centre's side with its share of
    the rows, ranks the planes.

    groups_per_bit, nearest, iterations: α = 1.5, r = 3 and p = 3, as published; sample: rows drawn
      by the seed that are grouped.
    fit raises DataError when there are fewer rows than groups.
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
                f"{len(rows)} rows of features cannot be {self.groups} groups for "
                f"{self.bits} bits: give more rows or take fewer bits"
            )
        centers, shares = grouped(rows, self.groups, self.iterations, self.seed)
        directions, middles, entropies = midway_planes(centers, shares, self.nearest)
        if len(entropies) < self.bits:
            raise ConfigError(
                f"bits={self.bits}: {self.groups} groups with nearest={self.nearest} have only "
                f"{len(entropies)} planes between them; take more groups_per_bit or more nearest"
            )
        best = np.argsort(-entropies, kind="stable")[: self.bits]
        self.directions = directions[best].T.astype(np.float32)
        self.thresholds = (directions[best] * middles[best]).sum(axis=1).astype(np.float32)


def grouped(
    rows: np.ndarray, groups: int, iterations: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Centres f64[k e] of k-means over rows f[n e], and each group's share of the rows f64[k]."""
    try:
        from sklearn.cluster import KMeans
    except ImportError as error:
        raise ConfigError("dsh wants scikit-learn: pip install 'sketchjax[study]'") from error
    once: Any = 1  # typed as a word where it is a number
    means = KMeans(groups, init="random", n_init=once, max_iter=iterations, random_state=seed)
    numbers = means.fit_predict(rows)
    shares = np.bincount(numbers, minlength=groups) / len(rows)
    return means.cluster_centers_.astype(np.float64), shares


def midway_planes(
    centers: np.ndarray, shares: np.ndarray, nearest: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The planes between adjacent groups: normals f64[m e], points on them f64[m e], entropies.

    centers: f64[k e]; shares: f64[k], their sum 1; nearest: r. Entropies f64[m] in nats. Planes
    stand in the order of their pairs (i, j), i < j.
    """
    distances = np.linalg.norm(centers[:, None] - centers, axis=2)
    np.fill_diagonal(distances, np.inf)
    near = np.argsort(distances, axis=1, kind="stable")[:, : min(nearest, len(centers) - 1)]
    adjacent = np.zeros(distances.shape, bool)
    np.put_along_axis(adjacent, near, True, axis=1)
    first, second = np.nonzero(np.triu(adjacent | adjacent.T))
    normals = centers[first] - centers[second]
    middles = (centers[first] + centers[second]) / 2
    above = normals @ centers.T > (normals * middles).sum(axis=1, keepdims=True)
    share = above @ shares
    both = np.clip(np.stack([share, 1 - share]), 1e-12, 1)
    return normals, middles, -(both * np.log(both)).sum(axis=0)
