"""What a stroke program draws with: strokes on a canvas of 100 × 100 units, y downwards."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

Stroke = np.ndarray  # f[k 2], the x and y of a pen that is down
Strokes = list[Stroke]
Knot = tuple[float, float]


class Pen:
    """Draws strokes whose proportions vary from drawing to drawing, as `rng` has it."""

    def __init__(self, rng: np.random.Generator):
        self.rng = rng

    def near(self, value: float, spread: float = 0.1) -> float:
        """A value that is normally `value`, with a relative deviation of `spread`, 2 at most."""
        return value * (1 + spread * min(max(self.rng.standard_normal(), -2.0), 2.0))

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.rng.random()

    def count(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        return low + int((high - low + 1) * self.rng.random())

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def ring(self, x: float, y: float, rx: float, ry: float | None = None) -> Stroke:
        """An ellipse around (x, y) as a hand draws it.

        Seven in ten start near the top, two in three run anticlockwise, and the ends rarely meet:
        the line stops short or overlaps, and its radius drifts by a few per cent on the way.
        """
        ry = rx if ry is None else ry
        upright = self.chance(0.7)
        start = -90 + 25 * self.rng.standard_normal() if upright else self.between(0, 360)
        sweep = self.near(360, 0.035) * (-1 if self.chance(0.66) else 1)
        return arc(x, y, rx, ry, start, start + sweep, 0.04 * self.rng.standard_normal())


def arc(
    x: float, y: float, rx: float, ry: float, start: float, stop: float, drift: float = 0.0
) -> Stroke:
    """The arc of an ellipse from `start` to `stop` degrees: 0 is right, 90 is down.

    drift: how much larger the radius is at the end than at the start, as a fraction.
    """
    # About one sample for 10 units of the line, 5 at least: a ring of radius 40 has 27.
    steps = 5 + int(abs(stop - start) * max(rx, ry) / 650)
    way = np.arange(steps) / (steps - 1)
    angles = way * math.radians(stop - start) + math.radians(start)
    radius = 1 + drift * way
    stroke = np.empty((steps, 2))
    stroke[:, 0] = x + rx * radius * np.cos(angles)
    stroke[:, 1] = y + ry * radius * np.sin(angles)
    return stroke


def path(*corners: Knot) -> Stroke:
    """Straight pieces between corners, with samples between them for the hand to shake."""
    weights = _straight()
    knots = np.array(corners)
    pieces = knots[:-1, None] + weights[:, None] * (knots[1:] - knots[:-1])[:, None]
    return np.concatenate((pieces.reshape(-1, 2), knots[-1:]))


def curve(*knots: Knot) -> Stroke:
    """A smooth line through all knots (a Catmull-Rom spline)."""
    given = np.array(knots)
    # The end knots are mirrored outwards, so that the line also bends up to its ends.
    padded = np.concatenate((2 * given[:1] - given[1:2], given, 2 * given[-1:] - given[-2:-1]))
    windows = np.stack((padded[:-3], padded[1:-2], padded[2:-1], padded[3:]), axis=1)
    return np.concatenate(((_smooth() @ windows).reshape(-1, 2), given[-1:]))


def mirrored(stroke: Stroke) -> Stroke:
    """The stroke with left and right exchanged."""
    return np.stack((100 - stroke[:, 0], stroke[:, 1]), axis=1)


def direction(degrees: float) -> Knot:
    """The unit vector of an angle: 0 is right, 90 is down."""
    return math.cos(math.radians(degrees)), math.sin(math.radians(degrees))


@cache
def _straight() -> np.ndarray:
    return np.arange(4) / 4


@cache
def _smooth() -> np.ndarray:
    """Weights f[5 4] of four successive knots for 5 samples between the middle two."""
    u = np.arange(5)[:, None] / 5
    powers = np.concatenate((np.ones_like(u), u, u**2, u**3), axis=1)
    basis = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
    return powers @ basis
