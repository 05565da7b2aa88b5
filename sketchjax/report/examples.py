"""The sketches that a report shows: one category by its entropy, and what a few queries find."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.shards import Shards
from sketchjax.report.material import EntropyExample, Neighbour, Retrieval
from sketchjax.retrieval.codes import Codes
from sketchjax.retrieval.metrics import Scores

BLOCK = 65_536  # records read at once: 10 MB, where QuickDraw-3.8M has 500 MB to train with


def entropy_example(folder: Path, *, category: str = "", shown: int = 6) -> EntropyExample:
    """One category's training sketches by image entropy, with examples of its three parts.

    folder: a data folder.
    category: which one to show; the one with the widest thresholds if the folder lacks it.
    shown: example sketches of each part.
    """
    manifest = Manifest.load(folder)
    low, high = np.asarray(manifest.entropy_low), np.asarray(manifest.entropy_high)
    names = manifest.categories
    label = names.index(category) if category in names else int((high - low).argmax())
    with Shards(folder, "train") as shards:
        own, entropies = _entropies(shards, label)
        order = np.argsort(entropies, kind="stable")
        below = int((entropies < low[label]).sum())
        above = int((entropies > high[label]).sum())
        inside = order[below : len(own) - above]
        parts = (
            order[:below][:shown],
            inside[np.linspace(0, len(inside) - 1, min(shown, len(inside))).astype(int)],
            order[len(own) - above :][-shown:],
        )
        sketches = [_drawings(shards, own[part]) for part in parts]
    return EntropyExample(names[label], entropies, float(low[label]), float(high[label]), *sketches)


def _entropies(shards: Shards, label: int) -> tuple[np.ndarray, np.ndarray]:
    """The records i64[n] of a category and their entropies f32[n], read block by block."""
    records, entropies = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    for first in range(0, len(shards), BLOCK):
        block = shards.read(np.arange(first, min(first + BLOCK, len(shards))))
        own = np.flatnonzero(block.labels == label)
        records.append(first + own)
        entropies.append(block.entropies[own])
    return np.concatenate(records), np.concatenate(entropies)


def example_retrievals(
    folder: Path,
    queries: Codes,
    gallery: Codes,
    scores: Scores,
    *,
    shown: int,
    retrieved: int,
) -> list[Retrieval]:
    """The nearest gallery sketches of a few queries, easy and hard ones.

    The queries are taken at even steps of the ranking by average precision, not by hand.

    folder: the data folder that both were encoded from.
    queries, gallery: codes with the records that they belong to.
    scores: of ranking this gallery for these queries.
    shown: how many queries.
    retrieved: how many results of each.
    """
    ranked = scores.query[np.argsort(-scores.average_precision, kind="stable")]
    steps = np.linspace(0.1, 0.95, shown) * (len(ranked) - 1)
    chosen = ranked[np.unique(steps.astype(int))]
    return retrievals_of(folder, queries, gallery, chosen, retrieved)


def retrievals_of(
    folder: Path, queries: Codes, gallery: Codes, chosen: np.ndarray, retrieved: int
) -> list[Retrieval]:
    """The nearest gallery sketches of chosen queries.

    folder: the data folder that both were encoded from.
    queries, gallery: codes with the records that they belong to.
    chosen: i64[q], rows of `queries`.
    retrieved: how many results of each.
    """
    asking = queries[chosen]
    distances, found = gallery.nearest(asking, retrieved)
    names = Manifest.load(folder).categories
    with Shards(folder, queries.split) as own, Shards(folder, gallery.split) as items:
        drawings = _drawings(own, asking.places)
        return [
            Retrieval(
                drawings[row],
                names[label],
                [
                    Neighbour(points, names[other], int(distance), bool(other == label))
                    for points, other, distance in zip(
                        _drawings(items, gallery.places[found[row]]),
                        gallery.labels[found[row]],
                        distances[row],
                        strict=True,
                    )
                ],
            )
            for row, label in enumerate(asking.labels)
        ]


def _drawings(shards: Shards, records: np.ndarray) -> list[np.ndarray]:
    """The points u8[t 3] of records i64[n]."""
    if not len(records):
        return []
    read = shards.read(records)
    return [points.copy() for points in np.split(read.points, read.offsets[1:-1])]
