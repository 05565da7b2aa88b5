"""Sketches as rows of numbers: stroke-3, stroke-5, and QuickDraw-414k's points.

- stroke-3, t rows of 3: the offset dx, dy from the point before, and 1 where the pen is lifted
  after the point;
- stroke-5, rows of 5: the offset, then one of three pen columns is 1: drawing, lifted after the
  point, and past the end;
- QuickDraw-414k, rows of 4: the point x, y itself, then one of two columns is 1: drawing, and last
  point of a stroke. Rows of -1 fill it up.

The unit differs from file to file (pixels of some canvas, offsets divided by their deviation), so
every sketch is moved to the top left and scaled so that its longer side is 255, before rounding.

What no single sketch says is decided for a file from its first sketches (`judge_rows`): the meaning
of the pen column, and where the first offset starts. Both ways are in use:

- from the sketch's own first point, which no row gives (sketch-rnn's own data: in `aaron_sheep` the
  first row is as long as a drawn step, and 71 % of the first strokes close better on the origin);
- from the corner of the canvas, so that the first row is the first point itself.

In the second way hardly a sketch goes left of or above the corner; in the first nearly all do,
except of categories that are drawn from the upper left to the lower right, such as lines. So one of
three signs of a canvas must be there as well: the drawings touch its left and upper edge, or go
left of or above their first point, or the first row is much longer than the others. Offsets of zero
in the first row mean the same in both ways.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sketchjax.data.sources.drawings import SQUARE
from sketchjax.data.sources.records import MOST_POINTS, Refused
from sketchjax.errors import DataError

LOOK_AT = 1_000  # sketches that decide for a file
_TOLERANCE = 0.01  # of the longer side: what a rounding error or a stray pixel may be


@dataclass(frozen=True, slots=True)
class RowForm:
    """How the rows of one file are read.

    columns: 3, 4 or 5.
    from_corner: whether the first offset is the first point.
    scaled: whether every sketch is scaled to the square, or only those that are larger.
    """

    columns: int = 3
    from_corner: bool = False
    scaled: bool = True


def judge_rows(arrays: Sequence[np.ndarray]) -> tuple[RowForm, list[str]]:
    """How to read a file, and the decisions in words, from its first sketches.

    arrays: as they are in the file; those that are not sketches are passed over.
    Raises DataError where the rows do not mean what their form says.
    """
    widths = Counter(a.shape[1] for a in arrays if a.ndim == 2 and a.shape[1] in (3, 4, 5))
    columns = widths.most_common(1)[0][0] if widths else 3
    sketches = []
    for array in arrays:
        try:
            sketches.append(_rows_of(array, columns))
        except Refused:
            continue
    notes = []
    if columns == 4:
        notes.append("rows of 4 are read as points x, y and two pen columns (QuickDraw-414k)")
    elif columns == 5:
        notes.append("rows of 5 are read as stroke-5")
    if not sketches:
        return RowForm(columns), []
    _check_pen(sketches)
    from_corner = False
    if columns != 4:
        _check_offsets(sketches)
        from_corner = _starts_at_corner(sketches, notes)
    sides = [_places_of(rows, columns, from_corner)[1].max() for rows in sketches]
    notes.append(
        f"sketches with a longer side of {min(sides):.4g} to {max(sides):.4g} are each scaled to "
        f"{SQUARE}"
    )
    return RowForm(columns, from_corner), notes


def points_of_rows(array: np.ndarray, form: RowForm) -> np.ndarray:
    """Points u8[t 3] of one sketch, aligned to the top left.

    Raises Refused where the rows are not a sketch.
    """
    rows = _rows_of(array, form.columns)
    rows, places = _places_of(rows, form.columns, form.from_corner)
    side = places.max()
    if not np.isfinite(side):
        raise Refused("range", "the offsets add up to more than a number can hold")
    if side > SQUARE or (form.scaled and side > 0):
        places = places / side * float(SQUARE)
    points = np.zeros((len(rows), 3), np.uint8)
    points[:, :2] = np.rint(places)
    points[:, 2] = rows[:, 2]
    points[-1, 2] = 1  # The last stroke ends with the sketch, whether or not the file says so.
    return points


def _rows_of(array: np.ndarray, columns: int) -> np.ndarray:
    """One sketch as f64[t 3], two numbers and whether a stroke ends; without padding."""
    if array.ndim != 2 or array.shape[1] != columns:
        raise Refused(
            "unreadable", f"the sketch has the shape {array.shape}, not (points, {columns})"
        )
    if len(array) >= MOST_POINTS:
        raise Refused("too_large", f"the drawing has more than {MOST_POINTS:,} points")
    rows = array.astype(np.float64)
    if not np.isfinite(rows).all():
        raise Refused("not_finite", "an offset is NaN or infinite")
    pen = rows[:, 2:]
    if columns == 3:
        if not np.isin(pen, (0, 1)).all():
            raise Refused("unreadable", "the third column is not 0 or 1 (pen lifted)")
        used = np.flatnonzero(rows.any(axis=1))
        rows = rows[: max(used[-1] + 1 if len(used) else 0, 1)]
    else:
        padding = (rows == -1).all(axis=1) if columns == 4 else (pen[:, 2] == 1) | ~pen.any(axis=1)
        stop = int(padding.argmax()) if padding.any() else len(rows)
        if not padding[stop:].all():
            raise Refused("unreadable", "the sketch continues after its end")
        rows, pen = rows[:stop], pen[:stop]
        if not (np.isin(pen, (0, 1)).all() and (pen.sum(axis=1) == 1).all()):
            raise Refused("unreadable", "not exactly one pen column is 1 in each row")
        rows = rows[:, [0, 1, 3]]
    if not len(rows):
        raise Refused("empty", "the drawing has no points")
    return rows


def _places_of(rows: np.ndarray, columns: int, from_corner: bool) -> tuple[np.ndarray, np.ndarray]:
    """The rows, one for each point, and the places f64[t 2] of the points, the least ones 0."""
    if columns != 4 and not from_corner and rows[0, :2].any():
        rows = np.concatenate([np.zeros((1, 3)), rows])
    with np.errstate(over="ignore", invalid="ignore"):
        places = rows[:, :2] if columns == 4 else np.cumsum(rows[:, :2], axis=0)
        return rows, places - places.min(axis=0)


def _check_pen(sketches: Sequence[np.ndarray]) -> None:
    """Raise DataError where the pen column has another meaning."""
    inner = np.concatenate([rows[:-1, 2] for rows in sketches])
    first, last = (np.array([rows[row, 2] for rows in sketches]) for row in (0, -1))
    if len(sketches) >= 3 and first.mean() >= 0.9 and last.mean() <= 0.1 and inner.mean() < 0.5:
        raise DataError(
            "nearly every sketch has a 1 in the pen column of its first row and none in its last: "
            "the column seems to mark where a stroke starts; write 1 where the pen is lifted after "
            "the point, else 0"
        )
    if len(inner) and inner.mean() >= 0.5 and last.mean() < 0.5:
        raise DataError(
            f"{inner.mean():.0%} of the rows end a stroke, yet few sketches end with one: the pen "
            "column has the opposite meaning (as the first one of stroke-5); write 1 where the pen "
            "is lifted after the point, else 0"
        )


def _check_offsets(sketches: Sequence[np.ndarray]) -> None:
    """Raise DataError where the rows hold places instead of offsets."""
    long = [rows for rows in sketches if len(rows) >= 5]
    if len(long) >= 3 and np.mean([(rows[:, :2] >= 0).all() for rows in long]) >= 0.9:
        raise DataError(
            "no offset is negative: the rows seem to hold points, not the steps between them; "
            "write the difference to the point before"
        )


def _starts_at_corner(sketches: Sequence[np.ndarray], notes: list[str]) -> bool:
    """Whether the first offset is the first point: see the head of the file."""
    signs = np.array([_signs_of_corner(rows) for rows in sketches if rows[0, :2].any()])
    if not len(signs):
        return False
    stays, *others = signs.mean(axis=0)
    corner = bool(stays >= 0.9 and max(others) >= 0.5)
    how = "the first point" if corner else "a step from a first point that has no row"
    notes.append(
        f"the first row is read as {how}: {signs[:, 0].sum():,} of {len(signs):,} sketches never "
        "go left of or above their start"
    )
    return corner


def _signs_of_corner(rows: np.ndarray) -> tuple[bool, bool, bool, bool]:
    """Signs that a sketch starts at the corner of a canvas, where its first row leads away from.

    Whether it never leaves the canvas, touches both edges, goes left of or above its first point,
    and whether its first row is much longer than the others.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        places = np.cumsum(rows[:, :2], axis=0)
        side = np.ptp(np.vstack([np.zeros(2), places]), axis=0).max()
        near = _TOLERANCE * side
        low = places.min(axis=0)
        steps = np.hypot(*rows[:, :2].T)
        return (
            bool((low >= -near).all()),
            bool((np.abs(low) <= near).all()),
            bool((places - places[0]).min() < -near),
            len(steps) > 1 and bool(steps[0] > 2 * steps[1:].mean()),
        )
