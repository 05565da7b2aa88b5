"""From a raw drawing in screen units to Google's simplified form, points of 0 to 255.

Google documents four steps ("The Quick, Draw! Dataset", preprocessed dataset): align to the top
left, scale uniformly so that the largest coordinate is 255, resample every stroke at a spacing of
1 pixel, simplify every stroke by Ramer–Douglas–Peucker with an epsilon of 2.0. The details that
the documentation leaves open were settled on 1,549 drawings that Google published in both forms:

- the last point of a stroke is always appended after resampling, even where it repeats the one
  before, so a tap becomes two equal points (without it 11 % come out equal, not 95 %);
- the distance in Ramer–Douglas–Peucker is to the line through the ends, not to the segment (27 %);
- coordinates are rounded at the very end, halves to even (halves up: 2 % fewer come out equal);
- positions are (p - min) · 255 / extent in this order, sampled on the cumulative arc length.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sketchjax.compiled import kernel
from sketchjax.errors import DataError

EPSILON = 2.0  # of Ramer–Douglas–Peucker, in pixels of the 256 × 256 square
MOST_PIXELS = 65_535  # a stroke's longest path; the longest of 1,549 real drawings has 31,575


def simplify(strokes: Sequence[np.ndarray], *, together: bool = False) -> np.ndarray:
    """Simplify one raw drawing as Google did.

    strokes: arrays [t_i 2] (or wider: x and y come first) of screen coordinates, y downwards; each
    holds at least one point.
    together: whether all strokes together may be no longer than one may be.
    Returns points u8[t 3] with columns x, y, end (see `Sketches`).
    Raises DataError where there are no points, a coordinate is not finite or overflows, or a stroke
    is longer than 65,535 pixels once scaled (a scribble that no hand draws in a game's 20 seconds).
    """
    if not len(strokes) or any(len(stroke) == 0 for stroke in strokes):
        raise DataError(
            "a raw drawing needs at least one stroke, and each stroke at least one point"
        )
    joined = np.concatenate([np.asarray(stroke, np.float64)[:, :2] for stroke in strokes])
    with np.errstate(over="ignore", invalid="ignore"):
        joined -= joined.min(axis=0)
        extent = joined.max()
        if not np.isfinite(joined).all():
            raise DataError("a raw drawing has a coordinate that is not finite")
        if extent > 0:  # A single tap has no extent: it stays at the corner.
            joined = joined * 255.0 / extent if extent < 1e300 else joined / extent * 255.0
    ends = np.cumsum([len(stroke) for stroke in strokes])
    arcs = _arc_lengths(joined, ends)
    lengths = arcs[ends - 1]
    if together and lengths.sum() > MOST_PIXELS:
        raise DataError("the drawing is a scribble: its strokes cross it more than 250 times")
    if not lengths.max() <= MOST_PIXELS:
        raise DataError(f"a raw stroke is longer than {MOST_PIXELS:,} pixels once scaled")
    return _simplify_strokes(joined, arcs, ends, EPSILON)


@kernel
def _arc_lengths(points, ends):
    """Path length from the first point of its stroke to each point: f64[t 2], i64[s] to f64[t]."""
    arcs = np.zeros(len(points))
    start = 0
    for end in ends:
        for i in range(start + 1, end):
            step = np.hypot(points[i, 0] - points[i - 1, 0], points[i, 1] - points[i - 1, 1])
            arcs[i] = arcs[i - 1] + step
        start = end
    return arcs


@kernel
def _resample(stroke, arc):
    """Points at the path lengths 0, 1, 2, … below the whole length, then the last point."""
    count = max(1, int(np.ceil(arc[-1])))
    out = np.empty((count + 1, 2))
    out[0] = stroke[0]
    segment = 0
    for k in range(1, count):
        while arc[segment + 1] < k:
            segment += 1
        fraction = (k - arc[segment]) / (arc[segment + 1] - arc[segment])
        for axis in range(2):
            start, stop = stroke[segment, axis], stroke[segment + 1, axis]
            out[k, axis] = start + fraction * (stop - start)
    out[count] = stroke[-1]
    return out


@kernel
def _farthest(points, first, last):
    """Index strictly between two points that is farthest from the line through them, and how far.

    Where the two coincide there is no line: the distance is to the point.
    """
    x0, y0 = points[first, 0], points[first, 1]
    dx, dy = points[last, 0] - x0, points[last, 1] - y0
    base = np.hypot(dx, dy)
    index, most = -1, 0.0
    for i in range(first + 1, last):
        ux, uy = points[i, 0] - x0, points[i, 1] - y0
        distance = np.hypot(ux, uy) if base == 0 else abs(ux * dy - uy * dx) / base
        if distance > most:
            index, most = i, distance
    return index, most


@kernel
def _simplify_stroke(stroke, arc, epsilon):
    """Resample and simplify one scaled stroke f64[t 2], with its path lengths f64[t]."""
    points = _resample(stroke, arc)
    keep = np.zeros(len(points), np.bool_)
    keep[0] = keep[-1] = True
    # An explicit stack: recursion would be as deep as the stroke has points.
    stack = [(0, len(points) - 1)]
    while len(stack) > 0:
        first, last = stack.pop()
        index, distance = _farthest(points, first, last)
        if distance > epsilon:
            keep[index] = True
            stack.append((first, index))
            stack.append((index, last))
    out = np.zeros((np.count_nonzero(keep), 3), np.uint8)
    row = 0
    for i in range(len(points)):
        if keep[i]:
            for axis in range(2):
                out[row, axis] = np.uint8(np.rint(points[i, axis]))
            row += 1
    out[-1, 2] = 1
    return out


@kernel
def _simplify_strokes(points, arcs, ends, epsilon):
    """Resample and simplify scaled strokes: f64[t 2], f64[t], i64[s] to u8[t 3]."""
    # Resampling leaves a point for each pixel of a path and the last one; a dot has two.
    most = 2 * len(ends)
    for end in ends:
        most += int(np.ceil(arcs[end - 1]))
    out = np.empty((most, 3), np.uint8)
    start, rows = 0, 0
    for end in ends:
        kept = _simplify_stroke(points[start:end], arcs[start:end], epsilon)
        out[rows : rows + len(kept)] = kept
        start, rows = end, rows + len(kept)
    return out[:rows].copy()
