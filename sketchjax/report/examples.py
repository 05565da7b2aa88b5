"""The sketches that a report shows: one category by its entropy, and what a few queries find."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.pictures import PictureShards
from sketchjax.data.folder.shards import Shards
from sketchjax.data.inputs import SKETCH, side_and_split
from sketchjax.report.material import EntropyExample, Neighbour, Retrieval
from sketchjax.retrieval.codes import Codes
from sketchjax.retrieval.metrics import Scores

BLOCK = 65_536  # records read at once: 10 MB, where QuickDraw-3.8M has 500 MB to train with
_SIDE = 112  # of a shown picture, in pixels; a photo then takes 4 KB
_STROKES: Mapping[str, str] = {SKETCH: "strokes"}


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
    kinds: Mapping[str, str] = _STROKES,
) -> list[Retrieval]:
    """The nearest gallery items of a few queries, easy and hard ones.

    The queries are taken at even steps of the ranking by average precision, not by hand.

    folder: the data folder that both were encoded from.
    queries, gallery: codes with the records that they belong to.
    scores: of ranking this gallery for these queries.
    shown: how many queries.
    retrieved: how many results of each.
    kinds: of the items of each side, as `config.kinds` has them.
    """
    ranked = scores.query[np.argsort(-scores.average_precision, kind="stable")]
    steps = np.linspace(0.1, 0.95, shown) * (len(ranked) - 1)
    chosen = ranked[np.unique(steps.astype(int))]
    return retrievals_of(folder, queries, gallery, chosen, retrieved, kinds)


def retrievals_of(
    folder: Path,
    queries: Codes,
    gallery: Codes,
    chosen: np.ndarray,
    retrieved: int,
    kinds: Mapping[str, str] = _STROKES,
) -> list[Retrieval]:
    """The nearest gallery items of chosen queries.

    folder: the data folder that both were encoded from.
    queries, gallery: codes with the records that they belong to.
    chosen: i64[q], rows of `queries`.
    retrieved: how many results of each.
    kinds: of the items of each side, as `config.kinds` has them.
    """
    asking = queries[chosen]
    distances, found = _nearest(queries, gallery, chosen, retrieved)
    names = Manifest.load(folder).categories
    asked = _shown(folder, asking, kinds)
    return [
        Retrieval(
            asked[row].points,
            names[label],
            [
                Neighbour(
                    item.points,
                    names[other],
                    int(distance),
                    bool(other == label),
                    item.picture,
                    bool(instance >= 0 and instance == asking.instances[row]),
                )
                for item, other, instance, distance in zip(
                    _shown(folder, gallery[found[row]], kinds),
                    gallery.labels[found[row]],
                    gallery.instances[found[row]],
                    distances[row],
                    strict=True,
                )
            ],
            asked[row].picture,
            None if queries.split == gallery.split else _place(asking[row], gallery),
        )
        for row, label in enumerate(asking.labels)
    ]


def _nearest(
    queries: Codes, gallery: Codes, chosen: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """`Codes.nearest` of some queries; of a split among itself, without each query's own item."""
    if queries.split != gallery.split:
        return gallery.nearest(queries[chosen], k)
    distances, found = gallery.nearest(queries[chosen], k + 1)
    kept = found != chosen[:, None]
    kept[kept.all(axis=1), -1] = False  # a tie has put it later
    return distances[kept].reshape(len(chosen), -1), found[kept].reshape(len(chosen), -1)


def _place(query: Codes, gallery: Codes) -> int | None:
    """Where the photo that a query draws is in its ranking, ties in the gallery's order, from 1."""
    own = np.flatnonzero((gallery.instances == query.instances[0]) & (query.instances[0] >= 0))
    if not len(own):
        return None
    _, ranked = gallery.nearest(query, len(gallery))
    return int(np.isin(ranked[0], own).argmax()) + 1


class _Shown(NamedTuple):
    """An item as the report shows it: points u8[t 3], or a picture's file as a data URI."""

    points: np.ndarray
    picture: str = ""


def _shown(folder: Path, codes: Codes, kinds: Mapping[str, str]) -> list[_Shown]:
    """The items that codes belong to."""
    side, split = side_and_split(codes.split)
    if kinds[side] == "strokes":
        with Shards(folder, split) as shards:
            return [_Shown(points) for points in _drawings(shards, codes.places)]
    with PictureShards(folder, kinds[side], split) as shards:
        pixels = shards.read(codes.places, _SIDE).pixels
    return [_Shown(np.zeros((0, 3), np.uint8), _data_uri(picture)) for picture in pixels]


def _data_uri(pixels: np.ndarray) -> str:
    """A photo u8[s s 3] as JPEG, a raster sketch u8[s s 1] as PNG."""
    kind, content = "jpeg" if pixels.shape[-1] == 3 else "png", io.BytesIO()
    Image.fromarray(pixels if kind == "jpeg" else pixels[..., 0]).save(content, kind)
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"


def _drawings(shards: Shards, records: np.ndarray) -> list[np.ndarray]:
    """The points u8[t 3] of records i64[n]."""
    if not len(records):
        return []
    read = shards.read(records)
    return [points.copy() for points in np.split(read.points, read.offsets[1:-1])]
