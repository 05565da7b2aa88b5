"""The drawing of a JSON record in the forms that users bring, and what a file's drawings share.

Google's form is a list of strokes `[[x…], [y…]]`, raw ones `[[x…], [y…], [t…]]`. Other forms that
have only one meaning are read as well: JSON text of it, `{"x": [[…]], "y": [[…]]}` (Hugging Face),
strokes `{"x": […], "y": […]}`, strokes of points `{"x": …, "y": …}`, and strokes with more lists
(pressure), which are ignored.

Two questions have no answer in a single drawing, so a file's first drawings answer them together
(`judge`): whether a stroke's lists are its axes or its points (`[[1, 2], [3, 4]]` may be both), and
whether numbers are on Google's square of 0 to 255 or in units of their own (0 to 1, a canvas), in
which case every drawing is scaled before it is rounded.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from sketchjax.data.sources.records import MOST_POINTS, Refused
from sketchjax.errors import DataError

SQUARE = 255  # the longer side of a simplified drawing
EXPECTED = "expected [[x, ...], [y, ...]]"
_APART = "put drawings in another unit into a file of their own"
_SHARE_OF_STRAYS = 0.01  # of a file's drawings: fewer decide nothing for the others


@dataclass(frozen=True, slots=True)
class Form:
    """How the drawings of one file are read.

    own_units: those without times are scaled to the square of 255, whatever their numbers.
    lists: how many lists a stroke has where that is more than three, else 3.
    whole: those without times have whole numbers on the square; another one is in another unit.
    """

    own_units: bool = False
    lists: int = 3
    whole: bool = False


def unpack(drawing: Any) -> tuple[str, list[Any]]:
    """The strokes of a drawing as lists of lists, and its form in words, "" for Google's.

    Raises Refused where the form is not a known one. The strokes themselves are not checked.
    """
    if type(drawing) is str:
        try:
            inner = msgspec.json.decode(drawing)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            inner = None
        if type(inner) not in (list, dict):
            raise Refused("unreadable", "the drawing is text, not a list of strokes")
        return "JSON text", unpack(inner)[1]
    if type(drawing) is dict:
        axes = _axes_of(drawing)
        if axes is None:
            raise Refused("unreadable", f"the drawing is {shown(drawing)}, not a list of strokes")
        if not all(type(stroke) is list for axis in axes for stroke in axis):
            return "lists x and y", [axes]
        if len({*map(len, axes)}) > 1:
            raise Refused("unequal", "the drawing has unequal numbers of strokes in x and y")
        return "lists x and y", [list(stroke) for stroke in zip(*axes, strict=True)]
    if type(drawing) is not list:
        raise Refused("unreadable", f"the drawing is {shown(drawing)}, not a list of strokes")
    form, strokes = "", []
    for stroke in drawing:
        if type(stroke) is dict and (axes := _axes_of(stroke)) is not None:
            form, stroke = "strokes with x and y", axes
        elif type(stroke) is list and stroke and all(type(point) is dict for point in stroke):
            points = [_point_of(point) for point in stroke]
            if len({*map(len, points)}) > 1:
                raise Refused("unreadable", "some points have a time and some have none")
            form, stroke = "points with x and y", [list(axis) for axis in zip(*points, strict=True)]
        strokes.append(stroke)
    return form, strokes


def judge(drawings: Sequence[tuple[str, list[Any]]]) -> tuple[Form, list[str]]:
    """How to read a file, and the decisions in words, from what `unpack` gave for its first ones.

    Raises DataError where the drawings do not have one clear meaning.
    """
    notes = [
        f"drawings are given as {form}"
        for form, count in sorted(Counter(form for form, _ in drawings).items())
        if form and count
    ]
    plain = [strokes for form, strokes in drawings if form in ("", "JSON text")]
    lists = lists_of(plain, notes)
    bounds = [found for _, strokes in drawings if (found := _Bounds.of(strokes)) is not None]
    own_units = _own_units(bounds, notes)
    whole = bool(bounds) and not own_units and all(found.whole for found in bounds)
    return Form(own_units, lists, whole), notes


def points_of(strokes: Sequence[Any], form: Form) -> np.ndarray:
    """Points u8[t 3] of unpacked strokes, simplified where they are not on the square already.

    Raises Refused where they are not a drawing.
    """
    raw = form.own_units
    arrays: list[np.ndarray] = []
    total = 0
    for number, stroke in enumerate(strokes, 1):
        timed, array = _stroke_of(number, stroke, form.lists)
        raw |= timed
        total += len(array)
        if total > MOST_POINTS:
            raise Refused("too_large", f"the drawing has more than {MOST_POINTS:,} points")
        if len(array):  # A stroke without points draws nothing and is dropped.
            arrays.append(array)
    if not arrays:
        raise Refused("empty", "the drawing has no points")
    joined = np.concatenate(arrays)
    fractions = joined[joined % 1 != 0]
    if len(fractions) and form.whole and not raw:
        raise Refused(
            "range",
            f"the coordinate {fractions[0]:.15g} has a fraction, and the file's first drawings "
            f"have none; {_APART}",
        )
    if raw or len(fractions):
        return _simplified(arrays)
    outside = joined[(joined < 0) | (joined > SQUARE)]
    if len(outside):
        unit = ", the unit of the file's first drawings" if form.whole else ""
        raise Refused(
            "range",
            f"the coordinate {outside[0]:.15g} is not within 0 to {SQUARE}{unit} (a raw "
            f"drawing has times, a third list in each stroke); {_APART}",
        )
    points = np.zeros((total, 3), np.uint8)
    points[:, :2] = joined
    points[np.cumsum([len(array) for array in arrays]) - 1, 2] = 1
    return points


def lists_of(drawings: Sequence[Sequence[Any]], notes: list[str]) -> int:
    """How many lists a stroke has at most, where they are its axes.

    drawings: of strokes, whose lists may be arrays.
    notes: gets the decisions in words.
    As axes, the number of lists is the same in every stroke and their length varies; as points it
    is the other way round.  Raises DataError where they are points, or may be.
    """
    strokes = [stroke for drawing in drawings for stroke in drawing]
    shapes = Counter(shape for stroke in strokes if (shape := _shape(stroke)))
    found = shapes.total()
    counts, lengths = {count for count, _ in shapes}, {length for _, length in shapes}
    if len(lengths) == 1 and lengths != {1} and counts != {2}:
        (length,) = lengths
        timed = all(map(_have_times, drawings))
        if not (counts <= {2, 3} and timed) and not (len(counts) == 1 and length > 4):
            raise DataError(
                f"strokes are lists of points of {length} numbers, or may be; {EXPECTED}: "
                "transpose each stroke, and write them as lists of x, of y and of times"
            )
    if counts == {2} and lengths == {2}:
        notes.append("every stroke has two points: read as [[x, x], [y, y]]")
    usual = Counter(count for count, length in shapes.elements() if length > 4 or length == 1)
    lists = usual.most_common(1)[0][0] if usual else 3
    strays = sum(
        times
        for (count, length), times in shapes.items()
        if length in (2, 3) and count not in (2, 3, lists)
    )
    if len(lengths) > 1 and strays >= max(2, _SHARE_OF_STRAYS * found):
        raise DataError(
            f"{strays} of the first {found} strokes are lists of [x, y] points and the others "
            f"are not; {EXPECTED} in all of them"
        )
    if lists > 3:
        notes.append(f"strokes have {lists} lists: x, y, times, and others that are ignored")
    return max(3, lists)


def shown(value: Any) -> str:
    """A value for a message, never long."""
    if isinstance(value, dict):
        names = ", ".join(f"{name!r}"[:20] for name in list(value)[:4])
        return f"an object of {names}" if names else "an empty object"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _axes_of(value: dict[str, Any]) -> list[list[Any]] | None:
    """The lists x, y and t of an object; None where it has no x and y."""
    axes = [value.get("x"), value.get("y"), value.get("t")]
    axes = axes[: 2 if axes[2] is None else 3]
    return axes if all(type(axis) is list for axis in axes) else None  # type: ignore[return-value]


def _point_of(point: dict[str, Any]) -> list[Any]:
    if "x" not in point or "y" not in point:
        raise Refused("unreadable", f"a point is {shown(point)}, without x and y")
    time = point.get("t", point.get("time"))
    return [point["x"], point["y"]] + ([] if time is None else [time])


def _shape(stroke: Any) -> tuple[int, int] | None:
    """Number and length of a stroke's lists; None where they are not lists of one length."""
    if type(stroke) is not list or not stroke or not all(map(_is_list, stroke)):
        return None
    lengths = {*map(len, stroke)}
    return (len(stroke), lengths.pop()) if len(lengths) == 1 and 0 not in lengths else None


