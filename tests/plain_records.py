"""Records read, decoded and damaged with Python's struct, as an oracle."""

import struct
from pathlib import Path

from array_record.python.array_record_module import ArrayRecordReader


def records_of(path: Path) -> list[bytes]:
    """The records of a shard, one by one."""
    reader = ArrayRecordReader(str(path))
    return [reader.read([i])[0] for i in range(reader.num_records())]


def plain_decode(blob: bytes) -> tuple[int, int, float, list[list[int]]]:
    """The key_id, label, entropy and points of a record."""
    key_id, label, length, entropy = struct.unpack_from("<QHHf", blob)
    points = [list(blob[16 + 3 * i : 19 + 3 * i]) for i in range(length)]
    assert len(blob) == 16 + 3 * length
    return key_id, label, entropy, points


def patched(blob: bytes, form: str, place: int, value) -> bytes:
    """The bytes with a value of a struct's form put in at a place."""
    changed = bytearray(blob)
    struct.pack_into(form, changed, place, value)
    return bytes(changed)
