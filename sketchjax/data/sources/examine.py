"""One line of ndjson looked at closely: its points and fields, or what is wrong with it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import orjson

from sketchjax.data.sources.records import MOST_POINTS, Refused, key_of_points, wrong_name
from sketchjax.errors import DataError

UNKNOWN = -1  # `recognized` of a sketch where it is not known
_NOT_FINITE = re.compile(rb"-?\b(?:nan|inf|infinity)\b", re.IGNORECASE)


def examine(line: bytes) -> tuple[np.ndarray, str | None, int, int]:
    """Points u8[t 3], word (None where there is none), key_id and recognized of one line.

    Raises Refused with the kind and the reason where it cannot be used.
    """
    record = _object_of(line)
    if "drawing" not in record:
        raise Refused("unreadable", "the field 'drawing' is missing")
    points = _points_of(record["drawing"])
    word = record.get("word")
    if word is not None:
        if not isinstance(word, str):
            raise Refused("unreadable", f"the field 'word' is {_shown(word)}, not text")
        if wrong := wrong_name(word):
            raise Refused("unreadable", f"the field 'word', a category's name, {wrong}")
    recognized = record.get("recognized")
    if flag_of(recognized) < UNKNOWN:
        raise Refused(
            "unreadable", f"the field 'recognized' is {_shown(recognized)}, not true or false"
        )
    return points, word, _key_of(record.get("key_id"), points), flag_of(recognized)


def flag_of(recognized: Any) -> int:
    """The field `recognized` as `Sketches` holds it; -2 where not true, false or null."""
    if recognized is None:
        return UNKNOWN
    return int(recognized) if recognized.__class__ is bool else UNKNOWN - 1


def _object_of(line: bytes) -> dict[str, Any]:
    """The JSON object of a line."""
    try:
        record = orjson.loads(line.removeprefix(b"\xef\xbb\xbf"))  # the mark of some Windows tools
    except orjson.JSONDecodeError as error:
        if "infinity" in str(error):
            raise Refused("not_finite", "a number is too large to be finite") from None
        try:  # Readable but for NaN or Infinity, which JSON does not have?
            orjson.loads(_NOT_FINITE.sub(b"0", line))
        except orjson.JSONDecodeError:
            raise Refused("unreadable", f"not JSON: {error}") from None
        raise Refused("not_finite", "a number is NaN or infinite") from None
    if not isinstance(record, dict):
        raise Refused("unreadable", f"the line is {_shown(record)}, not a JSON object")
    return record


def _key_of(key: Any, points: np.ndarray) -> int:
    """The key_id as a number; derived from the points where there is none."""
    if key is None:
        return key_of_points(points)
    text = str(key) if key.__class__ in (str, int) else ""  # a boolean is no number here
    decimal = text.isascii() and text.isdecimal()
    if not decimal or len(text) > 40 or int(text) >= 1 << 64:
        raise Refused("unreadable", f"key_id is {_shown(key)}, not a decimal number of 64 bits")
    return int(text)


def _points_of(drawing: Any) -> np.ndarray:
    """Points u8[t 3] of the JSON value of a drawing, simplified where it is raw."""
    if not isinstance(drawing, list):
        raise Refused("unreadable", f"the drawing is {_shown(drawing)}, not a list of strokes")
    raw = False
    arrays: list[np.ndarray] = []
    total = 0
    for number, stroke in enumerate(drawing, 1):
        timed, array = _stroke_of(number, stroke)
        raw |= timed
        total += len(array)
        if total > MOST_POINTS:
            raise Refused("too_large", f"the drawing has more than {MOST_POINTS:,} points")
        if len(array):  # A stroke without points draws nothing: left out.
            arrays.append(array)
    if not arrays:
        raise Refused("empty", "the drawing has no points")
    joined = np.concatenate(arrays)
    if raw or (joined % 1).any():
        return _simplified(arrays)
    outside = joined[(joined < 0) | (joined > 255)]
    if len(outside):
        raise Refused(
            "range",
            f"the coordinate {outside[0]:.15g} is not within 0 to 255 "
            "(a raw drawing has a third list, times, in each stroke)",
        )
    points = np.zeros((total, 3), np.uint8)
    points[:, :2] = joined
    points[np.cumsum([len(array) for array in arrays]) - 1, 2] = 1
    return points


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


def _stroke_of(number: int, stroke: Any) -> tuple[bool, np.ndarray]:
    """Whether a stroke has times, and its x and y as f64[t 2]."""
    if (
        not isinstance(stroke, list)
        or len(stroke) not in (2, 3)
        or not all(isinstance(axis, list) for axis in stroke)
    ):
        raise Refused("unreadable", f"stroke {number} is not two lists of coordinates, x and y")
    x, y = stroke[:2]
    if any(len(axis) != len(x) for axis in stroke):
        names = ("x", "y", "t")[: len(stroke)]
        counts = " and ".join(
            f"{len(axis):,} {name}" for axis, name in zip(stroke, names, strict=True)
        )
        raise Refused("unequal", f"stroke {number} has unequal numbers of coordinates: {counts}")
    if not {*map(type, x), *map(type, y)} <= {int, float}:
        odd = next(value for value in (*x, *y) if type(value) not in (int, float))
        raise Refused("unreadable", f"stroke {number} holds {_shown(odd)}, not a number")
    array = np.array([x, y], np.float64).T
    if not np.isfinite(array).all():
        raise Refused("not_finite", f"stroke {number} has a coordinate that is not finite")
    return len(stroke) == 3, array


def _shown(value: Any) -> str:
    """A value as a person sees it in a message, never long."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
