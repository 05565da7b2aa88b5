"""Kaggle's CSV of QuickDraw: a row per drawing, with the drawing as JSON text in a column.

Columns are found by their names; `drawing` is needed, `word`, `key_id` and `recognized` are read
where they are there, and others are ignored. A file without `word` has one category, its name.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import IO

import msgspec

from sketchjax.data.sketch import Sketches
from sketchjax.data.sources.examine import Fields, read_records
from sketchjax.data.sources.records import Refused, Source
from sketchjax.data.sources.stream import LONGEST_LINE, text_lines
from sketchjax.errors import DataError

_FLAGS = {"true": b"true", "false": b"false", "1": b"true", "0": b"false", "": b"null"}


def has_drawings(head: bytes) -> bool:
    """Whether a CSV that starts with these bytes has a column of drawings."""
    first = head.removeprefix(b"\xef\xbb\xbf").splitlines()[:1]
    names = next(csv.reader([first[0].decode(errors="replace")]), []) if first else []
    return "drawing" in map(_plain, names)


def _plain(name: str) -> str:
    return name.strip().lower()


def read_table(file: IO[bytes], source: Source) -> Iterator[Sketches]:
    """Stream the sketches of an open CSV.  Raises DataError where it has no column `drawing`."""
    return read_records(_rows(file, source), source, lambda fields: fields, lambda *_: False)


def _rows(file: IO[bytes], source: Source) -> Iterator[tuple[int, Fields | Refused, int]]:
    """The fields of each row, with the number of the line where it ends."""
    csv.field_size_limit(LONGEST_LINE)
    stopped: list[tuple[int, Refused]] = []
    # A form feed or NUL in a field is no affair of the CSV; the field is refused later.
    text = text_lines(file, LONGEST_LINE, lambda *what: stopped.append(what), "replace")
    reader = csv.reader(text, strict=True)
    try:
        names = [*map(_plain, next(reader, []))]
        if twice := sorted({name for name in names if name and names.count(name) > 1}):
            raise DataError(f"{source.path} has two columns {twice[0]!r}; rename one of them")
        if "drawing" not in names:
            raise DataError(
                f"{source.path} has no column 'drawing' in its first line, by commas; "
                "a table of drawings starts with the names of its columns"
            )
        for row in reader:
            size = sum(map(len, row))
            if len(row) == len(names):
                yield reader.line_num, _fields(dict(zip(names, row, strict=True))), size
            elif row:
                reason = f"the row has {len(row)} fields, the first line {len(names)}"
                yield reader.line_num, Refused("unreadable", reason), size
    except csv.Error as error:
        yield reader.line_num, Refused("unreadable", f"not CSV: {error}"), 0
    for place, refused in stopped:
        yield place, refused, 0


def _fields(row: dict[str, str]) -> Fields:
    """The fields of a row as the JSON that a line of ndjson would have."""

    def text(name: str) -> msgspec.Raw:
        value = row.get(name, "").strip()
        return msgspec.Raw(msgspec.json.encode(value)) if value else msgspec.Raw()

    flag = row.get("recognized", "").strip()
    return Fields(
        drawing=msgspec.Raw(row["drawing"].encode()),
        word=text("word"),
        key_id=text("key_id"),
        recognized=msgspec.Raw(_FLAGS.get(flag.lower(), msgspec.json.encode(flag))),
    )
