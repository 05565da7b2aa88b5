"""Mean average precision of a ranking by inner products of real features."""

from __future__ import annotations

import numpy as np

from sketchjax.errors import DataError


def inner_product_map(
    queries: np.ndarray,
    query_labels: np.ndarray,
    gallery: np.ndarray,
    gallery_labels: np.ndarray,
    *,
    block: int = 256,
) -> float:
    """The exact mean over all queries whose class the gallery has; ties in gallery order.

    queries: f[q e]; query_labels: i[q]; gallery: f[n e]; gallery_labels: i[n].
    block: queries ranked at once: block × n numbers are held.
    Raises DataError when no query can be scored.
    """
    precisions = []
    for first in range(0, len(queries), block):
        scores = queries[first : first + block] @ gallery.T
        order = np.argsort(-scores, axis=1, kind="stable")
        right = gallery_labels[order] == query_labels[first : first + block, None]
        found = right.sum(1)
        precision = np.cumsum(right, 1) / np.arange(1, right.shape[1] + 1)
        scored = found > 0
        precisions.append((precision * right).sum(1)[scored] / found[scored])
    every = np.concatenate(precisions) if precisions else np.zeros(0)
    if not len(every):
        raise DataError("no query has a gallery sketch of its class, so there is nothing to score")
    return float(every.mean())
