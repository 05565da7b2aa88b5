"""Stroke programs of pairs that differ only in stroke order, or only in shape.

Order only: target and ripple, stairs up and stairs down, ladder and railway, sunrise and sunset.
Both of a pair come from one program; the second is the same drawing played backwards. Their
pictures are the same.

Shape only: dotted circle and dotted square, waffle and picture frame. Both of a pair have the
same kind and number of strokes, in any order and direction, in different places.
"""

from __future__ import annotations

import numpy as np

from sketchjax.data.sources.doodles.pen import Pen, Strokes, arc, path


def rings(pen: Pen) -> Strokes:
    """Rings from the outermost inwards: target. Backwards, from the middle outwards: ripple."""
    count, hole = pen.count(3, 4), pen.near(9, 0.25)
    radii = [hole + (46 - hole) * i / (count - 1) for i in range(count)]
    return [pen.ring(50, 50, pen.near(r, 0.03), pen.near(r, 0.03)) for r in reversed(radii)]


def stairs(pen: Pen) -> Strokes:
    """Steps from the lower left to the upper right, then the handrail: stairs up."""
    steps, shift = pen.count(4, 6), pen.near(30, 0.1)
    knots = [(0.0, 100.0)]
    for i in range(steps):
        x, y = 100 * i / steps, 100 - 100 * (i + 1) / steps * 0.75
        knots += [(x, y), (100 * (i + 1) / steps, y)]
    rail_low, rail_high = (2.0, 85 - shift), (98.0, 25 - shift)
    return [
        path(*knots),
        path((3, 80), rail_low),
        path((97, 25), rail_high),
        path(rail_low, rail_high),
    ]


def ladder(pen: Pen) -> Strokes:
    """Two rails, then the rungs from the top down: ladder."""
    rungs, half, out = pen.count(5, 8), pen.near(22, 0.12), pen.near(5, 0.6)
    drawn = [path((50 - half, 0), (50 - half, 100)), path((50 + half, 0), (50 + half, 100))]
    for i in range(rungs):
        y = 100 * (i + 0.7) / (rungs + 0.4)
        drawn.append(path((50 - half - out, y), (50 + half + out, pen.near(y, 0.02))))
    return drawn


def low_sun(pen: Pen) -> Strokes:
    """The horizon, the half sun above it, then its rays from left to right: sunrise."""
    r, rays = pen.near(24, 0.1), pen.count(5, 7)
    drawn = [path((2, 70), (98, 70)), arc(50, 70, r, r, 180, 360)]
    for i in range(rays):
        angle = np.radians(180 + 180 * (i + 0.5) / rays)
        c, s, far = np.cos(angle), np.sin(angle), pen.near(r + 24, 0.08)
        drawn.append(path((50 + (r + 6) * c, 70 + (r + 6) * s), (50 + far * c, 70 + far * s)))
    return drawn


def dotted_circle(pen: Pen) -> Strokes:
    """Beads on a circle."""
    count = pen.count(8, 10)
    angles = 2 * np.pi * (np.arange(count) + pen.rng.random()) / count
    return _beads(pen, 50 + 42 * np.cos(angles), 50 + 42 * np.sin(angles))


def dotted_square(pen: Pen) -> Strokes:
    """Beads on the outline of a square."""
    count = pen.count(8, 10)
    way = 4 * (np.arange(count) + pen.rng.random()) / count
    # The corners are at way 0, 1, 2, 3: x and y are the same trapezoid, a quarter apart.
    x = np.clip(np.abs((way + 0.5) % 4 - 2) - 0.5, 0, 1)
    y = np.clip(np.abs((way + 1.5) % 4 - 2) - 0.5, 0, 1)
    return _beads(pen, 12 + 76 * x, 12 + 76 * y)


def waffle(pen: Pen) -> Strokes:
    """Four lines down and four across, evenly spread."""
    return _crossing(pen, (14.0, 38.0, 62.0, 86.0))


def picture_frame(pen: Pen) -> Strokes:
    """Four lines down and four across, two near each edge."""
    return _crossing(pen, (7.0, 24.0, 76.0, 93.0))


def _beads(pen: Pen, x: np.ndarray, y: np.ndarray) -> Strokes:
    size = pen.near(6.5, 0.15)
    return [pen.ring(a, b, pen.near(size, 0.1)) for a, b in zip(x, y, strict=True)]


def _crossing(pen: Pen, places: tuple[float, ...]) -> Strokes:
    lines = [
        path((at, 0), (at, 100)) for at in (p + 2.5 * pen.rng.standard_normal() for p in places)
    ]
    return lines + [
        path((0, at), (100, at)) for at in (p + 2.5 * pen.rng.standard_normal() for p in places)
    ]
