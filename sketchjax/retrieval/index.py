"""Exact search for the nearest codes: what a report shows as the first results of a query."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from sketchjax.compiled import kernel, parallel_kernel
from sketchjax.retrieval.histograms import check_codes
from sketchjax.retrieval.popcount import distance, popcount, words

# Gallery codes that a thread compares at a time. 64 bits are 32 KB then: they stay in L1 for all
# queries of a block, and it costs little to compare a part again that holds a result.
PART = 4096
# Counts i32 by part, query and distance that a block of queries may have: 16 MB.
MOST_COUNTS = 1 << 22


def search(
    query_codes: np.ndarray, gallery_codes: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest gallery codes of each query, nearest first, ties in gallery order.

    query_codes: u8[q d/8]; gallery_codes: u8[n d/8], packed by `ops.hamming.pack_codes`. Returns
    Hamming distances i32[q min(k, n)] and places in the gallery i64[q min(k, n)]. Exact: every
    code is compared, and places come from a counting sort, so nothing of length n is sorted or
    held. All cores share the gallery, for one query as for many.
    Raises ValueError on wrong shapes or types, or k < 1, and DataError on an empty side.
    """
    if k < 1:
        raise ValueError(f"k={k}: ask for at least one result")
    check_codes(query_codes, gallery_codes)
    shape = (len(query_codes), min(k, len(gallery_codes)))
    distances, places = np.empty(shape, np.int32), np.empty(shape, np.int64)
    queries, gallery = _units(query_codes), _units(gallery_codes)
    bins = gallery_codes.shape[1] * 8 + 1
    parts = -(-len(gallery) // PART)
    block = max(1, MOST_COUNTS // (parts * bins))
    for start in range(0, len(queries), block):
        some = slice(start, start + block)
        _search(queries[some], gallery, bins, distances[some], places[some])
    return distances, places


def _units(codes: np.ndarray) -> np.ndarray:
    """Codes u8[n d/8] as the widest unsigned numbers that fill a row, u[n w], mostly a view.

    100 million codes of 16 bits stay the 200 MB that they are; as 64-bit words they would be
    copied to 800 MB, by every search. Rows of 9 bytes and more that fill no words are padded.
    """
    width = codes.shape[1]
    if width > 8 and width % 8:
        return words(codes)
    size = next(size for size in (8, 4, 2, 1) if width % size == 0)
    units = np.ascontiguousarray(codes).view(f"u{size}")
    return units if units.flags.aligned else units.copy()


@parallel_kernel
def _search(queries: Any, gallery: Any, bins: int, distances: Any, places: Any) -> None:
    """Fill distances i32[q k] and places i64[q k]; queries u[q w], gallery u[n w]."""
    size, results = gallery.shape[0], distances.shape[1]
    parts = (size + PART - 1) // PART
    counts = np.zeros((parts, queries.shape[0], bins), np.int32)
    for part in prange(parts):
        for query in range(queries.shape[0]):
            end = min(size, (part + 1) * PART)
            _count(queries, query, gallery, part * PART, end, counts[part, query])
    ranks = counts
    _rank(ranks, results)
    # Few parts hold a result where k is small: only these are compared again.
    for part in prange(parts):
        for query in range(queries.shape[0]):
            if ranks[part, query].min() == results:
                continue
            for item in range(part * PART, min(size, (part + 1) * PART)):
                here = distance(queries, query, gallery, item)
                rank = ranks[part, query, here]
                if rank < results:
                    distances[query, rank] = here
                    places[query, rank] = item
                    ranks[part, query, here] += 1


@kernel
def _count(queries: Any, query: int, gallery: Any, start: int, end: int, counts: Any) -> None:
    """Add the distances from a query to gallery[start:end], u[n w], to its counts i32[d+1]."""
    if queries.shape[1] > 1:
        for item in range(np.uint64(start), np.uint64(end)):
            counts[distance(queries, query, gallery, item)] += 1
        return
    # Written out as in `counting`: with the query in a register it takes 1.4 ns an item, not 1.9.
    code = queries[query, 0]
    for item in range(np.uint64(start), np.uint64(end)):
        counts[popcount(code ^ gallery[item, 0])] += 1


@kernel
def _rank(counts: Any, results: int) -> None:
    """Turn counts i32[parts q d+1] into the rank of the first such item of each part, in place.

    Before an item stand all that are nearer, and those as near in the parts before its own. Where
    there is none, or its rank is beyond the results, `results` stands.
    """
    for query in range(counts.shape[1]):
        before = 0
        for here in range(counts.shape[2]):
            for part in range(counts.shape[0]):
                count = counts[part, query, here]
                counts[part, query, here] = before if count and before < results else results
                before += count
