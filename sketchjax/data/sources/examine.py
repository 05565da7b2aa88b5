"""One line of ndjson examined closely: its points and fields, or what is wrong with it."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import numpy as np

from sketchjax.data.sources.records import MOST_POINTS, Refused, key_of_points, wrong_name
from sketchjax.errors import DataError

UNKNOWN = -1  # `recognized` of a sketch where it is not known
# Bytes: 64 for each of 65,535 points, a raw one being three numbers of up to 20. Python makes 30
# times as much of hostile JSON ("[],[],…"), 120 MB.
LONGEST_DRAWING = 4 << 20
_LONGEST_FIELD = 64 << 10  # of the others
_NOT_FINITE = re.compile(rb"-?\b(?:nan|inf|infinity)\b", re.IGNORECASE)


class _Fields(msgspec.Struct, gc=False):
    """The fields of a record that are read, as the text that stands for them; others are skipped.

    What a file keeps next to the strokes, such as a picture, thus takes no memory of its own.
    """

    drawing: msgspec.Raw = msgspec.Raw()
    word: msgspec.Raw = msgspec.Raw()
    key_id: msgspec.Raw = msgspec.Raw()
    recognized: msgspec.Raw = msgspec.Raw()


_FIELDS = msgspec.json.Decoder(_Fields)


def examine(line: bytes) -> tuple[np.ndarray, str | None, int, int]:
    """Points u8[t 3], word (None where there is none), key_id and recognized of one line.

    Raises Refused with the kind and the reason where it cannot be used.
    """
    fields = _fields_of(line.removeprefix(b"\xef\xbb\xbf"))  # the mark of some Windows tools
    if not bytes(fields.drawing):
        raise Refused("unreadable", "the field 'drawing' is missing")
    points = _points_of(_value(fields.drawing, "drawing", LONGEST_DRAWING))
    word = _value(fields.word, "word")
    if word is not None:
        if not isinstance(word, str):
            raise Refused("unreadable", f"the field 'word' is {_shown(word)}, not text")
        if wrong := wrong_name(word):
            raise Refused("unreadable", f"the field 'word', a category's name, {wrong}")
    recognized = _value(fields.recognized, "recognized")
    if recognized not in (None, True, False) or type(recognized) in (int, float):
        raise Refused(
            "unreadable", f"the field 'recognized' is {_shown(recognized)}, not true or false"
        )
    key_id = _key_of(_value(fields.key_id, "key_id"), points)
    return points, word, key_id, flag_of(recognized)


def flag_of(recognized: bool | None) -> int:
    """The field `recognized` as `Sketches` holds it."""
    return UNKNOWN if recognized is None else int(recognized)


def _fields_of(line: bytes) -> _Fields:
    try:
        return _FIELDS.decode(line)
    except msgspec.ValidationError:
        raise Refused("unreadable", "the line is not a JSON object") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        try:  # Readable except for NaN or Infinity, which JSON does not have?
            _FIELDS.decode(_NOT_FINITE.sub(b"0", line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Refused("unreadable", f"not JSON: {error}") from None
    raise Refused("not_finite", "a number is NaN or infinite")


def _value(field: msgspec.Raw, name: str, longest: int = _LONGEST_FIELD) -> Any:
    """The value that the text of a field stands for; None where there is no such field."""
    text = bytes(field)
    if len(text) > longest:
        raise Refused("too_large", f"the field {name!r} is longer than {longest:,} bytes")
    try:
        return msgspec.json.decode(text) if text else None
    except msgspec.ValidationError:
        raise Refused("not_finite", f"the field {name!r} has a number that is not finite") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("unreadable", f"the field {name!r} is not JSON: {error}") from None


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
