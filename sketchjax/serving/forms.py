"""Other forms of a search than JSON: an SVG file, and a line of QuickDraw's ndjson.

Each becomes the JSON request that asks the same, so that all limits are those of `schema`. What
else a request says in its fields is in the query string here: ?k=5&categories=cat&rerank=false.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from sketchjax.data.sketch import drawing_of
from sketchjax.data.sources.records import Refused
from sketchjax.data.sources.svg import points_of_svg
from sketchjax.errors import DataError

Options = Sequence[tuple[str, str]]

_LARGEST_DIGITS = 9  # of k: longer ones are out of bounds as well


def of_svg(content: bytes) -> dict[str, Any]:
    """The drawing of an SVG file, and its form.  Raises DataError where there is none."""
    try:
        points, _ = points_of_svg(content)
    except Refused as refused:
        raise DataError(f"the SVG cannot be used: {refused}") from None
    return {"drawing": drawing_of(points), "form": "simplified"}


def of_ndjson(content: bytes) -> dict[str, Any]:
    """The drawing of a line, and its form.  Raises DataError where it is no such line."""
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")  # the mark of some Windows tools
    if len(lines) > 2 or any(map(bytes.strip, lines[1:])):
        raise DataError("a search takes one line of ndjson, and there are more")
    try:
        record = orjson.loads(lines[0])
    except orjson.JSONDecodeError as error:
        raise DataError(f"the line is not JSON ({error})") from None
    if not isinstance(record, dict) or "drawing" not in record:
        raise DataError('the line has no drawing: it is {"drawing": [[xs, ys], ...]}')
    drawing = record["drawing"]
    return {"drawing": drawing, "form": "simplified" if _is_simplified(drawing) else "raw"}


FORMS: dict[str, Callable[[bytes], dict[str, Any]]] = {
    "image/svg+xml": of_svg,
    "application/x-ndjson": of_ndjson,
}


def as_json(kind: str, content: bytes, options: Options) -> bytes:
    """The JSON request for what is in another form.

    kind: of FORMS.
    content: of the request.
    options: of the query string.
    Raises DataError where there is no drawing, or an option is not known.
    """
    fields = FORMS[kind](content) | _fields(options)
    try:
        return orjson.dumps(fields)
    except orjson.JSONEncodeError:  # orjson reads a depth of 1,024 and writes one of 254
        raise DataError("the lists of the drawing are nested too deeply") from None


def _fields(options: Options) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in options:
        if name in fields and name != "categories":
            raise DataError(f"the query string has {name} more than once")
        if name == "k" and value.isdecimal() and value.isascii() and len(value) < _LARGEST_DIGITS:
            fields[name] = int(value)
        elif name in ("rerank", "points") and value in ("true", "false"):
            fields[name] = value == "true"
        elif name == "categories":
            fields.setdefault(name, []).append(value)
        else:
            raise DataError(
                f"the query string has {name[:20]!r} with {value[:20]!r}; it takes k, a number, "
                "rerank and points, true or false, and categories, a name each"
            )
    return fields


def _is_simplified(drawing: Any) -> bool:
    """Whether strokes are two lists of whole numbers from 0 to 255, as QuickDraw's simplified."""
    try:
        return all(
            len(stroke) == 2
            and all(_is_whole(value) and 0 <= value <= 255 for axis in stroke for value in axis)
            for stroke in drawing
        )
    except TypeError:  # no list: the schema says so
        return False


def _is_whole(value: Any) -> bool:
    return type(value) in (int, float) and value % 1 == 0  # 10.0 as well, as in files