def _is_list(axis: Any) -> bool:
    return type(axis) is list or (isinstance(axis, np.ndarray) and axis.ndim == 1)


def _have_times(strokes: Sequence[Any]) -> bool:
    """Whether third lists look like times: they never fall, and begin where times do.

    A drawing's begin at 0 or the time of day, and a later stroke's also after the one before.
    """
    latest = math.inf
    for stroke in strokes:
        shape = _shape(stroke)
        if shape is None or shape[0] != 3:
            continue
        times = [*stroke[2]]
        if not all(type(time) in (int, float, np.float64) for time in times):
            return False
        if times != sorted(times) or not (times[0] == 0 or times[0] >= min(1e9, latest)):
            return False
        latest = times[-1]
    return True


@dataclass(frozen=True, slots=True)
class _Bounds:
    """A drawing without times: its least and greatest number, its longer side, and their kind."""

    low: float
    high: float
    side: float
    whole: bool
    floats: bool

    @classmethod
    def of(cls, strokes: Sequence[Any]) -> _Bounds | None:
        """None for a drawing with times, and for one that is not a drawing."""
        shapes = [*map(_shape, strokes)]
        if not shapes or any(shape is None or shape[0] != 2 for shape in shapes):
            return None
        axes = [[*chain.from_iterable(stroke[axis] for stroke in strokes)] for axis in (0, 1)]
        kinds = {*map(type, axes[0]), *map(type, axes[1])}
        if not kinds <= {int, float}:
            return None
        lows, highs = [*map(min, axes)], [*map(max, axes)]
        if max(map(abs, (*lows, *highs))) > 1e300:
            return None
        whole = kinds == {int} or all(float(value).is_integer() for axis in axes for value in axis)
        side = max(high - low for low, high in zip(lows, highs, strict=True))
        return cls(min(lows), max(highs), side, whole, int not in kinds)


