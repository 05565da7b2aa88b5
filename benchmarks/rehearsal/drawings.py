"""As many different drawings as a rehearsal needs, written as files of QuickDraw.

Drawing a doodle takes half a millisecond, so 3.8 million of them are stretched, moved and shaken
copies of a few hundred for each category: real ones of SKETCHJAX_DATA where it has the category,
otherwise synthetic doodles.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from sketchjax.data.folder.hashing import keyed_hash
from sketchjax.data.folder.splits import Counts
from sketchjax.data.sketch import Sketches
from sketchjax.data.sources import doodles, read, write_ndjson

DOODLES = 200  # of each program
_FIELDS = ("key_id", "<u8"), ("country", "S2"), ("recognized", "i1"), ("time", "<u4")
_HEADER = np.dtype([*_FIELDS, ("strokes", "<u2")])


def write(folder: Path, categories: list[str], each: int, form: str, processes: int) -> int:
    """Write one file per category; returns the bytes of all.

    each: drawings of a category.
    form: ndjson, or bin, which takes a third of the space.
    """
    folder.mkdir(parents=True)
    numbers = range(len(categories))
    jobs = [(folder, categories[number], number, each, form) for number in numbers]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return sum(pool.map(_write_category, *zip(*jobs, strict=True)))


def _write_category(folder: Path, category: str, number: int, each: int, form: str) -> int:
    path = folder / f"{category}.{form}"
    sketches = copies(originals(category, number), category, number, each)
    if form == "bin":
        path.write_bytes(as_binary(sketches))
    else:
        write_ndjson(path, sketches)
    return path.stat().st_size


def key_ids(number: int, count: int) -> np.ndarray:
    """Those of the first n = `count` drawings of category `number`, u64[n]; all differ."""
    return keyed_hash(np.arange(count, dtype=np.uint64) + np.uint64(number << 32), 16)


def enough(counts: dict[str, int], categories: int) -> int:
    """How many drawings each category needs, so that every one of them fills all its splits.

    counts: of each category by split.
    """
    rule = Counts(counts)
    each, short = rule.wanted, [*range(categories)]
    while True:
        keys = np.concatenate([key_ids(number, each) for number in short])
        labels = np.repeat(np.arange(len(short)), each)
        _, shortages = rule.assign(keys, keyed_hash(keys, 0), labels, len(short))
        short = [short[label] for label in sorted({shortage.label for shortage in shortages})]
        if not short:
            return each
        each += each // 100 + 1


def originals(category: str, number: int) -> Sketches:
    """Real drawings of a category, or the doodles of a program that its number chooses."""
    home = os.environ.get("SKETCHJAX_DATA", "")
    path = Path(home) / "quickdraw" / f"{category}.ndjson.gz"
    if home and path.is_file():
        return next(read(path, chunk=4096))
    return _doodles(doodles.CATEGORIES[number % len(doodles.CATEGORIES)])


@lru_cache
def _doodles(category: str) -> Sketches:
    return doodles.sketches(category, DOODLES, seed=0)


def copies(base: Sketches, category: str, number: int, count: int) -> Sketches:
    """Drawings like those of `base`, each stretched, moved and shaken in its own way.

    number: of the category; it seeds the copies and gives their key_ids.
    count: n, how many.
    """
    rng = np.random.default_rng(number)
    chosen = rng.integers(0, len(base), count)
    lengths = base.lengths[chosen]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    points = base.points[np.repeat(base.offsets[chosen], lengths) + within]
    size = rng.uniform(0.6, 1, (count, 2)).astype(np.float32)
    corner = (255 * (1 - size) * rng.random((count, 2), np.float32)).astype(np.float32)
    moved = points[:, :2] * np.repeat(size, lengths, 0) + np.repeat(corner, lengths, 0)
    moved += rng.uniform(-1, 1, moved.shape)
    points[:, :2] = np.clip(np.rint(moved), 0, 255)
    return Sketches(
        points=points,
        offsets=offsets,
        categories=[category] * count,
        key_ids=key_ids(number, count),
        recognized=np.ones(count, np.int8),
        places=np.arange(1, count + 1),
    )


def as_binary(sketches: Sketches) -> bytes:
    """Sketches in the binary form of QuickDraw (`data.sources.binary`)."""
    ends = sketches.points[:, 2].astype(np.int64)
    stroke_ends = np.flatnonzero(ends) + 1
    lengths = np.diff(stroke_ends, prepend=0)
    strokes = np.add.reduceat(ends, sketches.offsets[:-1])
    sizes = _HEADER.itemsize + 2 * (strokes + sketches.lengths)
    starts = np.cumsum(sizes) - sizes
    content = np.zeros(sizes.sum(), np.uint8)
    headers = np.zeros(len(sketches), _HEADER)
    headers["key_id"], headers["country"] = sketches.key_ids, b"US"
    headers["recognized"], headers["strokes"] = sketches.recognized, strokes
    content[starts[:, None] + np.arange(_HEADER.itemsize)] = headers.view(np.uint8).reshape(
        -1, _HEADER.itemsize
    )
    # Before a stroke are all headers so far, two bytes per earlier stroke, and two per point.
    sketch = np.repeat(np.arange(len(sketches)), strokes)
    before = np.arange(len(lengths)) + stroke_ends - lengths
    places = _HEADER.itemsize * (sketch + 1) + 2 * before
    content[places], content[places + 1] = lengths & 255, lengths >> 8
    first = np.repeat(places + 2, lengths)
    within = np.arange(len(ends)) - np.repeat(stroke_ends - lengths, lengths)
    content[first + within] = sketches.points[:, 0]
    content[first + within + np.repeat(lengths, lengths)] = sketches.points[:, 1]
    return content.tobytes()
