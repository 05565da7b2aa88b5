"""How well clusters of features agree with their classes: k-means, and mutual information."""

from __future__ import annotations

import numpy as np

_ROUNDS = 50  # of k-means at most; it ends when no feature changes its cluster
_BLOCK = 4096  # features whose distances to all centres are held at once


def clusters(features: np.ndarray, count: int, *, seed: int = 0) -> np.ndarray:
    """The cluster of each feature by k-means, i64[n]; the same bits for the same seed.

    It starts from centres far apart (k-means++: Arthur and Vassilvitskii 2007).

    features: f64[n d], at least one.
    count: how many clusters; fewer where there are fewer different features.
    seed: of the start.
    """
    centers = _spread(features, count, np.random.default_rng(seed))
    assigned = _nearest(features, centers)
    for _ in range(_ROUNDS):
        sums = np.zeros_like(centers)
        np.add.at(sums, assigned, features)
        sizes = np.bincount(assigned, minlength=len(centers))[:, None]
        centers = np.where(sizes > 0, sums / np.maximum(sizes, 1), centers)
        before, assigned = assigned, _nearest(features, centers)
        if np.array_equal(before, assigned):
            break
    return assigned


def mutual_information(labels: np.ndarray, assigned: np.ndarray) -> float:
    """Normalised mutual information of classes and clusters, 2 I / (H + H'), 0 to 1.

    labels, assigned: i[n].
    Returns 1 where each of the two is one group.
    """
    _, first = np.unique(labels, return_inverse=True)
    _, second = np.unique(assigned, return_inverse=True)
    joint = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(joint, (first, second), 1.0)
    joint /= len(first)
    entropies = _entropy(joint.sum(axis=1)) + _entropy(joint.sum(axis=0))
    if entropies == 0:
        return 1.0
    return 2 * (entropies - _entropy(joint.ravel())) / entropies


def _spread(features: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Different features f64[k d], each drawn by its squared distance to those drawn before."""
    chosen = [int(random.integers(len(features)))]
    squares = np.full(len(features), np.inf)
    while True:
        for start in range(0, len(features), _BLOCK):
            part = slice(start, start + _BLOCK)
            apart = ((features[part] - features[chosen[-1]]) ** 2).sum(axis=1)
            squares[part] = np.minimum(squares[part], apart)
        total = np.cumsum(squares)
        if len(chosen) == count or total[-1] == 0:
            return features[chosen]
        place = np.searchsorted(total, random.random() * total[-1], side="right")
        chosen.append(min(int(place), len(features) - 1))


def _nearest(features: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """The nearest centre of each feature, i64[n]."""
    lengths = (centers**2).sum(axis=1)
    parts = range(0, len(features), _BLOCK)
    return np.concatenate(
        [
            (lengths - 2 * features[start : start + _BLOCK] @ centers.T).argmin(axis=1)
            for start in parts
        ]
    )


def _entropy(shares: np.ndarray) -> float:
    known = shares[shares > 0]
    return float(-(known * np.log(known)).sum())