def _own_units(bounds: Sequence[_Bounds], notes: list[str]) -> bool:
    """Whether the drawings are in units of their own rather than on the square."""
    count = len(bounds)
    if not count:
        return False
    low, high = min(b.low for b in bounds), max(b.high for b in bounds)
    fractional = sum(not b.whole for b in bounds)
    outside = sum(b.low < 0 or b.high > SQUARE for b in bounds)
    filling = sum(b.whole and b.side == SQUARE and b.low >= 0 and b.high <= SQUARE for b in bounds)
    tiny = all(b.floats and b.side <= 1 for b in bounds)
    strange = fractional > _SHARE_OF_STRAYS * count or outside > 0.1 * count
    if tiny or (strange and filling < 0.5 * count):
        notes.append(
            f"coordinates from {low:.4g} to {high:.4g} are in units of their own: every drawing is "
            f"scaled to {SQUARE}"
        )
        return True
    if fractional:
        notes.append(
            f"{fractional} of the first {count} drawings have fractions and are scaled to "
            f"{SQUARE}; the others are read as they are"
        )
    longest = max(b.side for b in bounds)
    if 0 < longest < SQUARE / 2:
        notes.append(
            f"drawings of at most {longest:g} of {SQUARE} units are read as they are; if that is "
            f"your whole canvas, multiply coordinates by {SQUARE / longest:.3g} first"
        )
    dots = sum(b.side == 0 for b in bounds)
    if dots > 0.5 * count:
        notes.append(
            f"{dots} of the first {count} drawings are a single point; fractions that were rounded "
            "look like this too"
        )
    return False


def _simplified(arrays: list[np.ndarray]) -> np.ndarray:
    """The points u8[t 3] of a raw drawing."""
    from sketchjax.data.simplify import simplify  # numba takes half a second to import

    try:
        points = simplify(arrays)
    except DataError as error:
        raise Refused("range", str(error)) from None
    if len(points) > MOST_POINTS:
        raise Refused("too_large", f"the drawing has more than {MOST_POINTS:,} points")
    return points


def _stroke_of(number: int, stroke: Any, lists: int) -> tuple[bool, np.ndarray]:
    """Whether a stroke has times, and its x and y as f64[t 2]."""
    where = f"stroke {number}"
    if type(stroke) is not list or not all(type(axis) is list for axis in stroke):
        rows = type(stroke) is list and all(type(value) in (int, float) for value in stroke)
        hint = "; rows of numbers (stroke-3, stroke-5) are read from .npz" if rows else ""
        raise Refused("unreadable", f"{where} is not two lists of coordinates, x and y{hint}")
    if len(stroke) not in (2, 3, lists):
        if stroke and all(len(axis) == 2 for axis in stroke):
            raise Refused("unreadable", f"{where} is a list of [x, y] points; {EXPECTED}")
        raise Refused("unreadable", f"{where} has {len(stroke)} lists; {EXPECTED}")
    x, y = stroke[:2]
    if any(len(axis) != len(x) for axis in stroke):
        names = ("x", "y", "t", *"?" * len(stroke))
        counts = " and ".join(
            f"{len(axis):,} {name}" for axis, name in zip(stroke, names, strict=False)
        )
        raise Refused("unequal", f"{where} has unequal numbers of coordinates: {counts}")
    if not {*map(type, x), *map(type, y)} <= {int, float}:
        odd = next(value for value in (*x, *y) if type(value) not in (int, float))
        raise Refused("unreadable", f"{where} holds {shown(odd)}, not a number")
    try:
        array = np.array([x, y], np.float64).T
    except OverflowError:
        raise Refused("not_finite", f"{where} has a coordinate that is too large") from None
    return len(stroke) >= 3, array
