"""Every reader as a function of bytes, for the fuzzer and for the tests of its corpus.

A target may raise DataError or report bad records. Anything else is a finding: another exception,
a sketch that breaks the contract of `Sketches`, a second of processor time, a gigabyte.
"""

from __future__ import annotations

import gzip
import io
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, cast

import numpy as np
import orjson

from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.pictures import PictureRecord, decode_picture
from sketchjax.data.folder.record import decode, sound, wrong_records
from sketchjax.data.folder.shards import open_shard
from sketchjax.data.folder.split_file import split_rows
from sketchjax.data.folder.splits import SPLITS
from sketchjax.data.folder.verify import contradictions
from sketchjax.data.sketch import Sketches
from sketchjax.data.sources.binary import read_binary
from sketchjax.data.sources.ndjson import read_json, read_ndjson
from sketchjax.data.sources.pictures.image import normal_photo, normal_raster
from sketchjax.data.sources.records import (
    KINDS,
    MOST_POINTS,
    BadRecord,
    BadRecords,
    Notes,
    Refused,
    Source,
    wrong_name,
)
from sketchjax.data.sources.stroke3 import read_arrays, read_stroke3
from sketchjax.data.sources.svg import read_svg
from sketchjax.data.sources.table import read_table
from sketchjax.errors import DataError

_PATH = Path("any")
_CLASSES = 3
_SCRATCH = Path("/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir())


def ndjson(data: bytes) -> None:
    """QuickDraw's ndjson."""
    _take(lambda source: read_ndjson(io.BytesIO(data), source))


def json(data: bytes) -> None:
    """One JSON array, or objects over several lines."""
    _take(lambda source: read_json(io.BytesIO(data), source))


def binary(data: bytes) -> None:
    """QuickDraw's .bin."""
    _take(lambda source: read_binary(io.BytesIO(data), source))


def zipped(data: bytes) -> None:
    """A gzip stream of ndjson."""
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        _take(lambda source: read_ndjson(cast(IO[bytes], file), source))


def npy(data: bytes) -> None:
    """An .npy of arrays, as in sketch-rnn's .npz."""
    _take(lambda source: read_arrays([("train.npy", data)], source))


def table(data: bytes) -> None:
    """Kaggle's CSV."""
    _take(lambda source: read_table(io.BytesIO(data), source))


def npz(data: bytes) -> None:
    """sketch-rnn's .npz, whole."""
    _take(lambda source: read_stroke3(io.BytesIO(data), source))


def svg(data: bytes) -> None:
    """An SVG drawing."""
    _take(lambda source: read_svg(io.BytesIO(data), source))


def picture(data: bytes) -> None:
    """A photo, a raster sketch: what is kept must decode again."""
    for normal, mode in ((normal_photo, "RGB"), (normal_raster, "L")):
        why = None
        try:
            found = normal(data, 64)
            assert max(found.width, found.height) <= 64
            assert decode_picture(found.content, 8, mode).dtype == np.uint8
        except Refused as refused:
            why = refused
        assert why is None or (why.kind in KINDS and 0 < len(str(why)) < 300)


def picture_record(data: bytes) -> None:
    """A record of a picture."""
    record = PictureRecord.decode(data)
    assert record.picture
    assert PictureRecord.decode(record.encode()) == record


def split_file(data: bytes) -> None:
    """A split file."""
    key_ids, splits = split_rows(_PATH, io.BytesIO(data), SPLITS)
    assert key_ids.dtype == np.uint64
    assert len(key_ids) == len(splits)
    assert all(0 <= split < len(SPLITS) for split in splits.tolist())


def manifest(data: bytes) -> None:
    """A manifest.json."""
    found = Manifest.parse(data, _PATH)
    for shards in found.shards.values():
        assert all(os.path.basename(shard.name) == shard.name for shard in shards)
    for line in contradictions(found):
        assert len(line) < 1_000


def records(data: bytes) -> None:
    """Records of a shard: the bytes are cut into records, each preceded by its length."""
    blobs, start = [], 0
    while start + 2 <= len(data) and len(blobs) < 64:
        end = start + 2 + int.from_bytes(data[start : start + 2], "little") % 512
        blobs.append(data[start + 2 : end])
        start = end
    found = decode(blobs)
    assert sound(found, _CLASSES) == (not wrong_records(found, _CLASSES))
    assert found.offsets[-1] == len(found.points)


def shard(data: bytes) -> None:
    """An ArrayRecord file, read by a library: it may raise what `Shards` catches."""
    path = _SCRATCH / f"sketchjax-fuzz-{os.getpid()}"
    path.write_bytes(data)
    try:
        reader = open_shard(path)
        for index in range(min(reader.num_records(), 16)):
            decode(reader.read([index]))
        reader.close()
    except (OSError, RuntimeError, ValueError, IndexError):
        return
    finally:
        path.unlink()


def request(data: bytes) -> None:
    """A request to the server, which is imported only where it is fuzzed."""
    from .bodies import ask

    ask(data)


def _take(read: Callable[[Source], Iterable[Sketches]]) -> None:
    bad: list[BadRecord] = []
    notes = Notes()
    for sketches in read(Source(BadRecords(_PATH, "record", bad.append), notes, None, "cat", 64)):
        _check(sketches)
    for note in notes:
        assert 0 < len(note) < 3_000
        note.encode()
    for record in bad:
        assert record.kind in KINDS
        assert 0 < len(record.reason) < 300
        record.reason.encode()


def _check(sketches: Sketches) -> None:
    """The contract of `Sketches`."""
    number, offsets = len(sketches), sketches.offsets
    assert number > 0
    assert offsets[0] == 0
    assert offsets[-1] == len(sketches.points)
    lengths = sketches.lengths
    assert lengths.min() > 0
    assert lengths.max() <= MOST_POINTS
    assert sketches.points.dtype == np.uint8
    assert sketches.points[:, 2].max() == 1
    assert sketches.points[offsets[1:] - 1, 2].all()
    assert len(sketches.categories) == len(sketches.key_ids) == len(sketches.places) == number
    assert set(sketches.recognized.tolist()) <= {-1, 0, 1}
    assert all(wrong_name(name) is None for name in sketches.categories)
    orjson.dumps(sketches.categories)


def run(name: str, data: bytes) -> None:
    """Run a target on bytes; DataError is a fine answer."""
    try:
        TARGETS[name](data)
    except DataError as error:
        message = str(error)
    else:
        return
    assert 0 < len(message) < 10_000


TARGETS: dict[str, Callable[[bytes], None]] = {
    "ndjson": ndjson,
    "json": json,
    "svg": svg,
    "picture": picture,
    "picture_record": picture_record,
    "bin": binary,
    "gzip": zipped,
    "npy": npy,
    "npz": npz,
    "table": table,
    "csv": split_file,
    "manifest": manifest,
    "records": records,
    "shard": shard,
    "request": request,
}
