"""Stroke programs of faces, fruit, plants and the sky.

A program takes a `Pen` and returns strokes in the order in which people usually draw them. The
first stroke is the one that a drawing never lacks. Apple and cherry, sun and flower, moon and
banana, cat and rabbit are confusable on purpose.
"""

from __future__ import annotations

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


def face(pen: Pen) -> Strokes:
    eyes = pen.near(18, 0.15)
    height = pen.near(38)
    drawn = [pen.ring(50, 50, pen.near(44), pen.near(46, 0.07))]
    dots = pen.chance(0.5)
    for x in (50 - eyes, 50 + eyes):
        size = pen.near(4, 0.2)
        drawn.append(
            path((x, height - size), (x, height + size)) if dots else pen.ring(x, height, size + 1)
        )
    if pen.chance(0.4):
        drawn.append(curve((50, 46), (pen.near(46, 0.05), 58), (51, 60)))
    wide, smile = pen.near(22, 0.2), pen.near(10, 0.5)
    drawn.append(curve((50 - wide, 68), (50, 68 + smile), (50 + wide, 68)))
    return drawn


def cat(pen: Pen) -> Strokes:
    drawn = [pen.ring(50, 58, pen.near(38, 0.08), pen.near(36, 0.08))]
    tip = pen.near(8, 0.5)
    drawn += [path((17, 42), (20, tip), (40, 25)), path((60, 25), (80, tip), (83, 42))]
    return drawn + _snout(pen, 58)


def rabbit(pen: Pen) -> Strokes:
    drawn = [pen.ring(50, 72, pen.near(27, 0.08), pen.near(25, 0.08))]
    lean, top = pen.near(8, 0.6), pen.near(4, 0.5)
    for side in (-1, 1):
        root = 50 + side * 12
        drawn.append(
            curve(
                (root - 6, 50),
                (root - 9 + side * lean / 2, 26),
                (root + side * lean, top),
                (root + 9 + side * lean / 2, 26),
                (root + 6, 50),
            )
        )
    return drawn + _snout(pen, 72, 0.75)


def fish(pen: Pen) -> Strokes:
    fat = pen.near(26, 0.15)
    body = curve(
        (78, 50),
        (60, 50 - 0.7 * fat),
        (34, 50 - fat),
        (4, 50),
        (34, 50 + fat),
        (60, 50 + 0.7 * fat),
        (78, 50),
    )
    fork = pen.near(18, 0.2)
    drawn = [
        body,
        path((78, 50), (97, 50 - fork), (pen.near(90, 0.04), 50), (97, 50 + fork), (78, 50)),
    ]
    drawn.append(pen.ring(19, 45, pen.near(3, 0.25)))
    if pen.chance(0.5):
        drawn.append(curve((32, 50 - 0.7 * fat), (37, 50), (32, 50 + 0.7 * fat)))
    if pen.chance(0.4):
        drawn.append(curve((36, 50 - fat), (46, 42 - fat), (58, 50 - 0.75 * fat)))
    if pen.chance(0.3):
        drawn.append(curve((6, 55), (12, 58), (18, 56)))
    return drawn if pen.chance(0.75) else [mirrored(stroke) for stroke in drawn]


def apple(pen: Pen) -> Strokes:
    w, dip = pen.near(40), pen.near(32, 0.06)
    body = curve(
        (50, dip),
        (50 + 0.6 * w, 24),
        (50 + w, 46),
        (50 + 0.75 * w, 80),
        (58, 94),
        (50, 90),
        (42, 94),
        (50 - 0.75 * w, 80),
        (50 - w, 46),
        (50 - 0.6 * w, 24),
        (pen.near(50, 0.03), dip + 1),
    )
    drawn = [body, _stem(pen, 50, dip + 2, pen.near(24, 0.25))]
    if pen.chance(0.65):
        drawn.append(_leaf(pen, 52, dip - 12, 26, -20))
    return drawn


def cherry(pen: Pen) -> Strokes:
    top = (pen.near(55), 6.0)
    drawn: Strokes = []
    berries = ((28, 74), (72, 78)) if pen.chance(0.75) else ((50, 70),)
    for x, y in berries:
        r = pen.near(19 if len(berries) == 2 else 27)
        drawn.append(pen.ring(x, y, r))
        drawn.append(curve((x, y - 0.8 * r), (0.7 * x + 0.3 * top[0], 0.5 * y), top))
    if pen.chance(0.6):
        drawn.append(_leaf(pen, *top, 28, 15))
    return drawn


def pear(pen: Pen) -> Strokes:
    w, waist = pen.near(34), pen.near(17, 0.15)
    body = curve(
        (50, 16),
        (50 + waist, 26),
        (50 + waist * 1.1, 42),
        (50 + w, 66),
        (50 + 0.8 * w, 88),
        (50, 97),
        (50 - 0.8 * w, 88),
        (50 - w, 66),
        (50 - waist * 1.1, 42),
        (50 - waist, 26),
        (pen.near(51, 0.04), 16),
    )
    drawn = [body, _stem(pen, 50, 17, pen.near(17, 0.25))]
    if pen.chance(0.5):
        drawn.append(_leaf(pen, 51, 8, 22, 5))
    return drawn


