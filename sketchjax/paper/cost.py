"""The cost of exact search: seconds per query and memory (SketchMate, table 5)."""

from __future__ import annotations

import ctypes
import math
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np

from sketchjax.retrieval.index import search

MB = 1e6  # bytes


@dataclass(frozen=True, slots=True)
class SearchCost:
    """The cost of searching a gallery of codes, one query at a time.

    gallery: number of codes.
    bits: length of a code.
    k: results per query.
    seconds_per_query: for the k nearest codes, on all processor cores; the median.
    seconds_per_query_one_core: the same on one core.
    seconds_per_ranking: for ranking the whole gallery, on all cores. The paper reports "retrieval
      time per query" of an exhaustive ranking without defining it: this is the most it can mean.
    code_mb: size of the packed codes, gallery · bits / 8 bytes, in MB of 10⁶ bytes.
    memory_mb: peak rise of resident memory from before the codes existed to the last search for k,
      in MB; NaN on systems without /proc.
    """

    gallery: int
    bits: int
    k: int
    seconds_per_query: float
    seconds_per_query_one_core: float
    seconds_per_ranking: float
    code_mb: float
    memory_mb: float


def search_cost(
    gallery: int, bits: int, *, queries: int = 20, k: int = 200, seed: int = 0
) -> SearchCost:
    """Measure `index.search` on random codes, one query at a time.

    Search compares every code, so its time hardly depends on their values.

    gallery: number of codes, at least 1.
    bits: length of a code, a multiple of 8.
    queries: how many are timed, after one warm-up; at most 3 for the full ranking. Default 20.
    k: results per query, 200 by default.
    seed: of the random codes.
    Raises ValueError for sizes out of range.
    """
    if min(gallery, queries, k) < 1 or bits < 8 or bits % 8:
        raise ValueError(
            f"gallery={gallery}, queries={queries}, k={k}, bits={bits}: each must be at least 1, "
            "and bits a multiple of 8"
        )
    # Compile first: machine code does not count as the gallery's memory.
    search(random_codes(2, bits, seed), random_codes(2, bits, seed), 1)
    with _watched_memory() as memory:
        codes = random_codes(gallery, bits, seed)
        probes = random_codes(queries + 1, bits, seed + 1)
        seconds = _median_seconds(probes, codes, k)
    cores = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one_core = _median_seconds(probes, codes, k)
    finally:
        numba.set_num_threads(cores)
    ranking = _median_seconds(probes[:4], codes, gallery)
    return SearchCost(
        gallery, bits, k, seconds, one_core, ranking, codes.nbytes / MB, memory.rise / MB
    )


def random_codes(count: int, bits: int, seed: int) -> np.ndarray:
    """Packed codes u8[count bits/8] of uniform random bits."""
    return np.random.default_rng(seed).integers(0, 256, (count, bits // 8), np.uint8)


def _median_seconds(queries: np.ndarray, gallery: np.ndarray, k: int) -> float:
    """Median seconds of a search for one query, leaving out the first query."""
    seconds = []
    for query in range(len(queries)):
        begun = time.perf_counter()
        search(queries[query : query + 1], gallery, k)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds[1:])


class _Memory:
    """rise: bytes by which resident memory peaked above its first value; NaN if unknown."""

    def __init__(self) -> None:
        self.first = _resident_bytes()
        self.rise = float("nan") if math.isnan(self.first) else 0.0

    def look(self) -> None:
        if not math.isnan(self.first):
            self.rise = max(self.rise, _resident_bytes() - self.first)


@contextmanager
def _watched_memory() -> Iterator[_Memory]:
    """Watch resident memory from a thread, which runs because searches release Python's lock."""
    # glibc keeps some 64 MB of freed memory; allocations served from it would show no rise.
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if give_back is not None:
        give_back(0)
    watched, done = _Memory(), threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            watched.look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield watched
    finally:
        done.set()
        watcher.join()
        watched.look()


def _resident_bytes() -> float:
    """Current resident memory of this process; NaN without /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return float("nan")
    import resource

    return pages * resource.getpagesize()


def bytes_needed(gallery: int, bits: int) -> int:
    """Upper bound on a measurement's memory: the codes, a copy of them, and a full ranking.

    An item of a ranking has a distance i32 and a place i64. Another 64 MiB cover the counters of a
    search, 16 MB and more.
    """
    return gallery * (2 * bits // 8 + 12) + (64 << 20)
