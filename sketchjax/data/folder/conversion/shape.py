"""Comparing drawings u8[t 3] by shape, whatever their place and size."""

from __future__ import annotations

import numpy as np

from sketchjax.compiled import kernel

# In 1/255 of the longer side. A raw drawing that is simplified here is at most 2.7 away from
# Google's simplified form (1,549 drawings). Of 33,418 pairs of different drawings of one category
# one was nearer than 4, two straight lines; 99.9 % were farther apart than 15.
_SAME_WITHIN = 4.0


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
    one, other = _placed(one), _placed(other)
    return max(_farthest(one, other), _farthest(other, one)) <= _SAME_WITHIN


@kernel
def _frame(points):
    """Left, top, and the factor that makes the longer side 255; 1 for a single place."""
    if len(points) == 0:
        return 0.0, 0.0, 1.0
    left, top = float(points[:, 0].min()), float(points[:, 1].min())
    extent = max(points[:, 0].max() - left, points[:, 1].max() - top)
    return left, top, 255.0 / extent if extent > 0.0 else 1.0


@kernel
def _placed(points):
    """The points f64[t 3], moved to the top left and scaled to a longer side of 255."""
    left, top, scale = _frame(points)
    placed = points.astype(np.float64)
    placed[:, 0] = (placed[:, 0] - left) * scale
    placed[:, 1] = (placed[:, 1] - top) * scale
    return placed


@kernel
def _farthest(points, drawing):
    """The largest distance of a point from a drawing's strokes, both f64[t 3]."""
    farthest = 0.0
    for i in range(len(points)):
        nearest = np.inf
        for j in range(len(drawing)):
            k = j if drawing[j, 2] == 1 or j + 1 == len(drawing) else j + 1
            dx, dy = drawing[k, 0] - drawing[j, 0], drawing[k, 1] - drawing[j, 1]
            x, y = points[i, 0] - drawing[j, 0], points[i, 1] - drawing[j, 1]
            square = dx * dx + dy * dy
            share = min(max((x * dx + y * dy) / square, 0.0), 1.0) if square > 0.0 else 0.0
            nearest = min(nearest, np.hypot(x - share * dx, y - share * dy))
        farthest = max(farthest, nearest)
    return farthest
