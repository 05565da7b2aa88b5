"""Exact search for the 200 nearest codes, one query at a time (SketchMate, table 5).

    python -m benchmarks.search --json search.json

Random codes of 16, 24, 32 and 64 bits: 345,000 as in the paper's gallery, 10 million and 100
million. The figures are seconds per query for the k nearest on all cores and on one core, seconds
for the whole ranking, MB of the codes, and MB by which resident memory rose. In the same run and in
turn with ours: faiss's IndexBinaryFlat (`pip install 'sketchjax[bench]'`), whose distances must
equal ours. The paper's printed figures, from its own machine, are shown alongside. A size that
would take more than half of the free memory is skipped and listed as left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from itertools import cycle
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.record import format_figure, parser, write
from benchmarks.timing import in_turn
from sketchjax.memory import free_bytes
from sketchjax.paper import numbers as paper
from sketchjax.paper.cost import bytes_needed, random_codes, search_cost
from sketchjax.retrieval.index import search

PAPER_GALLERY = 345_000


def main(words: Sequence[str] | None = None) -> None:
    """Measure each size, write the figures after each, and print them all."""
    arguments = _flags().parse_args(words)
    rows: list[dict[str, Any]] = []
    figures = {"k": arguments.k, "queries": arguments.queries, "sizes": rows, "left_out": []}
    for gallery in arguments.gallery:
        for bits in arguments.bits:
            needed, free = bytes_needed(gallery, bits), free_bytes()
            if needed > free / 2:
                said = f"{gallery:,} x {bits} bits: {needed / 1e9:.3g} GB of {free / 1e9:.3g} free"
                figures["left_out"].append(said)
                print(f"left out, because it needs more than half of the free memory: {said}")
                continue
            rows.append(measure(gallery, bits, arguments))
            write("search", figures, arguments.json)
    write("search", figures, arguments.json)
    # The eleven columns need this width; otherwise figures would be cut.
    Console(width=max(Console().width, 110)).print(table_of(rows))


def _flags() -> argparse.ArgumentParser:
    flags = parser(__doc__)
    sizes = [PAPER_GALLERY, 10_000_000, 100_000_000]
    flags.add_argument("--gallery", type=int, nargs="+", default=sizes, help="numbers of codes")
    flags.add_argument("--bits", type=int, nargs="+", default=[16, 24, 32, 64])
    flags.add_argument("--k", type=int, default=200, help="results per query")
    flags.add_argument("--queries", type=int, default=20, help="timed at each size, after one")
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--no-peer", action="store_true", help="without faiss")
    return flags


def measure(gallery: int, bits: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One row: our cost, faiss's time if it is installed, and the paper's figures."""
    how = {"queries": arguments.queries, "k": arguments.k, "seed": arguments.seed}
    row = asdict(search_cost(gallery, bits, **how))
    if not arguments.no_peer and find_spec("faiss"):
        row |= compare_with_faiss(gallery, bits, **how)
    if gallery == PAPER_GALLERY:
        for printed in paper.rows("5", bits=bits):
            row["paper_seconds_per_query"] = printed["seconds_per_query"]
            row["paper_memory_mb"] = printed["memory_mb"]
    return row


def compare_with_faiss(
    gallery: int, bits: int, *, queries: int, k: int, seed: int
) -> dict[str, Any]:
    """Seconds per query of faiss, in turn with ours, and whether the distances are equal.

    gallery: number of codes.
    bits: d, of a code.
    queries: how many are timed, one at a time.
    k: results per query.
    seed: of the random codes.

    Places are not compared, because faiss promises no order inside a tie.
    """
    import faiss

    codes, wanted = random_codes(gallery, bits, seed), random_codes(queries, bits, seed + 1)
    index = faiss.IndexBinaryFlat(bits)
    index.add(codes)  # type: ignore[call-arg]
    same = np.array_equal(
        search(wanted[:3], codes, k)[0],
        index.search(wanted[:3], min(k, gallery))[0],  # type: ignore[call-arg]
    )

    def ours(query: np.ndarray) -> object:
        return search(query, codes, k)

    def theirs(query: np.ndarray) -> object:
        return index.search(query, k)  # type: ignore[call-arg]

    compared = in_turn(_one_by_one(ours, wanted), _one_by_one(theirs, wanted), queries)
    return {
        "faiss_seconds_per_query": compared.peer_seconds,
        "ratio_to_faiss": compared.ratio,
        "least_ratio_to_faiss": compared.least_ratio,
        "same_distances_as_faiss": same,
    }


def _one_by_one(find: Callable[[np.ndarray], object], queries: np.ndarray) -> Callable[[], object]:
    following: Iterator[np.ndarray] = cycle(queries)
    return lambda: find(next(following)[None])


def table_of(rows: list[dict[str, Any]]) -> Table:
    """All sizes as a table for the terminal; cells without a measurement are empty."""
    columns = {
        "codes": "gallery",
        "bits": "bits",
        "s/query": "seconds_per_query",
        "one core": "seconds_per_query_one_core",
        "ranking": "seconds_per_ranking",
        "faiss": "faiss_seconds_per_query",
        "faiss / ours": "ratio_to_faiss",
        "paper": "paper_seconds_per_query",
        "MB codes": "code_mb",
        "MB rise": "memory_mb",
        "MB paper": "paper_memory_mb",
    }
    table = Table(title="search, seconds per query")
    for heading in columns:
        table.add_column(heading, justify="right")
    for row in rows:
        found = (row.get(name) for name in columns.values())
        table.add_row(*("" if value is None else format_figure(value) for value in found))
    return table


if __name__ == "__main__":
    main()
