"""How often a drawing is found again when a shaky hand draws it once more.

    python -m benchmarks.instances indexes/quickstart --json instances.json

Drawings of the index are turned by up to 15 degrees, scaled by 0.85 to 1.15 along each axis, moved
by a normal deviate of `--jitter` units at each point, and encoded by the model of the index as any
query is. The figures are the shares of these queries whose original is among the first k results:
by Hamming distance only, where the order inside a tie is random (the expectation); and as `search`
orders, by features inside the pool, for pools of several least sizes. The bound is a search of all
features, without codes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import parser, report
from sketchjax.data.sketch import Sketches, strokes
from sketchjax.index.engine import Items
from sketchjax.index.memory_snapshot import MemorySnapshot
from sketchjax.index.opening import open_index
from sketchjax.index.search import LEAST, MOST
from sketchjax.index.store import MODEL
from sketchjax.retrieval.drawings import as_sketches
from sketchjax.retrieval.model import load
from sketchjax.retrieval.outputs import Encoder

POOLS = (36, 100, LEAST, 400, 1_000)


def main(words: Sequence[str] | None = None) -> None:
    """Draw again, search, print the shares."""
    arguments = _flags().parse_args(words)
    with closing(open_index(arguments.index)) as engine:
        snapshot = engine.snapshot()
        encoder = load(arguments.index / MODEL)
        figures = measure(snapshot, encoder, arguments)
    report("instances", figures, arguments.json)


def _flags() -> argparse.ArgumentParser:
    flags = parser(__doc__)
    flags.add_argument("index", type=Path, help="a folder that `sketchjax index` wrote")
    flags.add_argument("--queries", type=int, default=1_500)
    flags.add_argument("--jitter", type=float, default=4.0, help="units of a drawing of 255")
    flags.add_argument("-k", type=int, default=36)
    flags.add_argument("--seed", type=int, default=0)
    return flags


def measure(
    snapshot: MemorySnapshot, encoder: Encoder, arguments: argparse.Namespace
) -> dict[str, Any]:
    """The shares of queries whose original is found.

    snapshot: of the index, of whose drawings the queries are made.
    encoder: its model.
    arguments: of the command line.
    """
    random = np.random.default_rng(arguments.seed)
    there = snapshot.ids[snapshot.rows_of(snapshot.ids)[1]]
    chosen = random.choice(there, min(arguments.queries, len(there)), replace=False)
    originals = snapshot.get(np.sort(chosen).tolist())
    outputs = encoder.outputs(redrawn(originals, arguments.jitter, random))
    state = snapshot.describe()
    features = state.scale.bytes_of(outputs.features)
    k, found = arguments.k, {}
    for name, least in {f"pool_{least}": least for least in POOLS}.items():
        hits = [
            original in nearest(snapshot, code, own, k, least)
            for original, code, own in zip(
                originals.ids, outputs.codes.packed, features, strict=True
            )
        ]
        found[f"recall_{name}"] = float(np.mean(hits))
    expected = [
        by_codes(snapshot, code, original, k)
        for code, original in zip(outputs.codes.packed, originals.codes, strict=True)
    ]
    return {
        "drawings": state.count,
        "bits": state.bits,
        "queries": len(originals),
        "k": k,
        "jitter": arguments.jitter,
        "share_of_codes_that_are_distinct": len(np.unique(snapshot.gallery.units, axis=0))
        / len(snapshot.ids),
        "recall_codes_only": float(np.mean(expected)),
        **found,
        "recall_features_only": by_features(snapshot, features, originals.ids, k),
    }


def redrawn(originals: Items, jitter: float, random: np.random.Generator) -> Sketches:
    """The drawings as a shaky hand draws them, each simplified as any query is."""
    drawings = []
    for i in range(len(originals)):
        angle = np.deg2rad(random.uniform(-15, 15))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        change = turn * random.uniform(0.85, 1.15, 2)
        drawings.append(
            [
                # A fraction more than any drawing on Google's square: always simplified.
                ((part @ change.T) + random.normal(0, jitter, part.shape) + 0.125).T.tolist()
                for part in strokes(originals.points_of(i))
            ]
        )
    return as_sketches(drawings)


def nearest(
    snapshot: MemorySnapshot, code: np.ndarray, features: np.ndarray, k: int, least: int
) -> np.ndarray:
    """The ids i64[k] that the features find among the first distances of at least `least` items."""
    found = snapshot.nearest(code, features, k, least=max(k, least), most=MOST, categories=None)
    return found.ids


def by_codes(snapshot: MemorySnapshot, code: np.ndarray, original: np.ndarray, k: int) -> float:
    """The probability that the original is among the first k, ties in random order."""
    found = snapshot.nearest(code, None, k, least=k, most=k, categories=None)
    distance = int(np.bitwise_count(code ^ original).sum())
    nearer = int(found.histogram[:distance].sum())
    return float(np.clip((k - nearer) / found.histogram[distance], 0, 1))


def by_features(snapshot: MemorySnapshot, features: np.ndarray, ids: np.ndarray, k: int) -> float:
    """The share of originals among the k items with the nearest features."""
    everything = snapshot.features.astype(np.float32)
    sizes = (everything**2).sum(1)
    hits = []
    for row, own in zip(snapshot.rows_of(ids)[0], features.astype(np.float32), strict=True):
        distances = sizes - 2 * everything @ own
        hits.append((distances < distances[row]).sum() < k)
    return float(np.mean(hits))


if __name__ == "__main__":
    main()
