"""What an encoder reads of one item: one value from the feed to the view.

An item is of a side: a sketch, as strokes or as a raster, or a photo. Inputs are plain tuples, so
jax treats them as pytrees; this file itself needs only numpy.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np

SKETCH, PHOTO = "sketch", "photo"
SIDES = (SKETCH, PHOTO)


def part_name(side: str, split: str) -> str:
    """What a split of a side is called: `gallery` of sketches, `photo/gallery`."""
    return split if side == SKETCH else f"{side}/{split}"


def items_of(sides: Collection[str]) -> str:
    """What the items of a batch are called; the photos of its sketches are not counted."""
    return "sketches" if SKETCH in sides else "photos"


def part_words(part: str) -> str:
    """A part of the data in words, such as `gallery photos`; named as `part_name` does."""
    side, split = side_and_split(part)
    return f"{split} {items_of([side])}"


def side_and_split(part: str) -> tuple[str, str]:
    """The side and the split of a name as `part_name` gives it, or of `sketch/SPLIT`.

    Raises TypeError when it is no text.
    """
    if not isinstance(part, str):
        raise TypeError(part)
    side, slash, split = part.rpartition("/")
    return (side, split) if slash else (SKETCH, split)


class Form(NamedTuple):
    """How the items of a side are stored in a data folder, and how large they are read.

    kind: `strokes`, `raster` (sketches that come as pixels) or `photo`.
    size: t, points of a drawing, or s, side of a picture in pixels.
    contours: whether the contour maps of photos are read too.
    fit: whether a raster sketch is cut to its ink, as drawings of strokes are.
    """

    kind: str
    size: int
    contours: bool = False
    fit: bool = False


class Strokes(NamedTuple):
    """b drawings as points.

    points: u8|f[b t 3], columns x, y (drawing units, y downwards) and end of stroke; zero-padded.
    length: i32[b], points that are not padding, at least 1.
    center: f32[b 2], the middle of each drawing's bounding box as it was recorded. Augmentation
      keeps it, so that a shift moves the drawing within its picture.
    """

    points: Any
    length: Any
    center: Any

    @classmethod
    def of(cls, points: np.ndarray, length: np.ndarray) -> Strokes:
        """Strokes with their centre, on the host; `ops.draw.strokes_of` does it on a device."""
        # One axis at a time: numpy reduces contiguous rows 30 times as fast as [b t 2] over t.
        valid = np.arange(points.shape[1]) < length[:, None]
        center = np.empty((len(points), 2), np.float32)
        for axis in range(2):
            places = np.ascontiguousarray(points[..., axis])
            places = np.where(valid, places, places[:, :1])
            low, high = (edge(1).astype(np.float32) for edge in (places.min, places.max))
            center[:, axis] = (low + high) * np.float32(0.5)
        return cls(points, length, center)


class Pictures(NamedTuple):
    """b photos or raster sketches as pixels.

    pixels: u8[b s s c]; c = 3: RGB photos; c = 1: raster sketches, grey, dark lines on white as in
      the file.
    contour: u8[b s s 1], a line drawing of each photo, dark on white; None where no encoder
      reads it.
    """

    pixels: Any
    contour: Any = None
