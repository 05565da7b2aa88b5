"""QuickDraw's ndjson: one JSON object per line, simplified (0 to 255) or raw (screen units).

Google's fields: `word`, `key_id` (a decimal string), `drawing` (strokes `[[x…], [y…]]`, raw ones
`[[x…], [y…], [t…]]`), `recognized` (optional). A drawing is raw where its strokes have a third list
or a coordinate has a fraction; then it goes through `simplify`. What a file's drawings decide
together, and other forms of the drawing: see `drawings`. `read_json` reads one array of such
objects, and objects over several lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import msgspec
import orjson

from sketchjax.data.sketch import Sketches, strokes
from sketchjax.data.sources.examine import fields_of_json, flag_of, read_records
from sketchjax.data.sources.objects import objects
from sketchjax.data.sources.records import LONGEST_NAME, LOST, MOST_POINTS, Gather, Source
from sketchjax.data.sources.stream import LONGEST_LINE, lines, written

# A point takes at least four bytes ("0,0,"), so a shorter line cannot exceed the limit of points.
_SURELY_SMALL = 4 * MOST_POINTS


class _Ordinary(msgspec.Struct, gc=False):
    """A record as Google writes it, simplified."""

    word: str
    key_id: str
    drawing: list[tuple[list[int], list[int]]]
    recognized: bool | None = None


_ORDINARY = msgspec.json.Decoder(_Ordinary)


def read_ndjson(file: IO[bytes], source: Source) -> Iterator[Sketches]:
    """Stream the sketches of an open ndjson file."""
    return read_records(
        lines(file, LONGEST_LINE), source, fields_of_json, partial(_take_ordinary, source)
    )


def read_json(file: IO[bytes], source: Source) -> Iterator[Sketches]:
    """Stream the sketches of an open file of JSON that is not one object per line."""
    return read_records(
        objects(file, LONGEST_LINE), source, fields_of_json, partial(_take_ordinary, source)
    )


def write_ndjson(path: Path | str, sketches: Sketches) -> None:
    """Write sketches as simplified ndjson, compressed where the name ends in .gz, whole or not.

    Raises DiskError where the file cannot be written.
    """
    with written(Path(path)) as file:
        for index in range(len(sketches)):
            record: dict[str, Any] = {
                "word": sketches.categories[index],
                "key_id": str(int(sketches.key_ids[index])),
            }
            if sketches.recognized[index] >= 0:
                record["recognized"] = bool(sketches.recognized[index])
            points = sketches.points_of(index)
            record["drawing"] = [stroke.T.tolist() for stroke in strokes(points)]
            file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))


def _take_ordinary(source: Source, gather: Gather, place: int, line: bytes) -> bool:
    """Add a line that is an ordinary simplified record; for any other add nothing, return False.

    This is the fast way: `bytes(x)` refuses what is not 0 to 255.
    """
    if len(line) >= _SURELY_SMALL:
        return False
    xs: list[bytes] = []
    ys: list[bytes] = []
    lengths: list[int] = []
    try:
        record = _ORDINARY.decode(line)
        for x, y in record.drawing:
            length = len(x)
            if length != len(y) or not length:
                return False
            lengths.append(length)
            xs.append(bytes(x))
            ys.append(bytes(y))
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError):
        return False
    word, key = record.word, record.key_id
    if not (lengths and key.isdecimal() and key.isascii() and len(key) <= 20):
        return False
    if not (0 < len(word) <= LONGEST_NAME and word.isprintable() and not word.isspace()):
        return False
    if LOST in word:
        return False
    key_id = int(key)
    if key_id >= 1 << 64:
        return False
    gather.add(
        xs,
        ys,
        lengths,
        category=source.category_of(word),
        key_id=key_id,
        recognized=flag_of(record.recognized),
        place=place,
    )
    return True
