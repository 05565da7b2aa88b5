"""The image entropy of a drawing, which finds scribbles and near-blanks."""

from __future__ import annotations

import numpy as np

from sketchjax.compiled import kernel
from sketchjax.data.canvas import to_pixels
from sketchjax.errors import DataError

# px at 224 px. The paper's thresholds for stars, 0.1051 and 0.1721, mean 1.38 % and 2.57 % ink,
# 1.88 % in their (geometric) middle. 29 real stars have 1.56 % and 2.27 % at 1 px, 1.88 % in the
# middle; 2.80 % at 1.5 px; 3.71 % at 2 px. The choice hardly matters: 98 to 99 % of cats and
# backpacks are kept or left out in the same way at 1 px and 1.5 px.
STROKE_WIDTH = 1.0


@kernel
def _row_span(ax, ay, bx, by, row, radius):
    """Columns first to last (empty: first > last) whose centres on a row lie within the radius.

    The region within the radius of a segment is convex, so on a row it is one interval: the union
    of the intervals of the two end discs and of the rectangle between them.
    """
    # The discs around both ends.
    y = row + 0.5
    low, high = np.inf, -np.inf
    for x_end, y_end in ((ax, ay), (bx, by)):
        reach = radius * radius - (y - y_end) ** 2
        if reach > 0.0:
            half = np.sqrt(reach)
            low, high = min(low, x_end - half), max(high, x_end + half)
    # The rectangle: points next to the segment, between its ends.
    length = np.hypot(bx - ax, by - ay)
    if length > 0.0:
        tx, ty = (bx - ax) / length, (by - ay) / length
        left, right = -np.inf, np.inf
        # Two conditions on x: -radius < (y - ay) tx - (x - ax) ty < radius, the distance to the
        # line, and 0 < (x - ax) tx + (y - ay) ty < length, the distance along it.
        if ty != 0.0:
            middle = ax + (y - ay) * tx / ty
            left, right = middle - radius / abs(ty), middle + radius / abs(ty)
        elif abs(y - ay) >= radius:
            right = -np.inf
        if tx != 0.0:
            start = ax - (y - ay) * ty / tx
            stop = start + length / tx
            left, right = max(left, min(start, stop)), min(right, max(start, stop))
        elif (y - ay) * ty <= 0.0 or (y - ay) * ty >= length:
            right = -np.inf
        if left < right:
            low, high = min(low, left), max(high, right)
    if low >= high:
        return 0, -1
    return int(np.floor(low - 0.5)) + 1, int(np.ceil(high - 0.5)) - 1


@kernel
def _stroke_pixels(canvas, ax, ay, bx, by, radius):
    """Draw the segment a to b on the boolean canvas; returns how many pixels became ink."""
    size = canvas.shape[0]
    top = max(0, int(np.floor(min(ay, by) - radius)))
    bottom = min(size - 1, int(np.ceil(max(ay, by) + radius)))
    fresh = 0
    for row in range(top, bottom + 1):
        first, last = _row_span(ax, ay, bx, by, row, radius)
        for column in range(max(first, 0), min(last, size - 1) + 1):
            if not canvas[row, column]:
                canvas[row, column] = True
                fresh += 1
    return fresh


@kernel
def _ink_pixels(points, offsets, size, stroke_width):
    """Number of ink pixels of each binary picture, i64[n]."""
    counts = np.zeros(len(offsets) - 1, np.int64)
    canvas = np.zeros((size, size), np.bool_)
    for i in range(len(counts)):
        sketch = points[offsets[i] : offsets[i + 1]]
        if len(sketch) == 0:
            continue
        canvas[:] = False
        left, right = float(sketch[:, 0].min()), float(sketch[:, 0].max())
        top, bottom = float(sketch[:, 1].min()), float(sketch[:, 1].max())
        starts = True
        ax = ay = 0.0
        for j in range(len(sketch)):
            bx = to_pixels(float(sketch[j, 0]), left, right, size, stroke_width)
            by = to_pixels(float(sketch[j, 1]), top, bottom, size, stroke_width)
            if starts:  # a dot is only the disc of its first point
                ax, ay = bx, by
            counts[i] += _stroke_pixels(canvas, ax, ay, bx, by, stroke_width * 0.5)
            ax, ay = bx, by
            starts = sketch[j, 2] != 0
    return counts


def ink_fraction(
    points: np.ndarray,
    offsets: np.ndarray,
    *,
    size: int = 224,
    stroke_width: float = STROKE_WIDTH,
) -> np.ndarray:
    """Fraction of ink pixels of each sketch's binary picture, f32[n] in [0, 1].

    A pixel is ink if its centre is within stroke_width / 2 of a stroke: the same picture as
    `ops.draw.rasterize(...) > 0.5`.

    points: u8[p 3], as in `Sketches`.
    offsets: i64[n + 1].
    size: of the picture's side, px.
    stroke_width: px.
    Raises ValueError if the shapes do not fit.
    """
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"points must be [p 3], got {list(points.shape)}")
    if offsets.ndim != 1 or len(offsets) < 1 or offsets[-1] > len(points):
        raise ValueError(f"offsets must be [n + 1] and end within the {len(points)} points")
    counts = _ink_pixels(points, offsets, size, float(stroke_width))
    return (counts / (size * size)).astype(np.float32)


def image_entropy(
    points: np.ndarray,
    offsets: np.ndarray,
    *,
    size: int = 224,
    stroke_width: float = STROKE_WIDTH,
) -> np.ndarray:
    """Entropy of a picture's ink in bits, f32[n] in [0, 1] (SketchMate, section on noise).

    H = -p log2 p - (1 - p) log2(1 - p) with p the `ink_fraction`; 0 for a blank picture.
    Arguments and errors are those of `ink_fraction`.
    """
    ink = ink_fraction(points, offsets, size=size, stroke_width=stroke_width).astype(np.float64)
    paper = 1.0 - ink
    terms = [p * np.log2(np.where(p > 0.0, p, 1.0)) for p in (ink, paper)]
    return np.maximum(-(terms[0] + terms[1]), 0.0).astype(np.float32)


def thresholds(entropies: np.ndarray, keep: float = 0.9) -> tuple[float, float]:
    """The entropies (low, high) between which the middle `keep` of a class lies.

    They are the quantiles (1 - keep) / 2 and (1 + keep) / 2, with linear interpolation.

    entropies: f[n], of one class.
    keep: the fraction to keep; the paper keeps 0.9.
    Raises ValueError if keep is not in (0, 1], DataError if there are no sketches.
    """
    if not 0.0 < keep <= 1.0:
        raise ValueError(f"keep={keep} is not a fraction in (0, 1]; the paper keeps 0.9")
    if len(entropies) == 0:
        raise DataError("no sketch to take entropy thresholds from; leave the empty class out")
    low, high = np.quantile(np.asarray(entropies, np.float64), [(1 - keep) / 2, (1 + keep) / 2])
    return float(low), float(high)


def thresholds_by_label(
    entropies: np.ndarray, labels: np.ndarray, classes: int, keep: float = 0.9
) -> list[tuple[float, float]]:
    """`thresholds` of each class; (0, 1) for a class without sketches.

    entropies: f[n].
    labels: i[n], below classes.
    classes: number of classes.
    keep: as in `thresholds`.
    """
    ordered = entropies[np.argsort(labels, kind="stable")]
    edges = np.searchsorted(np.sort(labels), np.arange(classes + 1))
    return [
        thresholds(ordered[start:end], keep) if end > start else (0.0, 1.0)
        for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    ]
