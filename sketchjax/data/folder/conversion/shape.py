"""Comparing drawings u8[t 3]: by shape, and by place and size where forms agree in them."""

from __future__ import annotations

import numpy as np

from sketchjax.compiled import kernel

# In 1/255 of the longer side. A raw drawing that is simplified here is at most 2.7 away from
# Google's simplified form (1,549 drawings). Of 33,418 pairs of different drawings of one category
# one was nearer than 4, two straight lines; 99.9 % were farther apart than 15.
_SAME_WITHIN = 4.0
# In units of the square. Simplifying moves an edge: of 2,475 simplified drawings, by up to 8.
_FILLS_WITHIN = 8


@kernel
def digests(points, offsets):
    """A hash of each sketch's points that moving and scaling does not change, u64[n].

    points: u8[p 3]; offsets: i64[n + 1], as in `Sketches`.
    """
    found = np.empty(len(offsets) - 1, np.uint64)
    for i in range(len(found)):
        own = points[offsets[i] : offsets[i + 1]]
        left, top, scale = _frame(own)
        state = np.uint64(len(own))
        for j in range(len(own)):
            x = np.uint64(np.rint((own[j, 0] - left) * scale))
            y = np.uint64(np.rint((own[j, 1] - top) * scale))
            value = x << np.uint64(16) | y << np.uint64(8) | np.uint64(own[j, 2])
            # SplitMix64's finaliser, over the points so far.
            state = (state ^ value) + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state ^= state >> np.uint64(31)
        found[i] = state
    return found


@kernel
def near(one, other):
    """Whether two drawings are the same, except for how they were simplified.

    No point of one lies farther than 4 from the strokes of the other, of 255 of the longer side.
    """
    return _close(_placed(one, _frame(one)), _placed(other, _frame(other)))


@kernel
def fills(points):
    """Whether a drawing reaches from the top left over the square of 255, as scaled ones do.

    A single place is scaled to the corner.
    """
    left, top = points[:, 0].min(), points[:, 1].min()
    side = max(points[:, 0].max() - left, points[:, 1].max() - top)
    if side == 0:
        return left == 0 and top == 0
    return max(left, top) <= _FILLS_WITHIN and side >= 255 - _FILLS_WITHIN


@kernel
def same(one, other):
    """Whether two drawings are the same, in one form or in two.

    One that fills the square may be a scaled form of the other, so only their shapes are compared.
    If neither does, neither was scaled: then place and size count too.
    """
    if len(one) == len(other) and (one == other).all():
        return True
    if fills(one) or fills(other):
        return near(one, other)
    frame = _frame(one)
    return _close(_placed(one, frame), _placed(other, frame))


@kernel
def _close(one, other):
    """Whether two placed drawings are no farther apart than two forms of one."""
    return _along(one, other) and _along(other, one)


@kernel
def _frame(points):
    """Left, top, and the factor that makes the longer side 255; 1 for a single place."""
    if len(points) == 0:
        return 0.0, 0.0, 1.0
    left, top = float(points[:, 0].min()), float(points[:, 1].min())
    extent = max(points[:, 0].max() - left, points[:, 1].max() - top)
    return left, top, 255.0 / extent if extent > 0.0 else 1.0


@kernel
def _placed(points, frame):
    """The points f64[t 3], moved and scaled so that a frame goes to the top left."""
    left, top, scale = frame
    placed = points.astype(np.float64)
    placed[:, 0] = (placed[:, 0] - left) * scale
    placed[:, 1] = (placed[:, 1] - top) * scale
    return placed


@kernel
def _along(points, drawing):
    """Whether every point lies close to a drawing's strokes, both f64[t 3]."""
    for i in range(len(points)):
        nearest = np.inf
        for j in range(len(drawing)):
            k = j if drawing[j, 2] == 1 or j + 1 == len(drawing) else j + 1
            dx, dy = drawing[k, 0] - drawing[j, 0], drawing[k, 1] - drawing[j, 1]
            x, y = points[i, 0] - drawing[j, 0], points[i, 1] - drawing[j, 1]
            square = dx * dx + dy * dy
            share = min(max((x * dx + y * dy) / square, 0.0), 1.0) if square > 0.0 else 0.0
            nearest = min(nearest, np.hypot(x - share * dx, y - share * dy))
        if nearest > _SAME_WITHIN:
            return False
    return True
