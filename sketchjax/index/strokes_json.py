"""Drawings as JSON: the part of an answer that takes longest to write.

As Python lists, the points of 36 drawings take 0.4 ms; as text written here, 0.03 ms.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import numpy as np

from sketchjax.compiled import kernel

_COMMA, _OPEN, _CLOSE, _ZERO = (ord(sign) for sign in ",[]0")
_MOST = 16  # bytes that a point needs: two numbers of three digits, or a stroke of its own


def strokes_json(points: np.ndarray, offsets: np.ndarray) -> list[msgspec.Raw]:
    """The strokes [[xs, ys], ...] of n drawings, each as JSON.

    points: u8[p 3], as in `Sketches`; the last point of a drawing ends a stroke.
    offsets: i64[n+1].
    """
    text = np.empty(_MOST * len(points) + 2 * len(offsets), np.uint8)
    ends = np.zeros(len(offsets), np.int64)
    _write(points, offsets, text, ends)
    whole, places = text[: ends[-1]].tobytes(), ends.tolist()
    return [msgspec.Raw(whole[start:end]) for start, end in pairwise(places)]


@kernel
def _write_axis(points: Any, start: int, end: int, axis: int, text: Any, at: int) -> int:
    """Write the list of one coordinate of points[start:end]; returns where it ends."""
    text[at] = _OPEN
    for row in range(start, end):
        number = points[row, axis]
        if number >= 100:
            at += 1
            text[at] = _ZERO + number // 100
        if number >= 10:
            at += 1
            text[at] = _ZERO + number // 10 % 10
        at += 1
        text[at] = _ZERO + number % 10
        at += 1
        text[at] = _COMMA
    text[at] = _CLOSE  # in place of the last comma
    return at + 1


@kernel
def _write(points: Any, offsets: Any, text: Any, ends: Any) -> None:
    """Fill text u8[] with the drawings, and ends i64[n+1] with where each ends, after a 0."""
    at = 0
    for drawing in range(len(offsets) - 1):
        first, last = offsets[drawing], offsets[drawing + 1]
        text[at] = _OPEN
        at += 1
        start = first
        for row in range(first, last):
            if points[row, 2] == 0 and row < last - 1:
                continue
            if start > first:
                text[at] = _COMMA
                at += 1
            text[at] = _OPEN
            at = _write_axis(points, start, row + 1, 0, text, at + 1)
            text[at] = _COMMA
            at = _write_axis(points, start, row + 1, 1, text, at + 1)
            text[at] = _CLOSE
            at += 1
            start = row + 1
        text[at] = _CLOSE
        at += 1
        ends[drawing + 1] = at
