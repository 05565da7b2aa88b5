"""QuickDraw's ndjson: one JSON object a line, simplified (0 to 255) or raw (screen units).

Google's fields: `word`, `key_id` (a decimal string), `drawing` (strokes `[[x…], [y…]]`, raw ones
`[[x…], [y…], [t…]]`), `recognized` (optional). A drawing is raw where its strokes have a third list
or a coordinate has a fraction; then it goes through `simplify`. A whole number outside 0 to 255
without a third list is an error ("range"), not a raw drawing: better to stop than to rescale one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec
import orjson

from sketchjax.data.sketch import Sketches, strokes
from sketchjax.data.sources.examine import examine, flag_of
from sketchjax.data.sources.records import LONGEST_NAME, MOST_POINTS, BadRecords, Gather, Refused
from sketchjax.data.sources.stream import blocks, written

# Bytes. The drawing itself has a bound of its own; the rest is for fields that are not read.
LONGEST_LINE = 16 << 20
# A point takes at least four bytes ("0,0,"), so a shorter line cannot exceed the limit of points.
_SURELY_SMALL = 4 * MOST_POINTS
# A chunk ends early when its lines reach this, so that chunks of raw drawings stay small as well.
_CHUNK_BYTES = 8 << 20


class _Ordinary(msgspec.Struct, gc=False):
    """A record as Google writes it, simplified."""

    word: str
    key_id: str
    drawing: list[tuple[list[int], list[int]]]
    recognized: bool | None = None


_ORDINARY = msgspec.json.Decoder(_Ordinary)


def read_ndjson(
    file: IO[bytes], report: BadRecords, category: str | None, name: str, chunk: int
) -> Iterator[Sketches]:
    """Stream the sketches of an open ndjson file.

    category: given to all sketches in place of their word; name: given to those without a word.
    """
    gather = Gather()
    size = 0
    for place, line in _lines(file, report):
        if not _take_ordinary(gather, place, line, category):
            try:
                _take_unusual(gather, place, line, category, name)
            except Refused as refused:
                report(place, refused.kind, refused.reason)
        size += len(line)
        if len(gather) == chunk or size > _CHUNK_BYTES:
            size = 0
            if len(gather):
                yield gather.sketches()
    if len(gather):
        yield gather.sketches()


def write_ndjson(path: Path | str, sketches: Sketches) -> None:
    """Write sketches as simplified ndjson, compressed where the name ends in .gz, whole or not.

    Raises DataError where the file cannot be written.
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


def _lines(file: IO[bytes], report: BadRecords) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers from 1, without blank ones; no longer one is ever held in memory."""
    place, parts, size = 1, [], 0
    try:
        for block in blocks(file):
            head, *tail = block.split(b"\n")
            parts.append(head)
            if size <= LONGEST_LINE < size + len(head):
                report(place, "too_large", f"the line is longer than {LONGEST_LINE:,} bytes")
            size += len(head)
            if size > LONGEST_LINE:
                parts.clear()
            if not tail:
                continue
            *middle, last = tail
            for place, line in enumerate((b"".join(parts), *middle), place):  # noqa: B020
                if line and not line.isspace():
                    yield place, line
            place, parts, size = place + 1, [last], len(last)
    except Refused as refused:
        report(place, refused.kind, refused.reason)
        return
    line = b"".join(parts)
    if line and not line.isspace():
        yield place, line


def _take_ordinary(gather: Gather, place: int, line: bytes, category: str | None) -> bool:
    """Take a line that is an ordinary simplified record; for any other take nothing, return False.

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
    key_id = int(key)
    if key_id >= 1 << 64:
        return False
    gather.add(
        xs,
        ys,
        lengths,
        category=category or word,
        key_id=key_id,
        recognized=flag_of(record.recognized),
        place=place,
    )
    return True


def _take_unusual(gather: Gather, place: int, line: bytes, category: str | None, name: str) -> None:
    """Take a line that is raw or unusual, or raise Refused that says what is wrong with it."""
    points, word, key_id, recognized = examine(line)
    gather.add_points(
        points,
        category=category or word or name,
        key_id=key_id,
        recognized=recognized,
        place=place,
    )
