"""The records of a data folder: their bytes, and reading them at random or all in order.

A record is 16 bytes of header and 3 bytes a point, little-endian:

    bytes 0-7    key_id    u64
    bytes 8-9    label     u16, an index into the manifest's categories
    bytes 10-11  length    u16, the number of points t, at least 1
    bytes 12-15  entropy   f32, the image entropy of the drawing
    bytes 16-    points    u8[t 3]: x, y, end (1 on the last point of a stroke)

Records stand in ArrayRecord files, one a chunk and uncompressed. Measured on one core, 160 bytes a
record: a random read costs 1.7 µs so, 2.4 µs with zstd, which saves nothing on records this short.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader

from sketchjax.data.manifest import Manifest, Shard
from sketchjax.data.splits import SPLITS
from sketchjax.errors import DataError

RECORD_VERSION = 1
HEADER = np.dtype([("key_id", "<u8"), ("label", "<u2"), ("length", "<u2"), ("entropy", "<f4")])

WRITER_OPTIONS = "group_size:1,uncompressed"
_RANDOM_ACCESS = "readahead_buffer_size:0,max_parallelism:0"


@dataclass(frozen=True, slots=True)
class Records:
    """n decoded records, ragged: record i owns points[offsets[i]:offsets[i + 1]].

    points: u8[p 3]; offsets: i64[n + 1]; labels: i32[n]; key_ids: u64[n]; entropies: f32[n];
    index: i64[n], the place of each record in its split (in its list, from `decode`).
    """

    points: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    key_ids: np.ndarray
    entropies: np.ndarray
    index: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Number of points of each sketch, i64[n]."""
        return np.diff(self.offsets)


def encode(
    points: np.ndarray,
    offsets: np.ndarray,
    labels: np.ndarray,
    key_ids: np.ndarray,
    entropies: np.ndarray,
) -> tuple[bytes, np.ndarray]:
    """Lay n sketches out as records.

    points: u8[p 3]; offsets: i64[n + 1] from 0; labels: i[n]; key_ids: u64[n]; entropies: f32[n].
    Returns all records as one bytes object, and their offsets in it, i64[n + 1].
    """
    lengths = np.diff(offsets)
    header = np.empty(len(lengths), HEADER)
    header["key_id"], header["label"] = key_ids, labels
    header["length"], header["entropy"] = lengths, entropies
    starts = 3 * offsets + HEADER.itemsize * np.arange(len(offsets))
    whole = np.empty(int(starts[-1]), np.uint8)
    in_header = _header_mask(starts)
    whole[in_header] = header.view(np.uint8)
    whole[~in_header] = points.ravel()
    return whole.tobytes(), starts


def decode(blobs: Sequence[bytes]) -> Records:
    """Decode records.  Raises DataError naming the first that is not one, by its index."""
    whole = np.frombuffer(b"".join(blobs), np.uint8)
    sizes = np.fromiter(map(len, blobs), np.int64, len(blobs))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    short = np.flatnonzero(sizes < HEADER.itemsize)
    if len(short):
        raise DataError(f"record {short[0]} has {sizes[short[0]]} bytes, less than a header")
    in_header = _header_mask(starts)
    header = whole[in_header].view(HEADER)
    lengths = header["length"].astype(np.int64)
    wrong = np.flatnonzero(sizes != HEADER.itemsize + 3 * lengths)
    if len(wrong):
        first = wrong[0]
        raise DataError(
            f"record {first} has {sizes[first]} bytes but states {lengths[first]} points"
        )
    return Records(
        points=whole[~in_header].reshape(-1, 3),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        labels=header["label"].astype(np.int32),
        key_ids=header["key_id"].astype(np.uint64),
        entropies=header["entropy"].astype(np.float32),
        index=np.arange(len(blobs)),
    )


def _header_mask(starts: np.ndarray) -> np.ndarray:
    """Which bytes belong to headers, for records at starts i64[n + 1]: bool[starts[n]]."""
    mask = np.zeros(int(starts[-1]), bool)
    mask[starts[:-1, None] + np.arange(HEADER.itemsize)] = True
    return mask


class Shards:
    """The records of one split of a data folder, by random access.

    A record's index counts through the split's shards in the manifest's order. Files open when
    first read, so a `Shards` travels to other processes by pickle at no cost.
    Raises DataError when the folder has no manifest or a shard does not match it.
    """

    def __init__(self, folder: str | Path, split: str):
        if split not in SPLITS:
            raise DataError(f"{split!r} is not a split; the splits are {', '.join(SPLITS)}")
        self.folder, self.split = Path(folder), split
        self.manifest = Manifest.load(folder)
        self._shards = self.manifest.shards.get(split, [])
        for shard in self._shards:
            _check_size(self.folder, shard)
        self._edges = np.cumsum([0, *(shard.records for shard in self._shards)])
        self._readers: dict[int, ArrayRecordReader] = {}

    def __len__(self) -> int:
        return int(self._edges[-1])

    def read(self, indices: np.ndarray) -> Records:
        """The records at `indices` i64[n] of the split, in that order, decoded.

        Raises IndexError out of range, DataError when a shard cannot be read.
        """
        indices = np.asarray(indices, np.int64)
        blobs = self.read_bytes(indices)
        try:
            return replace(decode(blobs), index=indices)
        except DataError as error:
            raise DataError(f"{self.folder}, {self.split}: {error}; {_MEND}") from error

    def read_bytes(self, indices: np.ndarray) -> list[bytes]:
        """The same records as they stand in the file."""
        if len(indices) and (indices.min() < 0 or indices.max() >= len(self)):
            raise IndexError(f"records {indices.min()} to {indices.max()} of {len(self)} asked")
        files = np.searchsorted(self._edges, indices, side="right") - 1
        blobs: list[bytes] = [b""] * len(indices)
        for number in np.unique(files).tolist():
            places = np.flatnonzero(files == number)
            found = self._read_shard(number, (indices[places] - self._edges[number]).tolist())
            for place, blob in zip(places.tolist(), found, strict=True):
                blobs[place] = blob
        return blobs

    def close(self) -> None:
        """Close all files; the next read opens them again."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def __enter__(self) -> Shards:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_readers": {}}

    def _read_shard(self, number: int, places: list[int]) -> list[bytes]:
        shard = self._shards[number]
        try:
            reader = self._readers.get(number)
            if reader is None:
                reader = open_shard(self.folder / shard.name)
                if reader.num_records() != shard.records:
                    raise DataError(f"it has {reader.num_records()} records, not {shard.records}")
                self._readers[number] = reader
            return reader.read(places)
        except (OSError, RuntimeError, ValueError, IndexError, DataError) as error:
            self._readers.pop(number, None)  # once it has failed it fails for good, also to close
            path = self.folder / shard.name
            raise DataError(f"{path} cannot be read: {error}; {_MEND}") from error


_MEND = "run `sketchjax verify` on the folder, or delete it and convert the drawings again"


def open_shard(path: Path) -> ArrayRecordReader:
    """A reader of one ArrayRecord file, set for random access."""
    return ArrayRecordReader(str(path), _RANDOM_ACCESS)


def _check_size(folder: Path, shard: Shard) -> None:
    path = folder / shard.name
    if not path.is_file():
        raise DataError(f"{path} is missing, the manifest names it; {_MEND}")
    if path.stat().st_size != shard.bytes:
        raise DataError(
            f"{path} has {path.stat().st_size} bytes, the manifest says {shard.bytes}; {_MEND}"
        )
