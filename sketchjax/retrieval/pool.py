"""Everything within a distance of one query, found without numba's threads.

`index.search` shares one query between all cores. A server answers many at once, each on a thread
of its own: there a barrier waits for cores that other requests have, and numba's fallback thread
pool ends the process when two threads enter it. The kernels here have one thread and release the
GIL. Large galleries are taken in chunks, which threads that have nothing else to do share.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from sketchjax.compiled import kernel
from sketchjax.data.workers import cores
from sketchjax.retrieval.index import PART, count_segment, units
from sketchjax.retrieval.popcount import distance, popcount

# Parts of a gallery, and rows of a pool, that a thread takes at a time: a millisecond of work.
_CHUNK, _ROWS = 256, 1 << 14
_ROW_BITS = 31  # of a rank; the other 33 hold squares of up to 132,000 features u8


@dataclass(frozen=True, eq=False)
class Gallery:
    """n codes as they are searched.

    units: u[n w], see `index.units`.
    bits: d.
    labels: u16[n].
    """

    units: np.ndarray
    bits: int
    labels: np.ndarray


@dataclass(frozen=True, eq=False)
class Pool:
    """The items within `radius` of a query, ordered by distance, then by row.

    histogram: i64[d+1], items at each distance, also beyond the radius.
    radius: the least distance within which there are as many items as asked for, else d.
    distances: i32[m].
    rows: i64[m] of the gallery; fewer than are within the radius where that is more than `most`.
    """

    histogram: np.ndarray
    radius: int
    distances: np.ndarray
    rows: np.ndarray

    @property
    def all(self) -> int:
        """How many items are within the radius."""
        return int(self.histogram[: self.radius + 1].sum())


def find_pool(
    code: np.ndarray,
    gallery: Gallery,
    least: int,
    most: int,
    allowed: np.ndarray | None = None,
    *,
    threads: int = 1,
) -> Pool:
    """All items within the first distance that holds enough of them.

    code: u8[d/8], the query.
    gallery: that is searched.
    least: items that the pool must hold, if the gallery has them.
    most: items that it may hold; the first by distance and row are kept.
    allowed: bool[65536], whether items of each label count; None: all items.
    threads: at most; all but this one are of a pool that has one for each other core.
    """
    query = units(code[None])
    parts = -(-len(gallery.units) // PART)
    counts = np.zeros((parts, gallery.bits + 1), np.int32)
    chunks = range(0, max(parts, 1), _CHUNK)
    totals = np.zeros((len(chunks), gallery.bits + 1), np.int64)

    def count(chunk: int) -> None:
        own, items = _of_chunk(chunk)
        if allowed is None:
            _count_parts(query, gallery.units[items], counts[own])
        else:
            _count_allowed(query, gallery.units[items], gallery.labels[items], allowed, counts[own])
        counts[own].sum(axis=0, out=totals[chunk])

    _share(count, len(chunks), threads)
    histogram = totals.sum(axis=0)
    within = np.cumsum(histogram)
    radius = min(int(np.searchsorted(within, least)), gallery.bits)
    size = min(int(within[radius]), most)
    distances, rows = np.empty(size, np.int32), np.empty(size, np.int64)
    # The rank of a chunk's first item at each distance.
    first = within - histogram + np.cumsum(totals, axis=0) - totals

    def gather(chunk: int) -> None:
        own, items = _of_chunk(chunk)
        _gather(
            query,
            gallery.units[items],
            gallery.labels[items],
            _EVERY_LABEL if allowed is None else allowed,
            counts[own],
            radius,
            first[chunk],
            items.start,
            distances,
            rows,
        )

    _share(gather, len(chunks), threads)
    return Pool(histogram, radius, distances, rows)


def _of_chunk(chunk: int) -> tuple[slice, slice]:
    """The parts of a chunk, and its items."""
    own = slice(chunk * _CHUNK, (chunk + 1) * _CHUNK)
    return own, slice(own.start * PART, own.stop * PART)


_EVERY_LABEL = np.ones(1 << 16, np.bool_)


def nearest_features(
    query: np.ndarray, features: np.ndarray, rows: np.ndarray, k: int, *, threads: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """The k rows whose features are nearest to a query's, by squared distance, then by row.

    query: u8[f].
    features: u8[n f].
    rows: i64[m], those compared.
    k: results.
    threads: as of `find_pool`.
    Returns places in `rows` i64[min(k, m)] and squared distances i64[min(k, m)].
    """
    ranks = np.empty(len(rows), np.uint64)

    def rank(chunk: int) -> None:
        own = slice(chunk * _ROWS, (chunk + 1) * _ROWS)
        _rank_features(query, features, rows[own], ranks[own])

    _share(rank, -(-len(rows) // _ROWS), threads)
    k = min(k, len(rows))
    if k < len(rows):
        places = np.argpartition(ranks, k)[:k] if k else np.zeros(0, np.int64)
    else:
        places = np.arange(len(rows))
    places = places[np.argsort(ranks[places])]
    return places, (ranks[places] >> np.uint64(_ROW_BITS)).astype(np.int64)


def _share(work: Callable[[int], None], chunks: int, threads: int) -> None:
    """Call work(chunk) for each chunk, on this thread and on those that have nothing else to do."""
    remaining = iter(range(chunks))  # each number goes to one thread: `next` holds the GIL

    def take() -> None:
        for chunk in remaining:
            work(chunk)

    helpers = [_helpers().submit(take) for _ in range(min(threads, chunks) - 1)]
    take()
    for helper in helpers:
        if not helper.cancel():  # it has begun
            helper.result()


@cache
def _helpers() -> ThreadPoolExecutor:
    others = max(1, cores() - 1)
    return ThreadPoolExecutor(others, thread_name_prefix="sketchjax-search")


@kernel
def _count_parts(query: Any, gallery: Any, counts: Any) -> None:
    """Fill counts i32[parts d+1] with the distances from query u[1 w] to gallery u[n w]."""
    for part in range(counts.shape[0]):
        end = min(gallery.shape[0], (part + 1) * PART)
        count_segment(query, 0, gallery, part * PART, end, counts[part])


@kernel
def _count_allowed(query: Any, gallery: Any, labels: Any, allowed: Any, counts: Any) -> None:
    """The same, of the items whose label u16[n] is allowed, bool[65536]."""
    for part in range(counts.shape[0]):
        for item in range(part * PART, min(gallery.shape[0], (part + 1) * PART)):
            if allowed[labels[item]]:
                counts[part, distance(query, 0, gallery, item)] += 1


@kernel
def _gather(
    query: Any,
    gallery: Any,
    labels: Any,
    allowed: Any,
    counts: Any,
    radius: int,
    first: Any,
    row: int,
    distances: Any,
    rows: Any,
) -> None:
    """Fill distances i32[m] and rows i64[m] of the pool, by distance, then by row.

    counts: i32[parts d+1]; a part without an item within the radius is not read again.
    first: i64[d+1], the rank of the first item at each distance; it is used up.
    row: of the first item.
    """
    near = np.empty(PART, np.int64)
    for part in range(counts.shape[0]):
        inside = 0
        for here in range(radius + 1):
            inside += counts[part, here]
        if inside == 0:
            continue
        start, end = part * PART, min(gallery.shape[0], (part + 1) * PART)
        found = _near(query, gallery, start, end, radius, near)
        for item in near[:found]:
            if not allowed[labels[item]]:
                continue
            here = distance(query, 0, gallery, item)
            rank = first[here]
            if rank < rows.shape[0]:
                distances[rank] = here
                rows[rank] = row + item
            first[here] = rank + 1


@kernel
def _near(query: Any, gallery: Any, start: int, end: int, radius: int, near: Any) -> Any:
    """Fill near i64[PART] with the items of gallery[start:end] within the radius; how many.

    Without a branch, which few items would take, so that the processor would often guess wrong.
    """
    found, most = np.uint64(0), np.uint64(radius)
    if query.shape[1] > 1:
        for item in range(np.uint64(start), np.uint64(end)):
            near[found] = item
            found += np.uint64(distance(query, 0, gallery, item) <= most)
        return found
    code = query[0, 0]
    for item in range(np.uint64(start), np.uint64(end)):
        near[found] = item
        found += np.uint64(popcount(code ^ gallery[item, 0]) <= most)
    return found


@kernel
def _rank_features(query: Any, features: Any, rows: Any, ranks: Any) -> None:
    """Fill ranks u64[m]: the squared distance to query u8[f], then the row, as one number."""
    for place in range(rows.shape[0]):
        row = rows[place]
        total = np.int64(0)
        for axis in range(query.shape[0]):
            step = np.int32(query[axis]) - np.int32(features[row, axis])
            total += step * step
        ranks[place] = (np.uint64(total) << np.uint64(_ROW_BITS)) | np.uint64(row)
