"""Exact search for the nearest codes: what a report shows as the first results of a query."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from sketchjax.retrieval.histograms import check_codes
from sketchjax.retrieval.popcount import distance, words


def search(
    query_codes: np.ndarray, gallery_codes: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest gallery codes of each query, nearest first, ties in gallery order.

    query_codes: u8[q d/8]; gallery_codes: u8[n d/8], packed by `ops.hamming.pack_codes`. Returns
    Hamming distances i32[q min(k, n)] and places in the gallery i64[q min(k, n)]. Exact: every
    code is compared, and places come from a counting sort, so nothing of length n is sorted.
    Raises ValueError on wrong shapes or types, or k < 1, and DataError on an empty side.
    """
    if k < 1:
        raise ValueError(f"k={k}: ask for at least one result")
    check_codes(query_codes, gallery_codes)
    shape = (len(query_codes), min(k, len(gallery_codes)))
    distances, places = np.empty(shape, np.int32), np.empty(shape, np.int64)
    bits = gallery_codes.shape[1] * 8
    _search(words(query_codes), words(gallery_codes), bits, distances, places)
    return distances, places


@njit(parallel=True, cache=True, nogil=True)
def _search(queries: Any, gallery: Any, bits: int, distances: Any, places: Any) -> None:
    """Fill distances i32[q k] and places i64[q k]; queries u64[q w], gallery u64[n w]."""
    for query in prange(queries.shape[0]):
        all_distances = np.empty(gallery.shape[0], np.int32)
        counts = np.zeros(bits + 2, np.int64)
        for item in range(gallery.shape[0]):
            here = distance(queries, query, gallery, item)
            all_distances[item] = here
            counts[here + np.uint64(1)] += 1
        # Where the next item at each distance goes: behind all that are nearer or came before.
        following = np.cumsum(counts)
        for item in range(gallery.shape[0]):
            here = all_distances[item]
            rank = following[here]
            if rank < distances.shape[1]:
                distances[query, rank] = here
                places[query, rank] = item
                following[here] += 1
