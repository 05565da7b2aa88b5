"""What exact search costs: seconds a query and memory (SketchMate, table 5)."""

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
    """The cost of searching one query at a time in a gallery of codes.

    gallery, bits, k: what was searched: codes, their size, results of a query.
    seconds_per_query: the k nearest codes, on all processor cores; the median.
    seconds_per_query_one_core: the same on one.
    seconds_per_ranking: the whole gallery in its order, on all cores. The paper says "retrieval
      time per query" of an exhaustive ranking, and not which: this is the most it can mean.
    code_mb: the packed codes, gallery · bits / 8 bytes, in MB of 10⁶ bytes.
    memory_mb: the most by which resident memory rose from before there were codes to the last
      search for k, in MB; NaN where the system does not tell (it has no /proc).
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
    """Measure exact search of random codes, as `index.search` does it, one query at a time.

    gallery: how many codes; bits: of each, a multiple of 8; queries: how many are timed, after one
    that is not (the ranking takes 3 at most); seed: of the codes. The time hardly depends on what
    the codes are, as every one is compared.
    Raises ValueError on sizes that are no such numbers.
    """
    if min(gallery, queries, k) < 1 or bits < 8 or bits % 8:
        raise ValueError(
            f"gallery={gallery}, queries={queries}, k={k}, bits={bits}: all have to be at least 1, "
            "and bits a multiple of 8"
        )
    # Compiled before memory is looked at: code for the processor is not what a gallery takes.
    search(random_codes(2, bits, seed), random_codes(2, bits, seed), 1)
    with _most_resident() as memory:
        codes = random_codes(gallery, bits, seed)
        wanted = random_codes(queries + 1, bits, seed + 1)
        seconds = _median_seconds(wanted, codes, k)
    cores = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = _median_seconds(wanted, codes, k)
    finally:
        numba.set_num_threads(cores)
    ranking = _median_seconds(wanted[:4], codes, gallery)
    return SearchCost(
        gallery, bits, k, seconds, alone, ranking, codes.nbytes / MB, memory.rise / MB
    )


def random_codes(count: int, bits: int, seed: int) -> np.ndarray:
    """Packed codes u8[count bits/8] whose bits are 0 or 1 alike."""
    return np.random.default_rng(seed).integers(0, 256, (count, bits // 8), np.uint8)


def _median_seconds(queries: np.ndarray, gallery: np.ndarray, k: int) -> float:
    """Median seconds of a query, each alone, without the first."""
    seconds = []
    for query in range(len(queries)):
        begun = time.perf_counter()
        search(queries[query : query + 1], gallery, k)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds[1:])


class _Resident:
    """rise: bytes by which resident memory was most above what it was at first; NaN if unknown."""

    def __init__(self) -> None:
        self.first = _resident_bytes()
        self.rise = float("nan") if math.isnan(self.first) else 0.0

    def look(self) -> None:
        if not math.isnan(self.first):
            self.rise = max(self.rise, _resident_bytes() - self.first)


@contextmanager
def _most_resident() -> Iterator[_Resident]:
    """Watch resident memory from a thread; the searches leave Python's lock to it."""
    # glibc keeps some 64 MB of what was freed for later; taken from these, nothing would rise.
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if give_back is not None:
        give_back(0)
    watched, done = _Resident(), threading.Event()

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
    """Resident memory of this process now."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return float("nan")
    import resource

    return pages * resource.getpagesize()


def bytes_needed(gallery: int, bits: int) -> int:
    """Memory that a measurement takes at most: codes, a copy of them, and a whole ranking.

    Of a ranking each item has a distance i32 and a place i64. Counts of a search: 16 MB and more.
    """
    return gallery * (2 * bits // 8 + 12) + (64 << 20)
