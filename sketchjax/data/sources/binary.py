"""QuickDraw's binary form, little-endian records one after another.

uint64 key_id, 2 bytes country, int8 recognized, uint32 timestamp, uint16 number of strokes; then
per stroke uint16 n, n bytes of x, n bytes of y (Google's documentation of the data set). A record
does not state its length: after a wrong number the next record cannot be found, so reading ends.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO

from sketchjax.data.sketch import Sketches
from sketchjax.data.sources.records import MOST_POINTS, Gather, Refused, Source
from sketchjax.data.sources.stream import blocks

_HEADER = struct.Struct("<QxxbIH")
# 65,535 points, each in its own stroke, take 4 bytes each.
_LARGEST_RECORD = _HEADER.size + 4 * MOST_POINTS


def read_binary(file: IO[bytes], source: Source) -> Iterator[Sketches]:
    """Stream the sketches of an open .bin file."""
    gather, category = Gather(), source.category_of_file()
    place, rest = 0, b""
    try:
        for block in blocks(file):
            rest += block
            start = 0
            while stop := _end_of_record(rest, start):
                try:
                    _take(gather, place, rest, start, category)
                except Refused as refused:
                    source.bad(place, refused.kind, refused.reason)
                place, start = place + 1, stop
                if len(gather) == source.chunk:
                    yield gather.sketches()
            rest = rest[start:]
        if rest:
            raise Refused("truncated", f"the file ends {len(rest):,} bytes into a record")
    except Refused as refused:
        source.bad(place, refused.kind, refused.reason)
    if len(gather):
        yield gather.sketches()


def _end_of_record(data: bytes, start: int) -> int:
    """Where the record at `start` ends; 0 where more bytes are needed.

    Raises Refused where the bytes are not a record.
    """
    position, size = start + _HEADER.size, len(data)
    if position > size:
        return 0
    _, recognized, _, strokes = _HEADER.unpack_from(data, start)
    if recognized not in (0, 1):
        raise Refused(
            "unreadable",
            f"the byte 'recognized' is {recognized}, not 0 or 1: not a QuickDraw record, "
            "and the start of the next one is unknown",
        )
    for _ in range(strokes):
        if position - start > _LARGEST_RECORD:
            raise Refused("too_large", f"the drawing has more than {MOST_POINTS:,} points")
        if position + 2 > size:
            return 0
        position += 2 + 2 * (data[position] | data[position + 1] << 8)
    if position - start > _LARGEST_RECORD:
        raise Refused("too_large", f"the drawing has more than {MOST_POINTS:,} points")
    return position if position <= size else 0


def _take(gather: Gather, place: int, data: bytes, start: int, category: str) -> None:
    """Add the record at `start`, which is all there."""
    key_id, recognized, _, strokes = _HEADER.unpack_from(data, start)
    position = start + _HEADER.size
    xs: list[bytes] = []
    ys: list[bytes] = []
    lengths: list[int] = []
    for _ in range(strokes):
        length = data[position] | data[position + 1] << 8
        middle, end = position + 2 + length, position + 2 + 2 * length
        if length:  # A stroke without points draws nothing and is dropped.
            xs.append(data[position + 2 : middle])
            ys.append(data[middle:end])
            lengths.append(length)
        position = end
    if not lengths:
        raise Refused("empty", "the drawing has no points")
    if sum(lengths) > MOST_POINTS:
        raise Refused("too_large", f"the drawing has more than {MOST_POINTS:,} points")
    gather.add(
        xs,
        ys,
        lengths,
        category=category,
        key_id=key_id,
        recognized=recognized,
        place=place,
    )
