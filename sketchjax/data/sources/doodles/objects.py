"""Stroke programs of things that people made.

A program takes a `Pen` and returns strokes in the order in which people usually draw them. The
first stroke is the one that a drawing never lacks. Cup and bucket, house and envelope are
confusable on purpose; so are clock, light bulb and umbrella with nature's face, pear and mushroom.
"""

from __future__ import annotations

from itertools import pairwise

from sketchjax.data.sources.doodles.pen import (
    Pen,
    Stroke,
    Strokes,
    arc,
    curve,
    direction,
    mirrored,
    path,
)


def clock(pen: Pen) -> Strokes:
    drawn = [pen.ring(50, 50, pen.near(45, 0.06), pen.near(45, 0.06))]
    ticks = 12 if pen.chance(0.25) else 4 if pen.chance(0.7) else 0
    for i in range(ticks):
        c, s = direction(i * 360 / ticks - 90)
        inner = pen.near(36, 0.04)
        drawn.append(path((50 + inner * c, 50 + inner * s), (50 + 42 * c, 50 + 42 * s)))
    (c1, s1), (c2, s2) = direction(pen.between(-110, 0)), direction(pen.between(0, 180))
    long, short = pen.near(33), pen.near(22)
    tips = (50 + long * c1, 50 + long * s1), (50 + short * c2, 50 + short * s2)
    if pen.chance(0.6):
        return [*drawn, path(tips[0], (50, 50), tips[1])]
    return [*drawn, path((50, 50), tips[0]), path((50, 50), tips[1])]


def cup(pen: Pen) -> Strokes:
    taper, depth = pen.near(8, 0.5), pen.near(82, 0.06)
    drawn = [path((14, 30), (14 + taper, depth), (70 - taper, depth), (70, 30))]
    drawn.append(
        pen.ring(42, 30, 28, pen.near(6, 0.3)) if pen.chance(0.7) else path((14, 30), (70, 30))
    )
    drawn.append(_ear(pen, 69 - taper / 2, 40, pen.near(22, 0.2), 66))
    if pen.chance(0.3):
        drawn += [curve((x, 22), (x + 4, 15), (x - 3, 9), (x + 2, 2)) for x in (34, 50)]
    return drawn


def bucket(pen: Pen) -> Strokes:
    taper, depth = pen.near(14, 0.3), pen.near(94, 0.04)
    drawn = [path((15, 40), (15 + taper, depth), (85 - taper, depth), (85, 40))]
    drawn.append(
        pen.ring(50, 40, 35, pen.near(7, 0.3)) if pen.chance(0.7) else path((15, 40), (85, 40))
    )
    drawn.append(
        curve((15, 40), (24, pen.near(16, 0.3)), (50, pen.near(6, 0.5)), (76, 16), (85, 40))
    )
    if pen.chance(0.2):
        drawn.append(curve((17, 54), (50, 60), (83, 54)))
    return drawn


def light_bulb(pen: Pen) -> Strokes:
    w, neck = pen.near(34), pen.near(13, 0.15)
    drawn = [
        curve(
            (50 - neck, 72),
            (50 - neck - 2, 60),
            (50 - w, 38),
            (50 - 0.75 * w, 13),
            (50, 3),
            (50 + 0.75 * w, 13),
            (50 + w, 38),
            (50 + neck + 2, 60),
            (50 + neck, 72),
        )
    ]
    base = pen.near(92, 0.03)
    drawn.append(path((50 - neck, 72), (50 - neck, base), (50 + neck, base), (50 + neck, 72)))
    drawn += [path((50 - neck, y), (50 + neck, y - 2)) for y in (73, 79, 85)[: pen.count(1, 3)]]
    if pen.chance(0.5):
        drawn.append(path((45, 70), (42, 46), (47, 52), (50, 45), (53, 52), (58, 46), (55, 70)))
    return drawn


