"""The conversion's second pass: gather the sketches of one shard from the pieces and write it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import orjson
from array_record.python.array_record_module import ArrayRecordWriter

from sketchjax.data import entropy
from sketchjax.data.folder.conversion.pieces import open_points
from sketchjax.data.folder.manifest import Shard
from sketchjax.data.folder.record import encode
from sketchjax.data.folder.shards import WRITER_OPTIONS
from sketchjax.data.offsets import offset_sums
from sketchjax.errors import DataError
from sketchjax.files import sha256

ENTROPY_SIZE = 224
ENTROPY_KEEP = 0.9

# Sketches gathered at once: about 40 MB of points and as much again while they are laid out.
_GATHER = 2**18
_REPORT = 2**13


@dataclass
class Packed:
    """A finished shard and what the manifest wants to know of it.

    offset_sums: number, sum and sum of squares of all Δx and Δy; lengths: sketches by length.
    """

    shard: Shard
    offset_sums: list[int] = field(default_factory=lambda: [0, 0, 0])
    lengths: dict[int, int] = field(default_factory=dict)


def pack_shard(
    path: Path,
    notes: Path,
    rows: np.ndarray,
    pieces: Sequence[Path],
    *,
    progress: Callable[[int], None],
) -> Packed:
    """Write the sketches of `rows` (plan.ROW[n]) to the shard `path`, in their order.

    notes: a folder for what `kept` needs to know after a restart, on the same file system.
    pieces: the `Piece.base` of each piece that the rows name by its number.
    """
    try:
        return _pack(path, notes, rows, pieces, progress)
    except RuntimeError as error:  # what ArrayRecord's writer raises, for a full disk too
        raise DataError(f"{path} cannot be written: {error}; what is finished is kept") from error


def _pack(
    path: Path,
    notes: Path,
    rows: np.ndarray,
    pieces: Sequence[Path],
    progress: Callable[[int], None],
) -> Packed:
    half = notes / f"{path.name}.half"
    writer = ArrayRecordWriter(str(half), WRITER_OPTIONS)
    entropies = np.empty(len(rows), np.float32)
    lengths = np.bincount(rows["length"])
    packed = Packed(Shard(path.name, len(rows), 0, ""))
    packed.lengths = {int(n): int(lengths[n]) for n in np.flatnonzero(lengths)}
    opened = [open_points(base) for base in pieces]
    for first, part in _parts(rows, _GATHER):
        points, offsets = _gather(part, opened)
        for at, piece in _parts(part, _REPORT):
            cut = offsets[at : at + len(piece) + 1]
            own = np.ascontiguousarray(points[cut[0] : cut[-1]])
            values = entropy.image_entropy(own, cut - cut[0], size=ENTROPY_SIZE)
            entropies[first + at : first + at + len(piece)] = values
            whole, starts = encode(own, cut - cut[0], piece["label"], piece["key_id"], values)
            for start, end in itertools.pairwise(starts.tolist()):
                writer.write(whole[start:end])
            packed.offset_sums = [
                a + b
                for a, b in zip(packed.offset_sums, offset_sums(own, cut - cut[0]), strict=True)
            ]
            progress(len(piece))
    writer.close()
    packed.shard = Shard(path.name, len(rows), half.stat().st_size, sha256(half))
    np.save(_entropies_path(notes, path.name), entropies)
    with half.open("rb") as file:
        os.fsync(file.fileno())
    half.replace(path)
    content = {**asdict(packed), "entropies": sha256(_entropies_path(notes, path.name))}
    note = orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)
    (notes / f"{path.name}.json").write_bytes(note)
    return packed


def kept(path: Path, notes: Path) -> Packed | None:
    """The finished shard `path` of a conversion that was stopped; None when it must be written."""
    try:
        content = orjson.loads((notes / f"{path.name}.json").read_bytes())
        packed = Packed(
            Shard(**content["shard"]),
            content["offset_sums"],
            {int(length): number for length, number in content["lengths"].items()},
        )
        whole = sha256(path) == packed.shard.sha256
        whole &= sha256(_entropies_path(notes, path.name)) == content["entropies"]
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        return None
    return packed if whole else None


def kept_entropies(name: str, notes: Path) -> np.ndarray:
    """The image entropy of each sketch of a finished shard, f32[n] in the order of its records."""
    return np.load(_entropies_path(notes, name))


def _entropies_path(notes: Path, name: str) -> Path:
    return notes / f"{name}.entropies.npy"


def _parts(rows: np.ndarray, size: int) -> Iterator[tuple[int, np.ndarray]]:
    for first in range(0, len(rows), size):
        yield first, rows[first : first + size]


def _gather(rows: np.ndarray, opened: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The points u8[p 3] of the rows, in their order, and their offsets i64[n + 1]."""
    lengths = rows["length"].astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    points = np.empty((int(offsets[-1]), 3), np.uint8)
    # Piece by piece and there in file order: the disk is read forwards.
    order = np.lexsort((rows["start"], rows["piece"]))
    numbers, firsts = np.unique(rows["piece"][order], return_index=True)
    for number, own in zip(numbers.tolist(), np.split(order, firsts[1:]), strict=True):
        counts = lengths[own]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        source = np.repeat(rows["start"][own], counts) + within
        points[np.repeat(offsets[:-1][own], counts) + within] = opened[number][source]
    return points, offsets
