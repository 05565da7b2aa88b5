"""A sketch as an SVG path: sharp at any size, in any colour, and smaller than its pixels."""

from __future__ import annotations

import numpy as np

from sketchjax.data.sketch import strokes


def path_data(points: np.ndarray) -> str:
    """The `d` attribute of a path through points u8[t 3], in the sketch's own coordinates.

    A stroke of one point becomes a line of zero length, which round caps show as a dot.
    """
    parts = []
    for stroke in strokes(points):
        x, y = stroke[0]
        rest = stroke[1:] if len(stroke) > 1 else stroke
        parts.append(f"M{x} {y}L" + " ".join(f"{x} {y}" for x, y in rest))
    return "".join(parts)


def view_box(points: np.ndarray, margin: float = 0.08) -> str:
    """The `viewBox` of the square around a sketch.

    points: u8[t 3]; without any, the box is the whole drawing area, 0 to 255.
    margin: on each side, as a share of the sketch's longer side.
    """
    if not len(points):
        return "0 0 255 255"
    low = points[:, :2].min(axis=0).astype(float)
    high = points[:, :2].max(axis=0).astype(float)
    side = max(*(high - low), 1.0) * (1 + 2 * margin)
    corner = (low + high) / 2 - side / 2
    return f"{corner[0]:.1f} {corner[1]:.1f} {side:.1f} {side:.1f}"
