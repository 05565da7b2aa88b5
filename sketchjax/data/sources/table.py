"""Kaggle's CSV of QuickDraw: a row per drawing, with the drawing as JSON text in a column.

Columns are found by their names; `drawing` is needed, `word`, `key_id` and `recognized` are read
where they are there, and others are ignored. A file without `word` has one category, its name,
unless a column `label`, `category` or `class` may be its words.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from typing import IO

import msgspec

from sketchjax.data.sketch import Sketches
from sketchjax.data.sources.examine import Fields, read_records
from sketchjax.data.sources.records import Refused, Source
from sketchjax.data.sources.stream import LONGEST_LINE, decoded, lines
from sketchjax.errors import DataError

_FLAGS = {"true": b"true", "false": b"false", "1": b"true", "0": b"false", "": b"null"}
_DRAWING = re.compile(r"\s*(\[\[.*\]\]|\{.*\})\s*", re.DOTALL)  # it may be one, by its ends


def has_drawings(head: bytes) -> bool:
    """Whether a CSV that starts with these bytes has a column of drawings."""
    first = head.removeprefix(b"\xef\xbb\xbf").splitlines()[:1]
    names = next(csv.reader([first[0].decode(errors="replace")]), []) if first else []
    return "drawing" in map(_plain, names)


def _plain(name: str) -> str:
    return name.strip().lower()


def read_table(file: IO[bytes], source: Source) -> Iterator[Sketches]:
    """Stream the sketches of an open CSV.  Raises DataError where it has no column `drawing`."""
    return read_records(_records(file, source), source, lambda fields: fields, lambda *_: False)


def _records(file: IO[bytes], source: Source) -> Iterator[tuple[int, Fields | Refused, int]]:
    """The fields of each row, with the number of the line where it starts."""
    csv.field_size_limit(LONGEST_LINE)
    text = _Lines(file)
    names = _names_of(text, source)
    while text.line is not None:
        place = text.place
        try:
            row = _row(text, names)
            yield place, _fields(dict(zip(names, row, strict=True))), sum(map(len, row))
        except Refused as refused:
            yield place, refused, 0


def _names_of(text: _Lines, source: Source) -> list[str]:
    """The names of the columns from the first row.  Raises DataError where they cannot be used."""
    try:
        names = [*map(_plain, _row(text))]
    except Refused as refused:
        raise DataError(f"{source.path}, line 1: {refused.reason}") from None
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise DataError(f"{source.path} has two columns {twice[0]!r}; rename one of them")
    if "drawing" not in names:
        raise DataError(
            f"{source.path} has no column 'drawing' in its first line, by commas; "
            "a table of drawings starts with the names of its columns"
        )
    return names


class _Lines:
    """The lines of a file as text, each there to be looked at until it is taken.

    place: the number of the next line.  line: its text, or what is wrong with it; None at the end.
    """

    def __init__(self, file: IO[bytes]):
        self._lines = lines(file, LONGEST_LINE)
        self.line: str | Refused | None = None
        self.take()

    def take(self) -> None:
        self.place, line, _ = next(self._lines, (0, None, 0))
        self.line = decoded(line, self.place) if isinstance(line, bytes) else line


def _row(text: _Lines, names: Sequence[str] = ()) -> list[str]:
    """The fields of the next row, one for each name.

    A row continues in the next line while a quote is open. A quote that was never closed must not
    swallow the rows after it, so the row ends before a line that is a row by itself, and before one
    that contradicts it. Raises Refused where the lines are not a row.
    """
    first = last = text.place
    size = 0

    def given() -> Iterator[str]:
        nonlocal last, size
        while isinstance(text.line, str):
            size += len(text.line)
            if text.place != first and (size > LONGEST_LINE or _is_row(text.line, names)):
                break
            yield text.line
            last = text.place
            text.take()

    if isinstance(text.line, Refused):
        refused = text.line
        text.take()
        raise refused
    try:
        row = next(csv.reader(given(), strict=True), [])
        last = text.place
        text.take()
        if not names or len(row) == len(names):
            return row
        reason = f"the row has {len(row)} fields, the first line {len(names)}"
    except csv.Error as error:
        unclosed = "end of data" in str(error)
        reason = f"not CSV: {'a quote is opened but not closed' if unclosed else error}"
        if text.place == first:
            text.take()
    raise Refused("unreadable", reason + (f" (lines {first} to {last})" if last > first else ""))


def _is_row(line: str, names: Sequence[str]) -> bool:
    """Whether a line is a row with a drawing by itself."""
    try:
        (row,) = csv.reader([line], strict=True)
    except csv.Error:
        return False
    return len(row) == len(names) and _DRAWING.fullmatch(row[names.index("drawing")]) is not None


def _fields(row: dict[str, str]) -> Fields:
    """The fields of a row as the JSON that a line of ndjson would have."""

    def text(name: str) -> msgspec.Raw:
        value = row.get(name, "").strip()
        return msgspec.Raw(msgspec.json.encode(value)) if value else msgspec.Raw()

    def named(name: str) -> msgspec.Raw:  # An empty cell too shows that there is such a column.
        return msgspec.Raw(b'""') if name in row else msgspec.Raw()

    flag = row.get("recognized", "").strip()
    return Fields(
        drawing=msgspec.Raw(row["drawing"].encode()),
        word=text("word"),
        key_id=text("key_id"),
        label=named("label"),
        category=named("category"),
        class_=named("class"),
        recognized=msgspec.Raw(_FLAGS.get(flag.lower(), msgspec.json.encode(flag))),
    )
