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
from dataclasses import dataclass, replace

import numpy as np

from sketchjax.data.sources.drawings import SQUARE
from sketchjax.data.sources.records import MOST_POINTS, Refused
from sketchjax.errors import DataError

LOOK_AT = 1_000  # sketches that decide for a file
_LONG = 8  # points: a shorter sketch does not say whether its rows are steps
# Roughness, see `_signs_of_places`. In each category of QuickDraw, raw or simplified, half of the
# drawings have 2.2 or more as steps; as points below 1.5 in 84 % of the categories, 2.0 in 98 %.
_SMOOTH = 1.5
_SMOOTH_IF_CENTRED = 2.0
_TOLERANCE = 0.01  # of the longer side: what a rounding error or a stray pixel may be


@dataclass(frozen=True, slots=True)
class RowForm:
    """How the rows of one file are read.

    columns: 3, 4 or 5.
    from_corner: whether the first offset is the first point.
    start_row: whether a row of zeros at the corner precedes it, which is no point.
    scaled: whether every sketch is scaled to the square, or only those that are larger.
    """

    columns: int = 3
    from_corner: bool = False
    start_row: bool = False
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
    form = RowForm(columns)
    if columns == 4:
        _check_places(sketches)
    else:
        _check_offsets(sketches)
        form = _judge_start(sketches, form, notes)
    sides = [_places_of(rows, form)[1].max() for rows in sketches]
    notes.append(
        f"sketches with a longer side of {min(sides):.4g} to {max(sides):.4g} are each scaled to "
        f"{SQUARE}"
    )
    return form, notes


def points_of_rows(array: np.ndarray, form: RowForm) -> np.ndarray:
    """Points u8[t 3] of one sketch, aligned to the top left.

    Raises Refused where the rows are not a sketch.
    """
    rows = _rows_of(array, form.columns)
    rows, places = _places_of(rows, form)
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


def _places_of(rows: np.ndarray, form: RowForm) -> tuple[np.ndarray, np.ndarray]:
    """The rows, one for each point, and the places f64[t 2] of the points, the least ones 0."""
    if form.start_row and len(rows) > 1 and not rows[0].any():
        rows = rows[1:]
    if form.columns != 4 and not form.from_corner and rows[0, :2].any():
        rows = np.concatenate([np.zeros((1, 3)), rows])
    with np.errstate(over="ignore", invalid="ignore"):
        places = rows[:, :2] if form.columns == 4 else np.cumsum(rows[:, :2], axis=0)
        return rows, places - places.min(axis=0)


def _check_pen(sketches: Sequence[np.ndarray]) -> None:
    """Raise DataError where the pen column has another meaning."""
    inner = np.concatenate([rows[:-1, 2] for rows in sketches])
    last = np.mean([rows[-1, 2] for rows in sketches])
    if len(inner) and inner.mean() >= 0.5 and last < 0.5:
        raise DataError(
            f"{inner.mean():.0%} of the rows end a stroke, yet few sketches end with one: the pen "
            "column has the opposite meaning (as the first one of stroke-5); write 1 where the pen "
            "is lifted after the point, else 0"
        )
    if inner.any() and last <= 0.1:
        raise DataError(
            "hardly a sketch ends with a 1 in the pen column, yet rows within sketches have one: "
            "the column seems to mark where a stroke starts; write 1 where the pen is lifted after "
            "the point, also in the last row, else 0"
        )


def _check_places(sketches: Sequence[np.ndarray]) -> None:
    """Raise DataError where rows of 4 hold steps: places on a canvas are not negative."""
    lows = np.array([rows[:, :2].min() for rows in sketches])
    sides = np.array([np.ptp(rows[:, :2], axis=0).max() for rows in sketches])
    if np.mean(lows < -_TOLERANCE * sides) >= 0.1:
        raise DataError(
            "rows of 4 are points on a canvas (QuickDraw-414k), but here many are negative, as "
            "steps from point to point are; write steps as rows of 3 (dx, dy, 1 where the pen is "
            "lifted after the point), and move points so that the least are 0"
        )


def _check_offsets(sketches: Sequence[np.ndarray]) -> None:
    """Raise DataError where the rows hold places instead of offsets."""
    long = [rows for rows in sketches if len(rows) >= 5]
    if len(long) >= 3 and np.mean([(rows[:, :2] >= 0).all() for rows in long]) >= 0.9:
        raise DataError(
            "no offset is negative: the rows seem to hold points, not the steps between them; "
            "write the difference to the point before"
        )
    signs = [_signs_of_places(rows) for rows in sketches if len(rows) >= _LONG]
    if not signs:
        return
    roughness, centred = np.transpose(signs)
    smooth = np.median(roughness)
    if (len(signs) >= 20 and smooth < _SMOOTH) or (
        len(signs) >= 3 and smooth < _SMOOTH_IF_CENTRED and centred.mean() >= 0.9
    ):
        raise DataError(
            "the rows change as little from one to the next as points do: they seem to hold points "
            "around 0, not the steps between them; write the difference to the point before"
        )


def _signs_of_places(rows: np.ndarray) -> tuple[float, bool]:
    """Signs that the rows f64[t 3] of a sketch are places around 0.

    How rough they are: the mean square of the change from row to row within strokes, by the
    variance of the rows (2 where they are independent), times √t, because places lie closer the
    more of them there are. And whether their mean or their middle is 0.
    """
    places = rows[:, :2] / (np.abs(rows[:, :2]).max() or 1)
    side = np.ptp(places, axis=0).max()
    spread = places.var(axis=0).sum()
    changes = np.diff(places, axis=0)[rows[:-1, 2] == 0]
    if not len(changes) or not spread:
        return np.inf, False
    roughness = (changes**2).sum(axis=1).mean() / spread * len(rows) ** 0.5
    centers = places.mean(axis=0), (places.min(axis=0) + places.max(axis=0)) / 2
    centred = any(np.abs(center).max() <= _TOLERANCE * side for center in centers)
    return float(roughness), centred


def _judge_start(sketches: Sequence[np.ndarray], form: RowForm, notes: list[str]) -> RowForm:
    """Where the first offset starts: see the head of the file."""
    blank = [rows for rows in sketches if not rows[0].any() and len(rows) > 1]
    if len(blank) >= 0.9 * len(sketches):
        stays, touches, roams, _ = np.mean([_signs_of_corner(rows[1:]) for rows in blank], axis=0)
        if stays < 0.9 or max(touches, roams) < 0.5:
            return form
        notes.append("the first row is a row of zeros at the corner, the second the first point")
        return replace(form, from_corner=True, start_row=True)
    signs = np.array([_signs_of_corner(rows) for rows in sketches if rows[0, :2].any()])
    if not len(signs):
        return form
    stays, *others = signs.mean(axis=0)
    corner = bool(stays >= 0.9 and max(others) >= 0.5)
    how = "the first point" if corner else "a step from a first point that has no row"
    notes.append(
        f"the first row is read as {how}: {signs[:, 0].sum():,} of {len(signs):,} sketches never "
        "go left of or above their start"
    )
    return replace(form, from_corner=corner)


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
