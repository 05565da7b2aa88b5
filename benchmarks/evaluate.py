"""Full evaluation of a hashing model: all queries against the whole gallery, all scores.

    python -m benchmarks.evaluate --json evaluate.json

The codes have the paper's size (34,500 queries, 345,000 gallery codes, 345 classes, 64 bits) and
score about the same: they are class codes with random bits flipped. The peer, in the same run, does
what the usual evaluation scripts do: distances from a product of sign matrices, an argsort of the
gallery per query, and the average precision of that order. It runs on a sample of the queries and
its time is scaled up. `difference_from_stable_sort` compares the mean over that sample, with a
stable sort, with our `map_stable`; only rounding separates them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from benchmarks.record import parser, peak_memory_bytes, report
from sketchjax.ops.hamming import pack_codes, unpack_codes
from sketchjax.retrieval.metrics import evaluate

# Share of the class's bits that a sketch flips; 0.175 gives the paper's MAP at 64 bits, 0.68.
FLIPPED = 0.175


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print and write the figures."""
    arguments = _flags().parse_args(words)
    rng = np.random.default_rng(arguments.seed)
    centers = rng.random((arguments.classes, arguments.bits)) < 0.5
    queries, query_labels = _codes(rng, centers, arguments.queries)
    gallery, gallery_labels = _codes(rng, centers, arguments.gallery)
    how: Any = {"bits": arguments.bits, "backend": arguments.backend}
    start = time.perf_counter()
    evaluate(queries[:8], query_labels[:8], gallery, gallery_labels, **how)
    compile_seconds = time.perf_counter() - start
    start, start_cpu = time.perf_counter(), time.process_time()
    scores = evaluate(queries, query_labels, gallery, gallery_labels, **how)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
    memory = peak_memory_bytes()
    sample = rng.permutation(arguments.queries)[: arguments.sample]
    part = queries[sample], query_labels[sample], gallery, gallery_labels
    start = time.perf_counter()
    _sorted_average_precision(*part, kind="quicksort")
    peer_seconds = (time.perf_counter() - start) * arguments.queries / len(sample)
    stable = _sorted_average_precision(*part, kind="stable").mean()
    difference = abs(stable - evaluate(*part, bits=arguments.bits, backend="numba").map_stable)
    figures = {
        **{name: getattr(arguments, name) for name in ("queries", "gallery", "bits", "classes")},
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_memory_bytes": memory,
        "queries_per_second": arguments.queries / seconds,
        "first_call_seconds": compile_seconds,
        "peer": "sign-matrix product and argsort, numpy",
        "peer_sample": len(sample),
        "peer_seconds": peer_seconds,
        "ratio": peer_seconds / seconds,
        "difference_from_stable_sort": difference,
        **scores.as_dict(),
    }
    report("evaluate", figures, arguments.json)


def _flags() -> argparse.ArgumentParser:
    flags = parser(__doc__)
    flags.add_argument("--queries", type=int, default=34_500)
    flags.add_argument("--gallery", type=int, default=345_000)
    flags.add_argument("--bits", type=int, default=64)
    flags.add_argument("--classes", type=int, default=345)
    flags.add_argument("--sample", type=int, default=100, help="queries that the peer evaluates")
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--backend", default="numba", choices=("numba", "jax"))
    return flags


def _codes(
    rng: np.random.Generator, centers: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Codes u8[count d/8] around class centres in random order, and their labels i64[count]."""
    labels = rng.permutation(np.arange(count) % len(centers))
    packed = pack_codes(centers)[labels]
    block = 65_536
    for start in range(0, count, block):
        part = packed[start : start + block]
        part ^= pack_codes(rng.random((len(part), centers.shape[1]), np.float32) < FLIPPED)
    return packed, labels


def _sorted_average_precision(
    query_codes: np.ndarray,
    query_labels: np.ndarray,
    gallery_codes: np.ndarray,
    gallery_labels: np.ndarray,
    kind: Literal["quicksort", "stable"],
) -> np.ndarray:
    """Average precision as hashing toolboxes compute it, with one sort of the gallery per query.

    Arguments are those of `evaluate`; kind: of the sort. Returns f64[q].
    """
    gallery = unpack_codes(gallery_codes).astype(np.float32) * 2 - 1
    queries = unpack_codes(query_codes).astype(np.float32) * 2 - 1
    bits, block = gallery.shape[1], 20
    values = []
    for start in range(0, len(queries), block):
        distances = (bits - queries[start : start + block] @ gallery.T) / 2
        for row, label in zip(distances, query_labels[start : start + block], strict=True):
            hits = gallery_labels[np.argsort(row, kind=kind)] == label
            ranks = np.flatnonzero(hits) + 1
            values.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    return np.array(values)


if __name__ == "__main__":
    main()
