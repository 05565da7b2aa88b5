"""Rankings by float features, counted in groups of ties: all that the exact scores need.

The scores need to know where in a ranking the relevant items are, and which items tie with them. So
each query's ranking is cut at the distances of its relevant items: one group for each of these
distances, and one for all items between two of them. With m such distances that is 2 m + 1 groups.
The closed forms of `metrics` hold for counts of these groups as for those of the d + 1 Hamming
distances of codes. The gallery is read block by block, and one row of distances is held for a
query; the matrix of queries and gallery never exists.

By SNR distance the query is the anchor. Its variance is then the same for the whole gallery, so the
order is that of Euclidean distance between centred features; by cosine distance it is that of
Euclidean distance at unit length. `comparable` makes such features. By inner product the distance
is its negative: the largest product comes first.

Items tie when their distances are equal in float64. The sum over the features has one order, so
equal features are at equal distances wherever they are, and no score depends on the gallery's
order.

Memory: the gallery once more in float64, 836 MB for 204,070 features of 512 numbers, and a row of
distances for each query of a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import prange

from sketchjax.compiled import kernel, parallel_kernel
from sketchjax.errors import DataError

INNER_PRODUCT = "inner_product"
DISTANCES = ("snr", "euclidean", "cosine", INNER_PRODUCT)

_GROUP = 8  # queries that share each block of the gallery, which stays in cache meanwhile
_BLOCK = 512  # gallery items: 256 kB at 64 features
_PART = 8192  # gallery items converted at once
_COUNTS = 1 << 20  # groups counted at once, over all queries of a part: 16 MB


def comparable(features: np.ndarray, distance: str, exponent: int | None = None) -> np.ndarray:
    """Features whose Euclidean distances rank as this distance does, f64[n d].

    They are divided by a power of 2, which changes no order, so that no square overflows and those
    of small features are not all 0.

    features: f[n d].
    distance: of `DISTANCES`; a feature of length 0 has no cosine and stays 0. By inner product the
      features are used as they are, but for the power of 2.
    exponent: of the power of 2, the same for what is compared; None: that of these features.
    Raises ValueError for another distance, and DataError where a feature is not finite.
    """
    if not np.isfinite(features).all():
        raise DataError("some features are not finite numbers; they cannot be ranked")
    wide = np.asarray(features, np.float64)
    if distance == "cosine":
        wide = np.ldexp(wide, -_exponents(wide, axis=1))
        lengths = np.linalg.norm(wide, axis=1, keepdims=True)
        return wide / np.where(lengths > 0, lengths, 1)
    wide = np.ldexp(wide, -(_exponents(wide) if exponent is None else exponent))
    if distance == "snr":
        return wide - wide.mean(axis=1, keepdims=True)
    if distance in ("euclidean", INNER_PRODUCT):
        return wide
    raise ValueError(f"distance={distance!r}: must be one of {', '.join(DISTANCES)}")


def _exponents(features: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Of the largest feature, in absolute value, along an axis that is kept, or of all."""
    low, high = (
        extreme(axis=axis, keepdims=axis is not None, initial=0)
        for extreme in (features.min, features.max)
    )
    # Wide before the sign changes: the least integer of a type has no opposite.
    return np.frexp(np.maximum(-np.asarray(low, np.float64), high))[1]


