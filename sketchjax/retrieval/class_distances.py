"""How compact classes are and how far apart: d1, d2 and d1/d2 of SketchMate's table 4."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sketchjax.errors import DataError


@dataclass(frozen=True, slots=True)
class ClassDistances:
    """Distances within and between classes, f64.

    d1: mean squared distance within a class, in squared feature units.
    d2: mean squared distance to other classes, in squared feature units.
    d1_over_d2: the ratio of the two means.
    mean_ratio: the mean over classes of each class's ratio.
    """

    d1: float
    d2: float
    d1_over_d2: float
    mean_ratio: float


def class_distances(
    features: np.ndarray, labels: np.ndarray, mask: np.ndarray | None = None
) -> ClassDistances:
    """The d1, d2 and d1/d2 of SketchMate's table 4, for features or for bits, in O(n d).

    features: f[n d] or bool[n d].
    labels: i[n].
    mask: bool[n], False for items to leave out; by default all are used.

    For a class c of n_c items, d1 is the mean squared Euclidean distance over its n_c (n_c - 1)
    pairs of different items, and d2 is that over its n_c (n - n_c) pairs with items of other
    classes. Both are then averaged over the classes that have at least two items.

    The distances are squared because the paper's d2, 17.6 at 64 bits and 4.98 at 16, exceeds the
    largest plain distance in (0, 1)^d, which is 8 and 4. The paper prints an "average ratio". At
    24, 32 and 64 bits it equals d1/d2 of the means, but not at 16, so both readings are returned.
    Raises DataError unless there are two classes and one of them has two items, and ValueError when
    the shapes do not fit.
    """
    if mask is not None:
        check_mask(mask, len(features))
        features, labels = features[mask], labels[mask]
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise ValueError(
            f"features {list(features.shape)} and labels {list(labels.shape)} do not match: "
            "must be [n d] and [n]."
        )
    classes = np.unique(labels, return_inverse=True)[1]
    counts = np.bincount(classes).astype(np.float64)
    if len(counts) < 2 or counts.max(initial=0) < 2:
        raise DataError("d1 and d2 need at least two classes, one of them with at least two items.")
    sums = np.empty((len(counts), features.shape[1]))
    squares = np.zeros(len(counts))
    for bit in range(features.shape[1]):
        column = features[:, bit].astype(np.float64)
        column -= column.mean()  # keeps the differences, avoids large sums of squares that cancel
        sums[:, bit] = np.bincount(classes, weights=column)
        squares += np.bincount(classes, weights=column * column)
    others, other_sums = counts.sum() - counts, sums.sum(axis=0) - sums
    several = counts > 1
    intra = 2 * (counts * squares - (sums * sums).sum(axis=1))
    inter = others * squares + counts * (squares.sum() - squares) - 2 * (sums * other_sums).sum(1)
    intra = np.maximum(intra[several] / (counts * (counts - 1))[several], 0.0)
    inter = np.maximum(inter[several] / (counts * others)[several], 0.0)
    d1, d2 = float(intra.mean()), float(inter.mean())
    ratios = np.divide(intra, inter, out=np.full_like(intra, np.nan), where=inter > 0)
    return ClassDistances(d1, d2, d1 / d2 if d2 else float("nan"), float(ratios.mean()))


def check_mask(mask: np.ndarray, count: int) -> None:
    """Raise ValueError unless it is bool[n]: numbers would be places."""
    if mask.dtype != np.bool_ or mask.shape != (count,):
        raise ValueError(f"mask is {mask.dtype}{list(mask.shape)}: must be bool[{count}]")


def hamming_class_distances(
    all: np.ndarray, relevant: np.ndarray, query_labels: np.ndarray
) -> tuple[float, float]:
    """d1 and d2 in bits: mean distance of queries to the gallery of their class, and to the rest.

    all: i[q d+1], gallery codes at each distance.
    relevant: i[q d+1], those of the query's class.
    query_labels: i[q].

    Each is a mean over classes of means over pairs. The Hamming distance is the squared Euclidean
    distance of codes in {0, 1}, so the scale is that of `class_distances`. d2 is NaN when the
    gallery has no other class.
    """
    bits = np.arange(all.shape[1])
    classes = np.unique(query_labels, return_inverse=True)[1]

    def over_classes(counts: np.ndarray) -> float:
        sums = np.bincount(classes, weights=counts @ bits)
        pairs = np.bincount(classes, weights=counts.sum(axis=1))
        return float(np.mean(sums[pairs > 0] / pairs[pairs > 0])) if pairs.any() else float("nan")

    counted = relevant.astype(np.int64)
    return over_classes(counted), over_classes(all - counted)
