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
_TOO_LARGE = f"the drawing has more than {MOST_POINTS:,} points"


def read_binary(file: IO[bytes], source: Source) -> Iterator[Sketches]:
    """Stream the sketches of an open .bin file."""
    gather, category = Gather(), source.category_of_file()
    place, rest = 0, b""
    try:
        for block in blocks(file):
            rest += block
            start = 0
            while (found := _record(rest, start)) is not None:
                start, key_id, recognized, xs, ys = found
                lengths = [*map(len, xs)]
                if not lengths:
                    source.bad(place, "empty", "the drawing has no points")
                elif sum(lengths) > MOST_POINTS:
                    source.bad(place, "too_large", _TOO_LARGE)
                else:
                    gather.add(
                        xs,
                        ys,
                        lengths,
                        category=category,
                        key_id=key_id,
                        recognized=recognized,
                        place=place,
                    )
                place += 1
                if len(gather) == source.chunk:
                    yield gather.sketches()
            rest = rest[start:]
        if rest:
            raise Refused("truncated", f"the file ends {len(rest):,} bytes into a record")
    except Refused as refused:
        source.bad(place, refused.kind, refused.reason)
    if len(gather):
        yield gather.sketches()


def _record(data: bytes, start: int) -> tuple[int, int, int, list[bytes], list[bytes]] | None:
    """Where the record at `start` ends, its key_id and recognized, x and y of each stroke.

    A stroke without points draws nothing and is dropped. None where more bytes are needed; raises
    Refused where the bytes are not a record.
    """
    position = start + _HEADER.size
    if position > len(data):
        return None
    key_id, recognized, _, strokes = _HEADER.unpack_from(data, start)
    if recognized not in (0, 1):
        raise Refused(
            "unreadable",
            f"the byte 'recognized' is {recognized}, not 0 or 1: not a QuickDraw record, "
            "and the start of the next one is unknown",
        )
    xs: list[bytes] = []
    ys: list[bytes] = []
    for _ in range(strokes):
        if position + 2 > len(data):
            return None
        first, length = position + 2, data[position] | data[position + 1] << 8
        position = first + 2 * length
        if position - start > _LARGEST_RECORD:
            raise Refused("too_large", _TOO_LARGE)
        if length:
            xs.append(data[first : first + length])
            ys.append(data[first + length : position])
    return (position, key_id, recognized, xs, ys) if position <= len(data) else None
