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

import orjson

from sketchjax.data.sketch import Sketches, strokes
from sketchjax.data.sources.examine import UNKNOWN, examine, flag_of
from sketchjax.data.sources.records import LONGEST_NAME, MOST_POINTS, Gather, Refused, Reporter
from sketchjax.data.sources.stream import blocks, written

# Bytes: 64 for each of 65,535 points, a raw one being three numbers of up to 20. Of hostile JSON
# Python makes 30 times as much ("[],[],…"), 120 MB.
LONGEST_LINE = 4 << 20
# A point takes at least four bytes ("0,0,"), so a shorter line cannot break the limit of points.
_SURELY_SMALL = 4 * MOST_POINTS
# A chunk ends early when its lines reach this, so that chunks of raw drawings stay small as well.
_CHUNK_BYTES = 8 << 20


def read_ndjson(
    file: IO[bytes], report: Reporter, category: str | None, name: str, chunk: int
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


def _lines(file: IO[bytes], report: Reporter) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers from 1, blank ones left out; one longer than 4 MiB is never held."""
    place, rest, skipping = 1, b"", False
    try:
        for block in blocks(file):
            head, *tail = block.split(b"\n")
            rest += head
            if not tail:
                if len(rest) > LONGEST_LINE and not skipping:
                    report(place, "too_large", f"the line is longer than {LONGEST_LINE:,} bytes")
                    skipping = True
                rest = b"" if skipping else rest
                continue
            *middle, last = tail
            if not skipping and rest and not rest.isspace():
                yield place, rest
            skipping = False
            for place, line in enumerate(middle, place + 1):  # noqa: B020
                if line and not line.isspace():
                    yield place, line
            place, rest = place + 1, last
    except Refused as refused:
        report(place, refused.kind, refused.reason)
        return
    if rest and not rest.isspace() and not skipping:
        yield place, rest


def _take_ordinary(gather: Gather, place: int, line: bytes, category: str | None) -> bool:
    """Take a line that is an ordinary simplified record; False, nothing taken, for any other.

    This is the fast way (5 µs a sketch): `bytes(x)` refuses whatever is not whole and 0 to 255.
    """
    xs: list[bytes] = []
    ys: list[bytes] = []
    lengths: list[int] = []
    try:
        record = orjson.loads(line)
        word, key, recognized = record["word"], record["key_id"], record.get("recognized")
        for x, y in record["drawing"]:
            length = len(x)
            if length != len(y) or not length:
                return False
            lengths.append(length)
            xs.append(bytes(x))
            ys.append(bytes(y))
        if not (key.isdecimal() and key.isascii()):
            return False
        key_id = int(key)
    except (ValueError, TypeError, KeyError, AttributeError):
        return False
    # JSON's true would pass as the coordinate 1, so a line may hold it as often as it is expected.
    booleans = line.count(b"true") + line.count(b"false")
    flag = flag_of(recognized)
    ordinary = (
        lengths
        and word.__class__ is str
        and word.isprintable()
        and 0 < len(word) <= LONGEST_NAME
        and not word.isspace()
        and flag >= UNKNOWN
        and booleans == (flag != UNKNOWN)
        and key_id < 1 << 64
        and len(line) < _SURELY_SMALL
    )
    if not ordinary:
        return False
    gather.add(
        xs,
        ys,
        lengths,
        category=category or word,
        key_id=key_id,
        recognized=flag,
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
