"""Mean, covariance and class means of features in one pass, and what is derived from them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from sketchjax.errors import ConfigError
from sketchjax.paper.shallow.method import Features, blocks


class Moments(NamedTuple):
    """mean: f64[e]; covariance: f64[e e], divided by n; rows: n."""

    mean: np.ndarray
    covariance: np.ndarray
    rows: int


def moments(features: Features, block: int) -> Moments:
    """Mean and covariance of features f[n e], block by block in float64.

    Blocks are centred on their own mean and joined by Chan's formula: nothing is lost where the
    mean is large beside the spread.
    """
    count, mean, scatter = 0, np.zeros(0), np.zeros(0)
    for rows in blocks(features, block):
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
    sums = sum(rows.sum(axis=0, dtype=np.float64) for rows in blocks(features, block))
    return np.asarray(sums) / len(features)


def class_means(
    features: Features, labels: np.ndarray, block: int
) -> tuple[np.ndarray, np.ndarray]:
    """The mean f64[l e] of the rows of each class, and how many they are, i64[l].

    labels: i64[n], every class from 0 to l - 1 has a row.
    """
    counts = np.bincount(labels)
    sums, start = None, 0
    for rows in blocks(features, block):
        own = class_sums(rows.astype(np.float64), labels[start : start + len(rows)], len(counts))
        sums = own if sums is None else sums + own
        start += len(rows)
    assert sums is not None
    return sums / counts[:, None], counts


def class_sums(rows: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """The sum [l e] of the rows [b e] of each class; labels: i[b]."""
    members = csr_array(
        (np.ones(len(rows), rows.dtype), labels, np.arange(len(rows) + 1)),
        shape=(len(rows), classes),
    )
    return members.T @ rows


def principal_directions(covariance: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The `count` directions f64[e count] of most variance, and the variances f64[count].

    Each direction's largest component is positive, so that codes do not hang on the eigensolver.
    Raises ConfigError when there are less than `count`.
    """
    width = len(covariance)
    if count > width:
        raise ConfigError(
            f"bits={count}: features of {width} columns have no more than {width} principal "
            f"directions; take {width} bits or fewer, wider features, or lsh, sklsh, sh or dsh"
        )
    variances, directions = np.linalg.eigh(covariance)
    directions = directions[:, ::-1][:, :count]
    largest = np.abs(directions).argmax(axis=0)
    return directions * np.sign(directions[largest, np.arange(count)]), variances[::-1][:count]
