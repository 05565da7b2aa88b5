"""A sketch as text: braille characters, each of 2 × 4 dots."""

from __future__ import annotations

import numpy as np

from sketchjax.data.sketch import strokes

_BLANK = 0x2800
# The bit of each dot of a character, [4 2].
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])


def braille(points: np.ndarray, columns: int = 10, rows: int = 5) -> str:
    """A sketch as lines of text.

    points: u8[t 3].
    columns, rows: characters; with twice as many columns as rows a circle is round.
    """
    return "\n".join(
        "".join(map(chr, row)) for row in _BLANK + _cells(_dots(points, columns, rows))
    )


def _dots(points: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """Which dots are black, bool[4·rows 2·columns]; the sketch is in the middle."""
    size = np.array([2 * columns, 4 * rows])
    dots = np.zeros(size[::-1], bool)
    if not len(points):
        return dots
    places = points[:, :2].astype(float)
    low, high = places.min(0), places.max(0)
    scale = ((size - 1) / np.maximum(high - low, 1)).min()
    places = (places - (low + high) / 2) * scale + (size - 1) / 2
    for stroke in strokes(np.column_stack([places, points[:, 2]])):
        for start, end in zip(stroke, stroke[1:] if len(stroke) > 1 else stroke, strict=False):
            steps = int(np.abs(end - start).max()) + 2
            x, y = np.rint(np.linspace(start, end, steps)).astype(int).T
            dots[y, x] = True
    return dots


def _cells(dots: np.ndarray) -> np.ndarray:
    """Dots bool[4·r 2·c] as the bits of characters, i[r c]."""
    rows, columns = dots.shape[0] // 4, dots.shape[1] // 2
    parts = dots.reshape(rows, 4, columns, 2)
    return (parts * _BITS[:, None, :]).sum((1, 3))
