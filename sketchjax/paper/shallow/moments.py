"""Mean, covariance and class means of features that are read in blocks."""

from __future__ import annotations

import numpy as np

from sketchjax.ops.moments import Moments, class_sums, moments_of
from sketchjax.paper.shallow.hasher import Features, blocks


def moments(features: Features, block: int) -> Moments:
    """Mean and covariance of features f[n e], block by block in float64."""
    return moments_of(rows for _, rows in blocks(features, block))


def mean_of(features: Features, block: int) -> np.ndarray:
    """Mean f64[e] of features f[n e]."""
    sums = sum(rows.sum(axis=0, dtype=np.float64) for _, rows in blocks(features, block))
    return np.asarray(sums) / len(features)


def class_means(
    features: Features, labels: np.ndarray, block: int
) -> tuple[np.ndarray, np.ndarray]:
    """The mean f64[l e] of each class, and its number of rows i64[l].

    features: f[n e].
    labels: i64[n] from 0 to l - 1 without gaps.
    block: rows read at a time.
    """
    counts = np.bincount(labels)
    sums = None
    for place, rows in blocks(features, block):
        own = class_sums(rows.astype(np.float64), labels[place], len(counts))
        sums = own if sums is None else sums + own
    assert sums is not None
    return sums / counts[:, None], counts
