"""Drawings in the forms that people have them in, as `Sketches`. No jax here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from sketchjax.data.simplify import simplify
from sketchjax.data.sketch import Sketches, points_of_strokes
from sketchjax.data.sources import read, stop_at
from sketchjax.data.sources.drawings import EXPECTED, lists_of
from sketchjax.errors import DataError

_FORMS = "give points [t 3], with x, y and end of stroke, or strokes as [[xs, ys], ...]"


def as_sketches(drawings: Any) -> Sketches:
    """Drawings of any form that `Model.encode` takes, as `Sketches`.

    The name of an .svg file is a drawing, too, and a list may hold such names.
    Raises DataError when there is none, or one has no such form.
    """
    if isinstance(drawings, Sketches):
        return _checked(drawings)
    if _is_svg(drawings):
        return _checked(_of_svg(drawings))
    drawings = _listed(drawings)
    if _is_one(drawings):
        return _joined([_one(_points(drawings))])
    parts: list[Sketches] = []
    for number, drawing in enumerate(drawings):
        try:
            parts.append(_any_one(drawing))
        except DataError as error:
            raise DataError(f"drawing {number}: {error}") from error
    return _checked(_joined(parts))


def are_strokes(given: Any) -> bool:
    """Whether drawings are strokes or points, where they may be pictures as well.

    given: an array [t 3] is points, other arrays of two dimensions and more are pictures.
    """
    while isinstance(given, list | tuple) and given:
        given = given[0]
    if isinstance(given, np.ndarray):
        return given.ndim < 2 or (given.ndim == 2 and given.shape[1] == 3)
    return _is_svg(given) or isinstance(given, Sketches | int | float | np.number)


def _any_one(drawing: Any) -> Sketches:
    """One item of a list of drawings."""
    if isinstance(drawing, Sketches):
        return drawing
    return _of_svg(drawing) if _is_svg(drawing) else _one(_points(_listed(drawing)))


def _is_svg(drawing: Any) -> bool:
    return isinstance(drawing, str | PathLike) and str(drawing).lower().endswith(".svg")


def _of_svg(path: str | PathLike) -> Sketches:
    """The drawing of an .svg file, without a category."""
    (found,) = read(Path(path), on_bad=stop_at)
    return replace(found, categories=[""])


def _listed(drawings: Any) -> Any:
    """What can be looked at twice: arrays and sequences as they are, what an iterator gives."""
    if isinstance(drawings, str | bytes | PathLike):
        raise DataError(
            f"{str(drawings)[:80]!r} is text, not a drawing; read a file with sketchjax.read first "
            "(an .svg is read as it is)"
        )
    if not isinstance(drawings, np.ndarray | np.generic) and hasattr(drawings, "__array__"):
        return np.asarray(drawings)  # of jax or torch
    if isinstance(drawings, Sequence) or (isinstance(drawings, np.ndarray) and drawings.ndim):
        return drawings
    if isinstance(drawings, Mapping) or not isinstance(drawings, Iterable):
        raise DataError(f"a {type(drawings).__name__} is no drawing; {_FORMS}")
    return list(drawings)


def _is_one(drawings: Any) -> bool:
    """Whether it is one drawing: points [t 3], or strokes, each with xs and ys."""
    if isinstance(drawings, np.ndarray):
        return drawings.ndim == 2
    if isinstance(first := _first(drawings), np.ndarray):
        return _are_strokes([getattr(item, "shape", ()) for item in drawings])
    depth = 0
    while first is not None:
        first, depth = _first(first), depth + 1
    return depth == 3


def _are_strokes(shapes: list[tuple[int, ...]]) -> bool:
    """Whether arrays are the strokes [2 t] of a drawing, or [3 t] with times, and not points [t 3].

    Only an array of other columns than three says so.
    """
    return all(len(shape) == 2 and shape[0] in (2, 3) for shape in shapes) and any(
        columns > 3 or (rows, columns) in ((2, 1), (2, 2)) for rows, columns in shapes
    )


def _first(value: Any) -> Any:
    """The first item of a sequence or an array; None where there is none."""
    is_array = isinstance(value, np.ndarray) and value.ndim > 0
    if is_array or (isinstance(value, Sequence) and not isinstance(value, str | bytes)):
        return value[0] if len(value) else None
    return None


def _points(drawing: Any) -> np.ndarray:
    """The points u8[t 3] of one drawing."""
    if not isinstance(drawing, np.ndarray):
        strokes = [_axes(stroke) for stroke in drawing]
        lists = lists_of([strokes], [])
        return _points_of_strokes([_stroke(axes, lists) for axes in strokes])
    if drawing.ndim != 2 or drawing.shape[1] != 3 or not len(drawing):
        raise DataError(f"an array of shape {list(drawing.shape)} is no drawing; {_FORMS}")
    if drawing.dtype.kind not in "iu" or drawing.min() < 0 or drawing[:, :2].max() > 255:
        raise DataError(
            f"points are whole numbers with x and y from 0 to 255, not {drawing.dtype} up to "
            f"{drawing.max()}; give strokes as [[xs, ys], ...] to have them scaled"
        )
    if drawing[:, 2].max() > 1:
        raise DataError("the third column of points is 1 where a stroke ends, and 0 elsewhere")
    points = drawing.astype(np.uint8)
    points[-1, 2] = 1
    return points


def _points_of_strokes(strokes: list[np.ndarray]) -> np.ndarray:
    if not strokes:
        raise DataError("a drawing without strokes; it needs at least one point")
    joined = np.concatenate(strokes)
    # What Google's simplified form always is: at the corner, whole numbers, 255 the largest.
    is_simplified = (
        not joined.min(axis=0).any() and joined.max() == 255 and (joined == np.rint(joined)).all()
    )
    return points_of_strokes(strokes) if is_simplified else simplify(strokes)


def _axes(stroke: Any) -> list[np.ndarray]:
    """The lists of a stroke [xs, ys, ...] as f64."""
    try:
        return [np.asarray(axis, np.float64) for axis in stroke]
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"a stroke is [xs, ys], two lists of numbers ({error})") from None


def _stroke(axes: list[np.ndarray], lists: int) -> np.ndarray:
    """One stroke as f64[t 2]; times and pressures after its xs and ys are ignored.

    lists: how many it may have, besides two and three.
    """
    shapes = [axis.shape for axis in axes]
    if len(axes) < 2 or axes[0].ndim != 1 or shapes[0] != shapes[1]:
        found = ", ".join(str(list(shape)) for shape in shapes[:2]) or "none"
        raise DataError(f"a stroke is [xs, ys], two lists of equal length; its shapes are {found}")
    if len(axes) not in (2, 3, lists):
        raise DataError(f"a stroke has {len(axes)} lists, or is a list of points; {EXPECTED}")
    if not len(axes[0]):
        raise DataError("a stroke without points; leave it out")
    if not np.isfinite(axes[:2]).all():
        raise DataError("a coordinate is not finite")
    return np.stack(axes[:2], axis=1)


def _one(points: np.ndarray) -> Sketches:
    """One drawing of which nothing is known but its points."""
    return Sketches(
        points=points,
        offsets=np.array([0, len(points)], np.int64),
        categories=[""],
        key_ids=np.zeros(1, np.uint64),
        recognized=np.full(1, -1, np.int8),
        places=np.zeros(1, np.int64),
    )


def _joined(parts: list[Sketches]) -> Sketches:
    if not parts:
        raise DataError("there is no drawing to encode")
    return Sketches(
        points=np.concatenate([part.points for part in parts]),
        offsets=np.concatenate([[0], np.cumsum(np.concatenate([part.lengths for part in parts]))]),
        categories=[name for part in parts for name in part.categories],
        key_ids=np.concatenate([part.key_ids for part in parts]),
        recognized=np.concatenate([part.recognized for part in parts]),
        places=np.concatenate([part.places for part in parts]),
    )


def _checked(sketches: Sketches) -> Sketches:
    """The same, when there are drawings and each has points."""
    if not len(sketches):
        raise DataError("there is no drawing to encode")
    if not sketches.lengths.all():
        raise DataError(f"drawing {int(sketches.lengths.argmin())} has no points; leave it out")
    return sketches
