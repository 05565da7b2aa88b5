"""Mean, covariance and class means of features in one pass, and the directions they give."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from sketchjax.errors import ConfigError
from sketchjax.paper.shallow.hasher import Features, blocks


class Moments(NamedTuple):
    """mean: f64[e]; covariance: f64[e e], divided by n; rows: n."""

    mean: np.ndarray
    covariance: np.ndarray
    rows: int


def moments(features: Features, block: int) -> Moments:
    """Mean and covariance of features f[n e], block by block in float64.

    Each block is centred on its own mean and merged by Chan's formula, which keeps full precision
    even when the mean is much larger than the spread.
    """
    count, mean, scatter = 0, np.zeros(0), np.zeros(0)
    for _, rows in blocks(features, block):
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
            f"use at most {width} bits, wider features, or lsh, sklsh, sh or dsh"
        )
    variances, directions = np.linalg.eigh(covariance)
    directions = directions[:, ::-1][:, :count]
    largest = np.abs(directions).argmax(axis=0)
    return directions * np.sign(directions[largest, np.arange(count)]), variances[::-1][:count]
