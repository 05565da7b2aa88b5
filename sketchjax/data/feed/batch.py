"""Batches of padded drawings, laid out from ragged records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from sketchjax.data.folder.shards import Records
from sketchjax.data.inputs import Strokes


class Batch(NamedTuple):
    """b sketches or photos.

    Sketches as strokes are padded with zeros to t points. One longer than t points is cut to its
    first t, and the last point kept ends a stroke.

    inputs: of one side.
    label: i32[b], indices into the manifest's categories.
    index: i32[b], each item's record in its split.
    """

    inputs: Any
    label: np.ndarray
    index: np.ndarray  # pyright: ignore[reportIncompatibleMethodOverride]


class Scan(NamedTuple):
    """One step of a pass in order.

    batch: its items.
    entropy: f32[b], the image entropy of each sketch, in bits; 0 for pictures.
    key_id: u64[b], what identifies each item.
    mask: bool[b], False where an item only fills up the last batch.
    instance: i64[b], the photo that each item is or draws; -1 where unknown.
    """

    batch: Batch
    entropy: np.ndarray
    key_id: np.ndarray
    mask: np.ndarray
    instance: np.ndarray


def pad(records: Records, points: int) -> Batch:
    """Lay ragged records out as a `Batch` of t = points."""
    padded, length = pad_points(records.points, records.offsets, points)
    return Batch(Strokes.of(padded, length), records.labels, records.index.astype(np.int32))


def parts_of(total: int, most: int) -> Iterator[tuple[int, np.ndarray]]:
    """Places i64[b] of `total` items, in parts of at most `most`, and how many of each part count.

    b is a power of two, so that few programs are compiled; the last item is repeated to fill it.
    """
    for first in range(0, total, most):
        count = min(most, total - first)
        places = np.arange(first, first + power_of_two(count))
        yield count, np.minimum(places, first + count - 1)


def power_of_two(least: int) -> int:
    """The smallest that is not below `least`, which is at least 1."""
    return 1 << (least - 1).bit_length()


def pad_points(
    ragged: np.ndarray, offsets: np.ndarray, points: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cut ragged drawings to t = points and pad them with zeros.

    ragged: u8[p 3].
    offsets: i64[n + 1], drawing i owns ragged[offsets[i]:offsets[i + 1]].
    points: t.
    Returns u8[n t 3] and lengths i32[n].
    """
    lengths = np.diff(offsets)
    kept = np.minimum(lengths, points)
    # bool[n t], row by row in the order of the ragged points.
    filled = np.arange(points) < kept[:, None]
    padded = np.zeros((len(lengths), points, 3), np.uint8)
    if (lengths > points).any():
        within = np.arange(len(ragged)) - np.repeat(offsets[:-1], lengths)
        padded[filled] = ragged[within < points]
        padded[np.arange(len(kept)), kept - 1, 2] = 1
    else:
        padded[filled] = ragged
    return padded, kept.astype(np.int32)
