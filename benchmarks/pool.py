"""One query on one thread: the pool that `search` takes from an index, against faiss.

    python -m benchmarks.pool --json pool.json

Codes of 64 bits, as trained models make them: clustered around 345 centres, sorted by category as
QuickDraw's files are, and random ones. The figures are milliseconds of a query: for the 36 nearest
by Hamming distance, in turn with faiss's IndexBinaryFlat on one thread, whose distances must equal
ours; and for the 36 nearest by 64 features inside the pool, which faiss does not have, also with
the threads of all cores, as an index is searched.
`--codes 50000000` needs 4 GB with the features.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any

import numpy as np

from benchmarks.record import parser, report
from benchmarks.timing import in_turn, median_seconds
from sketchjax.data.workers import cores
from sketchjax.index.search import LEAST, MOST
from sketchjax.retrieval.index import units
from sketchjax.retrieval.pool import Gallery, find_pool, nearest_features

BITS, CENTRES, K = 64, 345, 36


def main(words: Sequence[str] | None = None) -> None:
    """Measure both kinds of codes and print the figures."""
    arguments = _flags().parse_args(words)
    figures: dict[str, Any] = {"codes": arguments.codes, "k": K}
    for kind, make in {"clustered": clustered, "random": scattered}.items():
        random = np.random.default_rng(arguments.seed)
        codes = make(arguments.codes, random)
        wanted = codes[random.integers(0, len(codes), arguments.rounds)]
        for name, value in measure(codes, wanted, arguments.rounds, random).items():
            figures[f"{kind}_{name}"] = value
    report("pool", figures, arguments.json)


def _flags() -> argparse.ArgumentParser:
    flags = parser(__doc__)
    flags.add_argument("--codes", type=int, default=1_000_000)
    flags.add_argument("--rounds", type=int, default=30, help="queries, after one of each")
    flags.add_argument("--seed", type=int, default=0)
    return flags


def scattered(count: int, random: np.random.Generator) -> np.ndarray:
    """Uniform codes u8[n 8]."""
    return random.integers(0, 256, (count, BITS // 8), np.uint8)


def clustered(count: int, random: np.random.Generator) -> np.ndarray:
    """Codes u8[n 8] around centres: 57 % are a centre's own, and the others a few bits away."""
    centres = np.repeat(scattered(CENTRES, random), -(-count // CENTRES), axis=0)[:count]
    flips = np.where(random.random(count) < 0.57, 0, random.geometric(0.3, count))
    for turn in range(1, int(flips.max()) + 1):
        rows = np.flatnonzero(flips >= turn)
        place = random.integers(0, BITS, len(rows))
        centres[rows, place // 8] ^= (1 << (place % 8)).astype(np.uint8)
    return centres


def measure(
    codes: np.ndarray, wanted: np.ndarray, rounds: int, random: np.random.Generator
) -> dict[str, Any]:
    """Milliseconds of a query, and faiss's.

    codes: u8[n 8].
    wanted: u8[q 8], the queries.
    rounds: queries that are timed.
    random: makes the features.
    """
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexBinaryFlat(BITS)
    index.add(codes)  # type: ignore[call-arg]
    gallery = Gallery(units(codes), BITS, np.zeros(len(codes), np.uint16))
    features = random.integers(0, 256, (len(codes), 64), np.uint8)

    def ours(code: np.ndarray) -> np.ndarray:
        return find_pool(code, gallery, K, K).distances

    def theirs(code: np.ndarray) -> np.ndarray:
        return index.search(code[None], K)[0][0]  # type: ignore[call-arg]

    def reranked(code: np.ndarray, threads: int = 1) -> object:
        pool = find_pool(code, gallery, LEAST, MOST, threads=threads)
        return nearest_features(features[0], features, pool.rows, K, threads=threads)

    def shared(code: np.ndarray) -> object:
        return reranked(code, cores())

    compared = in_turn(_one_by_one(ours, wanted), _one_by_one(theirs, wanted), rounds)
    return {
        "ms_by_codes": 1e3 * compared.seconds,
        "ms_faiss": 1e3 * compared.peer_seconds,
        "ratio_to_faiss": compared.ratio,
        "least_ratio_to_faiss": compared.least_ratio,
        "ms_by_features": 1e3 * median_seconds(_one_by_one(reranked, wanted), rounds),
        "ms_by_features_all_cores": 1e3 * median_seconds(_one_by_one(shared, wanted), rounds),
        "pool": float(np.median([find_pool(code, gallery, LEAST, MOST).all for code in wanted])),
        "same_distances_as_faiss": all(np.array_equal(ours(c), theirs(c)) for c in wanted[:5]),
    }


def _one_by_one(find: Callable[[np.ndarray], object], queries: np.ndarray) -> Callable[[], object]:
    following: Iterator[np.ndarray] = cycle(queries)
    return lambda: find(next(following))


if __name__ == "__main__":
    main()
