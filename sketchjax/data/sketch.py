"""What a sketch is in this project: points in drawing order, and which of them end a stroke."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Sketches:
    """n sketches, ragged: all points in one array, cut by `offsets`.

    points: u8[p 3], columns x, y (0 to 255, y downwards) and end (1 on the last point of a stroke,
      after which the pen is lifted, else 0). Sketch i owns points[offsets[i]:offsets[i + 1]].
    offsets: i64[n + 1], rising from 0 to p.
    categories: the category name of each sketch, a list of n.
    key_ids: u64[n], an identifier of the drawing that does not depend on its file.
    recognized: i8[n], 1 or 0: whether Google's game recognised the drawing; -1 where unknown.
    places: i64[n], the line (text formats, from 1) or record (from 0) that each came from.
    """

    points: np.ndarray
    offsets: np.ndarray
    categories: Sequence[str]
    key_ids: np.ndarray
    recognized: np.ndarray
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def points_of(self, index: int) -> np.ndarray:
        """The points u8[t 3] of one sketch, as a view."""
        return self.points[self.offsets[index] : self.offsets[index + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """Number of points of each sketch, i64[n]."""
        return np.diff(self.offsets)


def strokes(points: np.ndarray) -> Iterator[np.ndarray]:
    """Cut points [t 3] at their stroke ends into arrays [t_i 2] of x and y, in drawing order."""
    ends = np.flatnonzero(points[:, 2]) + 1
    for stroke in np.split(points[:, :2], ends):
        if len(stroke):
            yield stroke


def points_of_strokes(drawing: Iterable[np.ndarray]) -> np.ndarray:
    """Join strokes, each [t_i 2] within 0 to 255, into points u8[t 3]; the inverse of `strokes`."""
    parts = []
    for stroke in drawing:
        part = np.zeros((len(stroke), 3), np.uint8)
        part[:, :2] = np.rint(stroke)
        part[-1, 2] = 1
        parts.append(part)
    return np.concatenate(parts) if parts else np.zeros((0, 3), np.uint8)


def drawing_of(points: np.ndarray) -> list[list[list[int]]]:
    """Points u8[t 3] as strokes [[xs, ys], ...]."""
    return [stroke.T.tolist() for stroke in strokes(points)]
