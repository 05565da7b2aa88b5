"""Spoilt drawings: scribbles with far more ink than any doodle, and near-empty ones."""

from __future__ import annotations

import numpy as np

from sketchjax.data.sketch import points_of_strokes
from sketchjax.data.sources.doodles.hand import simplified, warped
from sketchjax.data.sources.doodles.pen import Pen, Stroke, Strokes, curve, path


def scribble(drawing: Strokes, rng: np.random.Generator) -> np.ndarray:
    """A drawing scribbled over, or just a scribble: points u8[t 3].

    drawing: in canvas units; in most results a few of its strokes show underneath.
    """
    under = drawing[: int(6 * rng.random())] if rng.random() < 0.8 else []
    strokes = [*under, _hatching(rng), _hatching(rng)]
    return points_of_strokes(simplified(warped(strokes, rng)))


def near_empty(drawing: Strokes, rng: np.random.Generator) -> np.ndarray:
    """A drawing given up at once: the start of its first stroke, or two specks: points u8[t 3]."""
    pen = Pen(rng)
    if pen.chance(0.4):
        return points_of_strokes(simplified([_speck(pen), _speck(pen)]))
    first = drawing[0]
    return points_of_strokes(simplified([first[: max(3, len(first) // 8)]]))


def _hatching(rng: np.random.Generator) -> Stroke:
    """A line that goes to and fro over the canvas 12 to 18 times, at a random angle."""
    turns = 12 + int(7 * rng.random())
    to_and_fro = np.where(np.arange(turns) % 2, 1.0, -1.0) * rng.uniform(0.75, 1.0, turns)
    onwards = np.linspace(-1, 1, turns) + 0.08 * rng.standard_normal(turns)
    angle = 6.28 * rng.random()
    axis = np.array((np.cos(angle), np.sin(angle)))
    across = np.array((-axis[1], axis[0]))
    corners = 50 + 48 * (to_and_fro[:, None] * axis + onwards[:, None] * across)
    return path(*corners.tolist())


def _speck(pen: Pen) -> Stroke:
    x, y = pen.between(0, 100), pen.between(0, 100)
    return curve((x, y), (x + pen.between(1, 4), y + pen.between(-3, 3)))