def banana(pen: Pen) -> Strokes:
    sag, thick = pen.near(34), pen.near(20, 0.15)
    outer = curve((4, 30), (20, 30 + 0.75 * sag), (50, 36 + sag), (80, 30 + 0.75 * sag), (97, 28))
    inner = curve(
        (97, 28),
        (91, 23),
        (74, 44 + sag - thick - 14),
        (50, 36 + sag - thick),
        (26, 44 + sag - thick - 14),
        (10, 24),
        (4, 30),
    )
    drawn = [outer, inner]
    if pen.chance(0.6):
        mid = 36 + sag - 0.45 * thick
        drawn.append(curve((16, 36), (34, mid - 6), (52, mid), (72, mid - 7), (88, 34)))
    if pen.chance(0.5):
        drawn.append(path((91, 23), (93, 14), (99, 15), (97, 28)))
    if pen.chance(0.15):
        drawn = [stroke[:, ::-1] for stroke in drawn]
    return drawn


def mushroom(pen: Pen) -> Strokes:
    brim, w = pen.near(52, 0.06), pen.near(13, 0.2)
    drawn = [arc(50, brim, 44, pen.near(42), 180, 360), path((6, brim), (94, brim))]
    drawn.append(
        curve(
            (50 - w, brim),
            (50 - w, 75),
            (47 - w, 93),
            (50, 97),
            (53 + w, 93),
            (50 + w, 75),
            (50 + w, brim),
        )
    )
    spots = ((34, 30), (58, 24), (72, 40), (46, 42))[: pen.count(0, 4)]
    return drawn + [pen.ring(x, y, pen.near(5, 0.25)) for x, y in spots]


def flower(pen: Pen) -> Strokes:
    r = pen.near(10, 0.2)
    drawn = [pen.ring(50, 36, r)]
    petals, phase = pen.count(5, 7), pen.between(0, 60)
    reach, half = pen.near(30), 155 / petals
    for i in range(petals):
        at = phase + i * 360 / petals
        a, b, c = (direction(at + turn) for turn in (-half, 0, half))
        tip, side = pen.near(reach, 0.07), reach * 0.85
        drawn.append(
            curve(
                (50 + r * a[0], 36 + r * a[1]),
                (50 + side * a[0], 36 + side * a[1]),
                (50 + tip * b[0] * 1.1, 36 + tip * b[1] * 1.1),
                (50 + side * c[0], 36 + side * c[1]),
                (50 + r * c[0], 36 + r * c[1]),
            )
        )
    if pen.chance(0.75):
        drawn.append(curve((50, 36 + reach), (pen.near(52, 0.06), 82), (50, 100)))
        if pen.chance(0.6):
            drawn.append(_leaf(pen, 51, 92, 24, -30))
    return drawn


def sun(pen: Pen) -> Strokes:
    r = pen.near(23, 0.12)
    drawn = [pen.ring(50, 50, r)]
    rays, phase = pen.count(7, 12), pen.between(0, 60)
    for i in range(rays):
        c, s = direction(phase + i * 360 / rays)
        near, far = pen.near(r + 6, 0.06), pen.near(46, 0.1)
        drawn.append(path((50 + near * c, 50 + near * s), (50 + far * c, 50 + far * s)))
    if pen.chance(0.15):
        drawn += [pen.ring(42, 45, 2.5), pen.ring(58, 45, 2.5), curve((40, 56), (50, 62), (60, 56))]
    return drawn


def moon(pen: Pen) -> Strokes:
    open_, thick = pen.near(48, 0.15), pen.near(24, 0.2)
    c, s = direction(open_)
    horn_x, horn_y = 50 + 40 * c, 46 * s
    outer = arc(50, 50, 40, 46, -open_, -360 + open_)
    inner = arc(horn_x, 50, horn_x - 10 - thick, horn_y, 90, 270)
    drawn = [outer, inner]
    if pen.chance(0.25):
        x, y = pen.between(78, 90), pen.between(20, 80)
        drawn += [path((x - 6, y), (x + 6, y)), path((x, y - 6), (x, y + 6))]
    return drawn if pen.chance(0.7) else [mirrored(stroke) for stroke in drawn]


def _snout(pen: Pen, y: float, scale: float = 1.0) -> Strokes:
    """Eyes, nose, and as it comes mouth and whiskers, of a head around (50, y)."""
    apart, size = pen.near(15) * scale, pen.near(4, 0.2) * scale
    drawn = [pen.ring(50 + side * apart, y - 8 * scale, size) for side in (-1, 1)]
    drawn.append(path((46, y + 4), (54, y + 4), (50, y + 9), (46, y + 4)))
    if pen.chance(0.7):
        drawn.append(
            curve(
                (50 - 11 * scale, y + 16),
                (50 - 5 * scale, y + 19),
                (50, y + 9),
                (50 + 5 * scale, y + 19),
                (50 + 11 * scale, y + 16),
            )
        )
    if pen.chance(0.7):
        near, far = 16 * scale, pen.near(44, 0.12) * scale
        drawn += [
            path((50 + side * near, y + 8 + lift), (50 + side * far, y + 8 + 2.2 * lift))
            for side in (-1, 1)
            for lift in (-3, 4)[: 2 if pen.chance(0.8) else 1]
        ]
    return drawn


def _stem(pen: Pen, x: float, y: float, length: float) -> Stroke:
    return curve((x, y), (x + 1, y - length / 2), (x + pen.near(6, 0.8), y - length))


def _leaf(pen: Pen, x: float, y: float, length: float, degrees: float) -> Stroke:
    """A leaf that starts and ends at (x, y) and points `degrees` down from the right."""
    c, s = direction(degrees + 10 * pen.rng.standard_normal())
    length, fat = pen.near(length, 0.15), pen.near(0.25, 0.2) * length
    middle_x, middle_y = x + length * c / 2, y + length * s / 2
    return curve(
        (x, y),
        (middle_x + fat * s, middle_y - fat * c),
        (x + length * c, y + length * s),
        (middle_x - fat * s, middle_y + fat * c),
        (x, y),
    )
