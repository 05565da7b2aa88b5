"""Exact search for the nearest codes of a query."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from sketchjax.compiled import kernel, parallel_kernel
from sketchjax.retrieval.histograms import check_codes
from sketchjax.retrieval.popcount import distance, popcount, words

# Gallery codes that a thread compares at a time. At 64 bits they are 32 KB and stay in L1 for all
# queries of a block, and comparing a part again that holds a result costs little.
PART = 4096
# Most counts i32 by part, query and distance for a block of queries: 16 MB.
MOST_COUNTS = 1 << 22
# Histograms that take turns in counting one query's distances. Eight are no faster.
TURNS = 4


def search(
    query_codes: np.ndarray, gallery_codes: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest gallery codes of each query, nearest first, ties in gallery order.

    query_codes: u8[q d/8], packed by `ops.hamming.pack_codes`.
    gallery_codes: u8[n d/8], packed likewise.
    k: results per query.

    Returns Hamming distances i32[q min(k, n)] and places in the gallery i64[q min(k, n)]. The
    search compares every code, and a counting sort finds the places, so nothing of length n is
    sorted or stored. All cores share the gallery, even for a single query.
    Raises ValueError for wrong shapes or types or k < 1, and DataError when a side is empty.
    """
    if k < 1:
        raise ValueError(f"k={k}: must be at least 1.")
    check_codes(query_codes, gallery_codes)
    shape = (len(query_codes), min(k, len(gallery_codes)))
    distances, places = np.empty(shape, np.int32), np.empty(shape, np.int64)
    queries, gallery = units(query_codes), units(gallery_codes)
    bins = gallery_codes.shape[1] * 8 + 1
    parts = -(-len(gallery) // PART)
    block = max(1, MOST_COUNTS // (parts * bins))
    for start in range(0, len(queries), block):
        some = slice(start, start + block)
        _search(queries[some], gallery, bins, distances[some], places[some])
    return distances, places


def units(codes: np.ndarray) -> np.ndarray:
    """Codes u8[n d/8] as the widest unsigned integers that fill a row, u[n w]; usually a view.

    So 100 million codes of 16 bits stay at 200 MB. As 64-bit words every search would copy them to
    800 MB. Rows of more than 8 bytes that are not whole words are padded.
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
            count_segment(queries, query, gallery, part * PART, end, counts[part, query])
    ranks = counts
    _rank(ranks, results)
    # With a small k few parts hold a result; only these are compared again.
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
def count_segment(
    queries: Any, query: int, gallery: Any, start: int, end: int, counts: Any
) -> None:
    """Add the distances from a query to gallery[start:end], u[n w], to its counts i32[d+1]."""
    if queries.shape[1] > 1:
        for item in range(np.uint64(start), np.uint64(end)):
            counts[distance(queries, query, gallery, item)] += 1
        return
    # The query stays in a register, and four histograms take turns: in one of them, codes of the
    # same distance one after another, as in a class, would wait for each other's sum.
    code = queries[query, 0]
    turns = np.zeros((TURNS, counts.shape[0]), np.int32)
    first, last = np.uint64(start), np.uint64(end)
    whole = first + (last - first) // np.uint64(TURNS) * np.uint64(TURNS)
    for item in range(first, whole, np.uint64(TURNS)):
        for turn in range(np.uint64(TURNS)):
            turns[turn, popcount(code ^ gallery[item + turn, 0])] += 1
    for item in range(whole, last):
        counts[popcount(code ^ gallery[item, 0])] += 1
    for here in range(counts.shape[0]):
        for turn in range(TURNS):
            counts[here] += turns[turn, here]


@kernel
def _rank(counts: Any, results: int) -> None:
    """Replace counts i32[parts q d+1] by the rank of the first such item of each part.

    An item ranks after all nearer items and after the equally near ones of earlier parts. The value
    is `results` where there is no such item or its rank is beyond the results.
    """
    for query in range(counts.shape[1]):
        before = 0
        for here in range(counts.shape[2]):
            for part in range(counts.shape[0]):
                count = counts[part, query, here]
                counts[part, query, here] = before if count and before < results else results
                before += count
