"""Mean and covariance of features in one pass, and the directions they give. No jax here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh
from scipy.sparse import csr_array

from sketchjax.errors import ConfigError


class Moments(NamedTuple):
    """mean: f64[e]; covariance: f64[e e], divided by n; rows: n."""

    mean: np.ndarray
    covariance: np.ndarray
    rows: int


def moments_of(parts: Iterable[np.ndarray]) -> Moments:
    """Mean and covariance of features that come as parts f[b e], in float64.

    Each part is centred on its own mean and merged by Chan's formula, which keeps full precision
    even when the mean is much larger than the spread.
    """
    count, mean, scatter = 0, np.zeros(0), np.zeros(0)
    for rows in parts:
        own = rows.mean(axis=0, dtype=np.float64)
        centered = rows - own
        own_scatter = centered.T @ centered
        if count == 0:
            count, mean, scatter = len(rows), own, own_scatter
            continue
        total, shift = count + len(rows), own - mean
        scatter += own_scatter
        scatter += np.outer(shift, shift) * (count * len(rows) / total)
        mean = mean + shift * (len(rows) / total)
        count = total
    return Moments(mean, scatter / count, count)


def class_sums(rows: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """The sum [l e] of the rows of each class.

    rows: f[b e].
    labels: i[b], from 0 to l - 1.
    classes: l.
    """
    members = csr_array(
        (np.ones(len(rows), rows.dtype), labels, np.arange(len(rows) + 1)),
        shape=(len(rows), classes),
    )
    return members.T @ rows


def principal_directions(covariance: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The `count` directions f64[e count] of most variance, and their variances f64[count].

    Each direction's largest component is made positive, so that codes do not depend on the
    eigensolver. Raises ConfigError when count exceeds e.
    """
    width = len(covariance)
    if count > width:
        raise ConfigError(
            f"bits={count}: features of {width} columns have only {width} principal directions; "
            f"use at most {width} bits, wider features, or a method without principal directions"
        )
    variances, directions = np.linalg.eigh(covariance)
    directions = directions[:, ::-1][:, :count]
    largest = np.abs(directions).argmax(axis=0)
    return directions * np.sign(directions[largest, np.arange(count)]), variances[::-1][:count]


def canonical_directions(
    found: Moments, means: np.ndarray, counts: np.ndarray, ridge: float
) -> tuple[np.ndarray, np.ndarray]:
    """Canonical directions f64[e r] and correlations f64[r], falling, with r = min(e, l − 1).

    They solve X'Y (Y'Y)⁻¹ Y'X w = λ² (X'X + ρ I) w for centred X and one-hot Y. With labels, the
    left side is the scatter of the class means weighted by class size. Each w has unit variance.

    found: of all features.
    means: f64[l e], of each class.
    counts: i64[l], rows of each class.
    ridge: ρ as a fraction of the mean variance.
    """
    apart = (means - found.mean) * np.sqrt(counts / found.rows)[:, None]
    width = len(found.mean)
    whole = found.covariance + ridge * np.trace(found.covariance) / width * np.eye(width)
    rank = min(width, len(means) - 1)
    squared, directions = eigh(apart.T @ apart, whole, subset_by_index=(width - rank, width - 1))
    return directions[:, ::-1], np.sqrt(np.clip(squared[::-1], 0.0, None))