def umbrella(pen: Pen) -> Strokes:
    brim, ribs = pen.near(48, 0.06), pen.count(2, 4)
    drawn = [arc(50, brim, 46, pen.near(40), 180, 360)]
    edges = [4 + 92 * i / ribs for i in range(ribs + 1)]
    drawn.append(
        curve(
            *[knot for a, b in pairwise(edges) for knot in ((a, brim), ((a + b) / 2, brim - 7))],
            (96, brim),
        )
    )
    if pen.chance(0.3):
        drawn += [curve((50, 9), (x + (50 - x) * 0.2, 26), (x, brim)) for x in edges[1:-1]]
    side = -1 if pen.chance(0.6) else 1
    drawn.append(
        curve((50, brim - 6), (50, 70), (50, 88), (50 + side * 7, 96), (50 + side * 14, 86))
    )
    return drawn


def house(pen: Pen) -> Strokes:
    eaves, wall = pen.near(44), pen.near(36, 0.12)
    left, right = 50 - wall, 50 + wall
    body = path((left, eaves), (left, 97), (right, 97), (right, eaves))
    roof = path((left - 5, eaves), (50, pen.near(8, 0.5)), (right + 5, eaves))
    drawn = [body, roof]
    if pen.chance(0.7):
        drawn.append(path((left, eaves), (right, eaves)))
    if pen.chance(0.85):
        door = pen.near(50, 0.15)
        drawn.append(path((door - 8, 97), (door - 8, 70), (door + 8, 70), (door + 8, 97)))
    if pen.chance(0.5):
        x, y, half = left + 16, 60.0, pen.near(7, 0.2)
        drawn.append(
            path(
                (x - half, y - half),
                (x + half, y - half),
                (x + half, y + half),
                (x - half, y + half),
                (x - half, y - half),
            )
        )
    if pen.chance(0.25):
        drawn.append(path((right - 18, 25), (right - 18, 6), (right - 8, 6), (right - 8, 36)))
    return drawn


def envelope(pen: Pen) -> Strokes:
    height, flap = pen.near(60, 0.12), pen.near(0.55, 0.15)
    top, bottom = 50 - height / 2, 50 + height / 2
    drawn = [path((4, top), (4, bottom), (96, bottom), (96, top), (4, top))]
    fold = top + flap * height
    drawn.append(path((4, top), (pen.near(50, 0.05), fold), (96, top)))
    if pen.chance(0.45):
        drawn += [path((4, bottom), (38, fold - 6)), path((96, bottom), (62, fold - 6))]
    return drawn


def car(pen: Pen) -> Strokes:
    sill, roof = pen.near(70, 0.03), pen.near(28, 0.12)
    back, front = pen.near(20, 0.15), pen.near(64, 0.06)
    hood = pen.near(50, 0.05)
    drawn = [
        path(
            (4, sill),
            (4, hood),
            (back - 4, hood - 2),
            (back + 6, roof),
            (front, roof),
            (front + 14, hood),
            (95, hood + 3),
            (96, sill),
            (4, sill),
        )
    ]
    r = pen.near(10, 0.15)
    drawn += [pen.ring(x, sill + 2, r) for x in (25, 75)]
    if pen.chance(0.6):
        drawn.append(
            path(
                (back + 5, hood),
                (back + 10, roof + 5),
                (front - 3, roof + 5),
                (front + 7, hood),
                (back + 5, hood),
            )
        )
    if pen.chance(0.4):
        drawn.append(path(((back + front) / 2 + 3, roof + 5), ((back + front) / 2 + 3, hood)))
    return drawn if pen.chance(0.8) else [mirrored(stroke) for stroke in drawn]


def _ear(pen: Pen, x: float, top: float, reach: float, bottom: float) -> Stroke:
    """The handle of a cup, from its upper to its lower end."""
    return curve(
        (x, top),
        (x + 0.8 * reach, top),
        (x + reach, (top + bottom) / 2),
        (x + 0.7 * reach, bottom),
        (x - 2, pen.near(bottom, 0.03)),
    )
