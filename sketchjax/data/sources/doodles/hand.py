"""The hand that performs a program's strokes: it shakes, leans, forgets, repeats and reorders."""

from __future__ import annotations

import math
from enum import Enum

import numpy as np

from sketchjax.data.simplify import simplify
from sketchjax.data.sketch import points_of_strokes, strokes
from sketchjax.data.sources.doodles.pen import Strokes

LONGEST = 128  # points of a sketch, at most
DISOBEDIENT = 0.05  # share of drawings that ignore the order their category is known by


class Order(Enum):
    """What a category prescribes about the order and direction of its strokes."""

    HABIT = "usually the program's, sometimes another"
    ANY = "none"
    KEPT = "the program's"
    BACKWARDS = "the program's, played backwards"


def perform(drawing: Strokes, rng: np.random.Generator, order: Order) -> np.ndarray:
    """Draw a program's strokes as a person might; returns points u8[t 3], t ≤ 128.

    Nothing that changes the picture depends on `order`, so two categories with one program and
    orders KEPT and BACKWARDS have the same distribution of pictures.
    """
    drawn = simplified(warped(slips(drawing, rng), rng))
    points = points_of_strokes(ordered(drawn, rng, order))
    if order is Order.HABIT and rng.random() < 0.12:  # the pen stays down between two strokes
        lifts = np.flatnonzero(points[:-1, 2])
        points[lifts[int(len(lifts) * rng.random()) :][:1], 2] = 0
    return points


def slips(drawing: Strokes, rng: np.random.Generator) -> Strokes:
    """Forget, repeat or overshoot a stroke, each in about one drawing of fifteen."""
    drawing = list(drawing)
    forget, repeat, overshoot, which = rng.random(4)
    if forget < 0.07 and len(drawing) > 2:
        del drawing[1 + int(which * (len(drawing) - 1))]
    if repeat < 0.06:
        chosen = int(which * len(drawing))
        drawing.insert(chosen, drawing[chosen])
    if overshoot < 0.08:
        chosen = int(which * len(drawing))
        stroke = drawing[chosen]
        tip = stroke[-1] + (stroke[-1] - stroke[-2]) * (0.5 + 1.5 * which)
        drawing[chosen] = np.concatenate((stroke, tip[None]))
    return drawing


def warped(drawing: Strokes, rng: np.random.Generator) -> Strokes:
    """Strokes as a hand places them, still in canvas units.

    Each stroke is a little off in place and size; a smooth field bends the whole; the pen shakes
    along the way; the sheet is turned, sheared and stretched.
    """
    counts = np.array([len(stroke) for stroke in drawing])
    points = (np.concatenate(drawing) - 50) / 50
    n, k = len(points), len(drawing)
    starts = np.cumsum(counts) - counts
    centres = np.add.reduceat(points, starts) / counts[:, None]
    sizes = 1 + 0.05 * rng.standard_normal((k, 1))
    offsets = centres * (1 - sizes) + 0.022 * rng.standard_normal((k, 2))
    points = points * np.repeat(sizes, counts, 0) + np.repeat(offsets, counts, 0)

    bend = np.sin(points @ (2.0 * rng.standard_normal((2, 2))) + 6.28 * rng.random(2))
    points = points + bend @ (0.045 * rng.standard_normal((2, 2)))

    # A mean over five samples keeps the shaking slow; hands differ in how steady they are.
    shaking = np.cumsum(rng.standard_normal((n + 5, 2)), axis=0)
    points += math.exp(0.4 * rng.standard_normal() - 3.95) * (shaking[5:] - shaking[:-5]) / 2.2

    lean, stretch, turn = rng.standard_normal(3)
    turn *= 0.1
    c, s = math.cos(turn), math.sin(turn)
    points = points @ np.array([[c, s], [-s, c]]) @ np.array([[1.0, 0.0], [0.09 * lean, 1.0]])
    points[:, 0] *= math.exp(0.1 * stretch)
    stops = (starts + counts).tolist()
    return [points[a:b] for a, b in zip([0, *stops], stops, strict=False)]


def simplified(drawn: Strokes) -> Strokes:
    """QuickDraw's simplified form of strokes in any unit, 128 points at most.

    A drawing with more is simplified again from every second sample of its strokes; programs have
    about 20 strokes at most, so this ends.
    """
    points = simplify(drawn)
    while len(points) > LONGEST:
        drawn = [np.concatenate((stroke[:-1:2], stroke[-1:])) for stroke in drawn]
        points = simplify(drawn)
    return list(strokes(points))


def ordered(drawing: Strokes, rng: np.random.Generator, order: Order) -> Strokes:
    """The same strokes in the order and direction in which this person draws them."""
    if order is Order.HABIT:
        if rng.random() < 0.25:
            drawing = [drawing[i] for i in rng.permutation(len(drawing))]
        return _reversed(drawing, rng.random(len(drawing)) < 0.15)
    if order is Order.ANY:
        drawing = [drawing[i] for i in rng.permutation(len(drawing))]
        return _reversed(drawing, rng.random(len(drawing)) < 0.5)
    if (order is Order.BACKWARDS) != (rng.random() < DISOBEDIENT):
        return [stroke[::-1] for stroke in reversed(drawing)]
    return drawing


def _reversed(drawing: Strokes, which: np.ndarray) -> Strokes:
    return [s[::-1] if turned else s for s, turned in zip(drawing, which, strict=True)]
