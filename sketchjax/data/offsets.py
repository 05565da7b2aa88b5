"""The scale of the steps from point to point, by which a model divides its offsets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def offset_sums(points: np.ndarray, offsets: np.ndarray) -> tuple[int, int, int]:
    """Number, sum, and sum of squares of all Δx and Δy, exact.

    points: u8[p 3]; offsets: i64[n + 1]. The first point of a sketch has the offset (0, 0).
    """
    steps = np.diff(points[:, :2].astype(np.int64), axis=0, prepend=0)
    steps[offsets[:-1]] = 0
    return steps.size, int(steps.sum()), int((steps * steps).sum())


def scale(sums: Sequence[Sequence[int]]) -> float:
    """Standard deviation from the sums of several parts; 1 where nothing varies."""
    number, total, squares = (
        (sum(column) for column in zip(*sums, strict=True)) if sums else [0] * 3
    )
    variance = number * squares - total * total
    return math.sqrt(variance) / number if variance else 1.0
