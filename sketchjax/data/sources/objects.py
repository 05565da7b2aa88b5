"""Objects of a JSON file that is one array of them, or has each of them over several lines.

Such files are what `json.dump` and database exports write. They are read in blocks, as lines are: a
kernel finds where each object begins and ends, and its content is decoded like that of a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from sketchjax.compiled import kernel
from sketchjax.data.sources.records import Refused
from sketchjax.data.sources.stream import blocks, head_of, opened

_LONGEST_FIRST = 64 << 10  # bytes of an object's first line
# What may come next between two objects: an object or the array, an object of a file that is no
# array; and of an array: an object or its end, an object, a comma or its end, nothing.
_START, _PLAIN, _FIRST, _NEXT, _COMMA, _END = range(6)
# Of a scan, carried from block to block: how many brackets are open, and how many of them belong
# to no object; whether in a text, and after a backslash there; what may come next.
_DEPTH, _BASE, _TEXT, _ESCAPED, _EXPECTED = range(5)
_SPACES = (ord(" "), ord("\t"), ord("\n"), ord("\r"))
_QUOTE, _BACKSLASH, _BETWEEN = ord('"'), ord("\\"), ord(",")
_OPEN, _CLOSE = (ord("{"), ord("[")), (ord("}"), ord("]"))


def objects(file: IO[bytes], longest: int) -> Iterator[tuple[int, bytes | Refused, int]]:
    """Number from 0, content and size of each object; Refused for one that is too long.

    No object longer than `longest` bytes is ever held in memory. Refused is also the last item
    where the file cannot be read to its end.
    """
    state, inside = np.array([0, 0, 0, 0, _START]), False
    place, parts, size = 0, list[bytes](), 0
    try:
        for number, block in enumerate(blocks(file)):
            if number == 0:
                block = block.removeprefix(b"\xef\xbb\xbf")  # the mark of some Windows tools
            cuts = np.empty(len(block), np.int64)
            count, wrong = _scan(np.frombuffer(block, np.uint8), state, cuts)
            # Beginnings and ends of objects take turns; an object may reach into the next block.
            begin = 0
            for cut in cuts[:count].tolist():
                if inside:
                    size += cut - begin
                    yield place, _joined([*parts, block[begin:cut]], size, longest), size
                    place, parts, size = place + 1, [], 0
                begin, inside = cut, not inside
            if wrong >= 0:
                found = block[wrong : wrong + 20].decode(errors="replace")
                reason = f"{found!r} is where an object, a comma or the end should be"
                raise Refused("unreadable", reason)
            if inside:
                size += len(block) - begin
                parts = [*parts, block[begin:]] if size <= longest else []
        if inside or state[_EXPECTED] in (_FIRST, _NEXT, _COMMA):
            raise Refused("truncated", "the file ends before its JSON does: it is cut short")
    except Refused as refused:
        yield place, refused, 0


def spans_lines(path: Path, longest: int) -> bool:
    """Whether the first object of a file is over several lines.

    It must be whole, and JSON (or have NaN in it): a record of ndjson may be cut short, but the
    next lines do not complete it. A first line that ends like a record, or that is longer than what
    is written for people to read, is one of ndjson.
    """
    line, end, _ = head_of(path, _LONGEST_FIRST).partition(b"\n")
    if not end or line.rstrip().endswith(b"}"):
        return False
    with opened(path) as file:
        _, first, _ = next(objects(file, longest), (0, b"", 0))
    if isinstance(first, Refused) or b"\n" not in first:
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return True


def _joined(parts: list[bytes], size: int, longest: int) -> bytes | Refused:
    if size > longest:
        return Refused("too_large", f"the record is longer than {longest:,} bytes")
    return b"".join(parts)


@kernel
def _scan(block: Any, state: Any, cuts: Any) -> Any:
    """Fill cuts i64[n] with where objects begin and end in turn, in block u8[n].

    state: i64[5], what is carried from block to block; changed.
    Returns how many cuts there are, and the place of a byte that does not belong there, else -1.
    """
    count = 0
    for here in range(block.shape[0]):
        byte = block[here]
        if state[_TEXT]:
            if state[_ESCAPED]:
                state[_ESCAPED] = 0
            elif byte == _BACKSLASH:
                state[_ESCAPED] = 1
            elif byte == _QUOTE:
                state[_TEXT] = 0
        elif state[_DEPTH] > state[_BASE]:
            if byte == _QUOTE:
                state[_TEXT] = 1
            elif byte in _OPEN:
                state[_DEPTH] += 1
            elif byte in _CLOSE:
                state[_DEPTH] -= 1
                if state[_DEPTH] == state[_BASE]:
                    cuts[count] = here + 1
                    count += 1
        elif byte in _SPACES:
            continue
        elif byte == _OPEN[1] and state[_EXPECTED] == _START:
            state[_DEPTH] = state[_BASE] = 1
            state[_EXPECTED] = _FIRST
        elif byte in _OPEN and state[_EXPECTED] in (_START, _PLAIN, _FIRST, _NEXT):
            state[_DEPTH] += 1
            state[_EXPECTED] = _COMMA if state[_BASE] else _PLAIN
            cuts[count] = here
            count += 1
        elif byte == _BETWEEN and state[_EXPECTED] == _COMMA:
            state[_EXPECTED] = _NEXT
        elif byte == _CLOSE[1] and state[_EXPECTED] in (_FIRST, _COMMA):
            state[_EXPECTED] = _END
        else:
            return count, here
    return count, -1
