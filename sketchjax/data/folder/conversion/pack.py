"""The conversion's second pass: gather the sketches of one shard from the pieces and write it."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter

from sketchjax.data import entropy
from sketchjax.data.folder.conversion.pieces import open_points
from sketchjax.data.folder.manifest import Shard
from sketchjax.data.folder.record import encode
from sketchjax.data.folder.shards import WRITER_OPTIONS
from sketchjax.data.offsets import offset_sums
from sketchjax.files import sha256

ENTROPY_SIZE = 224
ENTROPY_KEEP = 0.9

# Sketches gathered at once: about 40 MB of points, and twice that while they are laid out.
_GATHER = 2**18
_REPORT = 2**13


class Packed(msgspec.Struct):
    """A finished shard, and its part of the manifest's totals.

    offset_sums: number, sum and sum of squares of all Δx and Δy; lengths: sketches by length.
    """

    shard: Shard
    offset_sums: tuple[int, int, int]
    lengths: dict[int, int]


class _Note(msgspec.Struct):
    """What a restart needs of a finished shard. entropies: the sha256 of their file."""

    packed: Packed
    entropies: str


def pack_shard(
    path: Path,
    notes: Path,
    rows: np.ndarray,
    pieces: Sequence[Path],
    *,
    progress: Callable[[int], None],
) -> Packed:
    """Write the sketches of `rows` to the shard `path`, in their order.

    path: the shard to write.
    notes: a folder on the same file system, for what `kept` needs after a restart.
    rows: plan.ROW[n].
    pieces: the `Piece.base` of each piece; the rows refer to them by number.
    progress: called with the number of sketches since its last call.
    """
    half, values = notes / f"{path.name}.half", _entropies_path(notes, path.name)
    entropies, sums = _write_records(half, rows, pieces, progress)
    lengths = np.bincount(rows["length"])
    packed = Packed(
        Shard(path.name, len(rows), half.stat().st_size, sha256(half)),
        sums,
        {int(length): int(lengths[length]) for length in np.flatnonzero(lengths)},
    )
    np.save(values, entropies)
    with half.open("rb") as file:
        os.fsync(file.fileno())
    half.replace(path)
    note = msgspec.json.encode(_Note(packed, sha256(values)))
    (notes / f"{path.name}.json").write_bytes(note)
    return packed


def _write_records(
    path: Path, rows: np.ndarray, pieces: Sequence[Path], progress: Callable[[int], None]
) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Write the records of a shard; returns their entropies f32[n] and the sums of the offsets."""
    entropies, sums = [np.zeros(0, np.float32)], [(0, 0, 0)]
    opened = [open_points(base) for base in pieces]
    with shard_writer(path) as writer:
        for part in _parts(rows, _GATHER):
            points, offsets = _gather(part, opened)
            first = 0
            for few in _parts(part, _REPORT):
                cut = offsets[first : first + len(few) + 1]
                first += len(few)
                own, cut = np.ascontiguousarray(points[cut[0] : cut[-1]]), cut - cut[0]
                entropies.append(entropy.image_entropy(own, cut, size=ENTROPY_SIZE))
                whole, starts = encode(own, cut, few["label"], few["key_id"], entropies[-1])
                for start, end in itertools.pairwise(starts.tolist()):
                    writer.write(whole[start:end])
                sums.append(offset_sums(own, cut))
                progress(len(few))
    number, total, squares = map(sum, zip(*sums, strict=True))
    return np.concatenate(entropies), (number, total, squares)


@contextmanager
def shard_writer(path: Path) -> Iterator[ArrayRecordWriter]:
    """The writer of a shard's records, closed at the end.

    Raises OSError where the disk refuses them. ArrayRecord raises a RuntimeError, with the cause in
    its text only: "write() failed: No space left on device; writing ...".
    """
    try:
        writer = ArrayRecordWriter(str(path), WRITER_OPTIONS)
        yield writer
        writer.close()
    except RuntimeError as error:
        causes = [code for code in errno.errorcode if f"failed: {os.strerror(code)};" in str(error)]
        if not causes:
            raise
        raise OSError(causes[0], os.strerror(causes[0]), str(path)) from error


def kept(path: Path, notes: Path) -> Packed | None:
    """The finished shard `path` of a stopped conversion; None if it must be written."""
    try:
        note = msgspec.json.decode((notes / f"{path.name}.json").read_bytes(), type=_Note)
        whole = sha256(path) == note.packed.shard.sha256
        whole &= sha256(_entropies_path(notes, path.name)) == note.entropies
    except (OSError, ValueError):  # msgspec's errors are ValueErrors
        return None
    return note.packed if whole else None


def kept_entropies(name: str, notes: Path) -> np.ndarray:
    """The image entropy of each sketch of a finished shard, f32[n] in the order of its records."""
    return np.load(_entropies_path(notes, name))


def _entropies_path(notes: Path, name: str) -> Path:
    return notes / f"{name}.entropies.npy"


def _parts(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for first in range(0, len(rows), size):
        yield rows[first : first + size]


def _gather(rows: np.ndarray, opened: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The points u8[p 3] of the rows, in their order, and their offsets i64[n + 1]."""
    lengths = rows["length"].astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    points = np.empty((int(offsets[-1]), 3), np.uint8)
    # Piece by piece, and each in file order, so that the disk is read forwards.
    order = np.lexsort((rows["start"], rows["piece"]))
    numbers, firsts = np.unique(rows["piece"][order], return_index=True)
    for number, own in zip(numbers.tolist(), np.split(order, firsts[1:]), strict=True):
        counts = lengths[own]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        source = np.repeat(rows["start"][own], counts) + within
        points[np.repeat(offsets[:-1][own], counts) + within] = opened[number][source]
    return points, offsets