def rank_counts(
    queries: np.ndarray,
    query_labels: np.ndarray,
    gallery: np.ndarray,
    gallery_labels: np.ndarray,
    *,
    distance: str,
    exclude_self: bool = False,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Count the groups of every query that has a relevant item, some queries at a time.

    queries: f[q d].
    query_labels: i[q].
    gallery: f[n d].
    gallery_labels: i[n].
    distance: of `DISTANCES`.
    exclude_self: the queries are the first items of the gallery, and none is compared with itself.
    Yields counts by group of p queries of one class, `all` and `relevant` i64[p 2m+1], m the items
      of that class. The classes come in the order of their labels.
    Raises ValueError when the shapes do not fit together or the distance is another, and DataError
      where a feature is not finite.
    """
    _check(queries, query_labels, gallery, gallery_labels)
    if exclude_self and not (
        np.array_equal(queries, gallery[: len(queries)], equal_nan=True)
        and np.array_equal(query_labels, gallery_labels[: len(queries)])
    ):
        raise ValueError("exclude_self needs queries that are the first items of the gallery")
    exponent = int(max(_exponents(queries), _exponents(gallery)))
    queries = comparable(queries, distance, exponent)
    columns = _columns(gallery, distance, exponent)
    order = np.argsort(query_labels, kind="stable")
    for label in np.unique(query_labels):
        own = np.flatnonzero(gallery_labels == label)
        if len(own) - exclude_self < 1:
            continue
        asking = order[query_labels[order] == label]
        size = max(_GROUP, _COUNTS // (2 * len(own) + 1))
        for first in range(0, len(asking), size):
            places = asking[first : first + size]
            everything = np.zeros((len(places), 2 * len(own) + 1), np.int64)
            relevant = np.zeros_like(everything)
            _count(
                queries[places],
                places if exclude_self else np.full(len(places), -1),
                columns,
                own,
                distance == INNER_PRODUCT,
                everything,
                relevant,
            )
            yield everything, relevant


def _check(
    queries: np.ndarray, query_labels: np.ndarray, gallery: np.ndarray, gallery_labels: np.ndarray
) -> None:
    for name, features, labels in (
        ("queries", queries, query_labels),
        ("gallery", gallery, gallery_labels),
    ):
        if features.ndim != 2 or labels.shape != features.shape[:1]:
            raise ValueError(
                f"{name}: features {list(features.shape)} and labels {list(labels.shape)} do not "
                "match: must be [n d] and [n]"
            )
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"queries have {queries.shape[1]} features and the gallery {gallery.shape[1]}; encode "
            "both with the same model"
        )


def _columns(gallery: np.ndarray, distance: str, exponent: int) -> np.ndarray:
    """The comparable features of a gallery as f64[d n], converted part by part."""
    columns = np.empty(gallery.shape[::-1])
    for start in range(0, len(gallery), _PART):
        part = slice(start, start + _PART)
        columns[:, part] = comparable(gallery[part], distance, exponent).T
    return columns


@parallel_kernel
def _count(
    queries: Any,
    selves: Any,
    columns: Any,
    own: Any,
    by_product: bool,
    everything: Any,
    relevant: Any,
) -> None:
    """Fill everything and relevant i64[p 2m+1] for queries f64[p d] of one class.

    selves: i64[p], the place of each query in the gallery, or -1.
    columns: f64[d n], the gallery.
    own: i64[m], the places of the relevant items.
    by_product: whether the distance is the negative inner product.
    """
    count = columns.shape[1]
    for group in prange((queries.shape[0] + _GROUP - 1) // _GROUP):
        first = group * _GROUP
        last = min(first + _GROUP, queries.shape[0])
        rows = np.zeros((last - first, count))
        for start in range(0, count, _BLOCK):
            end = min(start + _BLOCK, count)
            for query in range(first, last):
                row = rows[query - first]
                if by_product:
                    _subtract_products(queries[query], columns, row, start, end)
                else:
                    _add_squares(queries[query], columns, row, start, end)
        for query in range(first, last):
            row = rows[query - first]
            if selves[query] >= 0:
                row[selves[query]] = np.inf  # behind everything, and counted by no group
            _count_row(row, own, everything[query], relevant[query])


@kernel
def _add_squares(query: Any, columns: Any, row: Any, start: int, end: int) -> None:
    """Squared distances of a query f64[d] to columns[:, start:end], added to row[start:end].

    Feature by feature: each item's sum has the same order, and the loop over items is vectorised.
    """
    for feature in range(columns.shape[0]):
        value = query[feature]
        for item in range(start, end):
            difference = columns[feature, item] - value
            row[item] += difference * difference


@kernel
def _subtract_products(query: Any, columns: Any, row: Any, start: int, end: int) -> None:
    """Inner products with columns[:, start:end], subtracted from row[start:end], likewise."""
    for feature in range(columns.shape[0]):
        value = query[feature]
        for item in range(start, end):
            row[item] -= columns[feature, item] * value


@kernel
def _count_row(row: Any, own: Any, everything: Any, relevant: Any) -> None:
    """Count one query's groups: group 2 i + 1 ties with its i-th relevant distance."""
    wanted = np.sort(row[own])
    edges = np.empty_like(wanted)
    count = 0
    for place in range(wanted.shape[0]):
        if wanted[place] == np.inf:  # the query itself
            break
        if count == 0 or wanted[place] != edges[count - 1]:
            edges[count] = wanted[place]
            count += 1
        relevant[2 * count - 1] += 1
    for item in range(row.shape[0]):
        if row[item] == np.inf:
            continue
        # Without branches, which could not be predicted: the number of edges below the distance.
        low, size = 0, count
        while size > 0:
            half = size // 2
            below = edges[low + half] < row[item]
            low += (half + 1) * below
            size = half + (size - 2 * half - 1) * below
        ties = low < count and edges[min(low, count - 1)] == row[item]
        everything[2 * low + ties] += 1
