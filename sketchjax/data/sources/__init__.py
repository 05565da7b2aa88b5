"""Sketch files of every known format, found, read as ragged chunks, and written.

Known: QuickDraw's ndjson, simplified and raw, also as one JSON array, its .bin and Kaggle's .csv of
it, each plain or gzip; sketch-rnn's .npz; .svg, one drawing a file. What had to be decided about a
file is in the notes of its reading.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from sketchjax.data.sketch import Sketches
from sketchjax.data.sources.binary import read_binary
from sketchjax.data.sources.categories import canonical, category_of_name, look_alike
from sketchjax.data.sources.examine import LONGEST_DRAWING
from sketchjax.data.sources.finding import EXTENSIONS, SVG, Survey, find, survey
from sketchjax.data.sources.ndjson import read_json, read_ndjson, write_ndjson
from sketchjax.data.sources.objects import spans_lines
from sketchjax.data.sources.records import (
    KINDS,
    BadRecord,
    BadRecords,
    Notes,
    Source,
    key_of_points,
    stop_at,
    wrong_name,
)
from sketchjax.data.sources.stream import head_of, opened
from sketchjax.data.sources.stroke3 import read_stroke3, write_stroke3
from sketchjax.data.sources.svg import read_svg
from sketchjax.data.sources.table import read_table
from sketchjax.errors import DataError

__all__ = [
    "EXTENSIONS",
    "KINDS",
    "SVG",
    "BadRecord",
    "Notes",
    "Reading",
    "Survey",
    "canonical",
    "category_of_name",
    "find",
    "key_of_points",
    "look_alike",
    "read",
    "stop_at",
    "survey",
    "unit_of",
    "write_ndjson",
    "write_stroke3",
]

_TEXT = (".ndjson", ".jsonl", ".json", ".csv", ".gz")


class Reading(Iterator[Sketches]):
    """A file that is being read: an iterator of chunks, with what was decided about the file.

    notes: a sentence per decision, complete when the iterator is exhausted. Most are there with the
      first chunk. Empty where the file is just what its format is documented to be.
    """

    def __init__(self, chunks: Iterator[Sketches], notes: Notes):
        self._chunks, self.notes = chunks, notes

    def __next__(self) -> Sketches:
        return next(self._chunks)


def read(
    path: Path | str,
    *,
    category: str | None = None,
    on_bad: Callable[[BadRecord], None] | None = None,
    chunk: int = 4096,
) -> Reading:
    """Stream the sketches of one file in chunks of 1 to `chunk` sketches, in the file's order.

    The name and the first bytes say which format it is. Memory does not grow with an ndjson, CSV or
    .bin file; an .npz has one of its three arrays in memory at a time (2 GiB at most).
    category: given to every sketch. Without it, the `word` of a record, else the name of the file
      (`category_of_name`), of its folder for SVG; all in the spelling of `canonical`.
    on_bad: called with each record that cannot be used; reading then continues, or ends where the
      next record cannot be found. Without it the first bad record raises DataError.
    Returns the iterator of chunks; its `notes` holds the decisions.
    Raises DataError, when the first chunk is asked for, also where the file cannot be opened, its
    format is not known, or its numbers have no one clear meaning.
    """
    if chunk < 1:
        raise ValueError(f"chunk={chunk}: must be at least 1.")
    path = Path(path)
    notes = Notes()
    chunks = _chunks(path, category, on_bad, notes, chunk)
    return Reading(_noted_if_empty(chunks, notes), notes)


def unit_of(path: Path) -> str:
    """What the places in a file count, "line" or "record", by its content."""
    return _unit(_form_of(path))


def _unit(form: str) -> str:
    return "record" if form in ("bin", "json", "npz") else "line"


def _chunks(
    path: Path,
    category: str | None,
    on_bad: Callable[[BadRecord], None] | None,
    notes: Notes,
    chunk: int,
) -> Iterator[Sketches]:
    form = _form_of(path)
    folder = os.path.dirname(os.path.abspath(path))  # `..` has a name too
    name = category or category_of_name(folder if form == "svg" else path)
    if wrong := wrong_name(name):
        raise DataError(f"{str(path)!r}: the category {name[:50]!r} {wrong}; rename the file")
    source = Source(BadRecords(path, _unit(form), on_bad), notes, category, name, chunk)
    if form == "npz":
        with path.open("rb") as file:
            yield from read_stroke3(file, source)
        return
    with opened(path) as file:
        yield from _READERS[form](file, source)


_READERS = {
    "bin": read_binary,
    "csv": read_table,
    "json": read_json,
    "ndjson": read_ndjson,
    "svg": read_svg,
}


def _noted_if_empty(chunks: Iterator[Sketches], notes: Notes) -> Iterator[Sketches]:
    count = 0
    for chunk in chunks:
        count += len(chunk)
        yield chunk
    if not count:
        notes.add("the file holds no sketch that can be used")


# An array, or an object with a line for its brace.
_NO_LINES = re.compile(rb"\[|\{[ \t]*[\r\n]\s*\"")
_POINTER = b"version https://git-lfs"
_PAGES = (b"<!doctype", b"<html", b"<?xml")  # in lower case
# What a file is instead, by its first bytes, and what to do.
_STRANGERS = {
    _POINTER: "is a Git LFS pointer: run git lfs pull",
    b"\xff\xfe": "is UTF-16 text: save it as UTF-8",
    b"\xfe\xff": "is UTF-16 text: save it as UTF-8",
    b"\x1f\x8b": "is compressed twice: run gunzip on it once",
    b"<": "is HTML or XML: a failed download leaves a page, and a drawing is named .svg",
    b"PK\x03\x04": "is a zip archive: unpack it, or name it .npz if it is one",
    b"\x93NUMPY": "is a single array: pictures (QuickDraw's numpy_bitmap) are not read, and rows "
    "of points are read from an .npz of one category with arrays train, valid and test",
}


def _form_of(path: Path) -> str:
    """The format of a file, a key of `_READERS` or npz. Raises DataError where it is another."""
    name = path.name.lower().removesuffix(".gz")
    head = head_of(path)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if name.endswith(".bin") and not head.lower().startswith((_POINTER, *_PAGES)):
        return "bin"  # whose first bytes may be any others
    if name.endswith(".svg") and start[:1] == b"<":
        return "svg"
    if head.startswith(b"PK\x03\x04") and not path.name.lower().endswith(_TEXT):
        return "npz"
    for first, what in _STRANGERS.items():
        if head.startswith(first) or start.startswith(first):
            raise DataError(f"{path} {what}")
    if name.endswith(".npz"):
        raise DataError(f"{path} is not a zip archive, so not a sketch-rnn .npz; download it again")
    if name.endswith(".csv"):
        return "csv"
    if _NO_LINES.match(start) or (start[:1] == b"{" and spans_lines(path, LONGEST_DRAWING)):
        return "json"
    if name.endswith(_TEXT) or start.startswith(b"{"):
        return "ndjson"
    raise DataError(
        f"{path}: unknown format; known are QuickDraw's .ndjson and .bin, Kaggle's .csv and .svg "
        "(all plain or .gz) and sketch-rnn's .npz"
    )
