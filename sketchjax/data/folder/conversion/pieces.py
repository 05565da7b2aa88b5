"""The conversion's first pass: each source file is read once and kept as a compact piece on disk.

The SVG files of a folder, which have one sketch each, make one piece together (`Bundle`).

A piece is three files: `NAME.points` (u8[p 3]), `NAME.rows` (one `ENTRY` per sketch) and, written
last, `NAME.json`, without which it does not count. `is_whole` checks a piece of an earlier attempt.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson

import sketchjax
from sketchjax.data import sources as formats
from sketchjax.data.folder.conversion.origin import Origin, file_state
from sketchjax.data.folder.conversion.shape import digests
from sketchjax.data.folder.manifest import MOST_CATEGORIES
from sketchjax.data.sketch import Sketches
from sketchjax.errors import DataError

# category: an index into the piece's own list of names; digest: of `shape.digests`; place: the
# line or record in the file.
ENTRY = np.dtype(
    [("key_id", "<u8"), ("digest", "<u8"), ("place", "<i8"), ("length", "<u2"), ("category", "<u2")]
)
BAD_FILE = "unreadable_file"  # in addition to formats.KINDS: a file of no known format
LISTED = 1_000  # bad records listed one by one; the others are only counted

_VERSION = 4
_CHUNK = 4_096


@dataclass(frozen=True)
class Bundle:
    """What becomes one piece: a file of sketches, or many files of one sketch each.

    name: in messages and in the manifest.
    paths: the files; there is one unless they are of one sketch each.
    category: given to all sketches; None: the files say.
    keys: the `key_id` of each file's sketch; empty: the files or their points say.
    """

    name: str
    paths: tuple[Path, ...]
    category: str | None = None
    keys: tuple[int, ...] = ()

    @property
    def bytes(self) -> int:
        """The bytes of all files."""
        return sum(path.stat().st_size for path in self.paths)

    @property
    def origin(self) -> Origin:
        """The files, as the manifest names them."""
        return Origin(self.name, self.paths, folder=self.category is not None)

    def name_of(self, path: Path) -> str:
        """The name of one of the files."""
        return self.name if self.category is None else f"{self.name}/{path.name}"


@dataclass(frozen=True)
class Filters:
    """Which sketches of a file to keep.

    categories: only these; None keeps all.
    recognized_only: only drawings that Google's game is known to have recognised.
    """

    categories: tuple[str, ...] | None = None
    recognized_only: bool = False


class Found(msgspec.Struct):
    """What the reading of a file found, besides its sketches.

    categories: the names of its categories, which the entries refer to.
    others: names of categories that were not asked for, the first 1,000.
    unrecognized: categories of which sketches were left out as not recognised.
    bad, bad_listed, left_out: as in `Manifest`.
    decisions: what the reader decided about the file, for people.
    files: the names of the files of one sketch each, which the places count; else empty.
    crc32: of the piece's arrays.
    """

    categories: list[str] = []
    others: set[str] = set()
    unrecognized: set[str] = set()
    bad: dict[str, int] = msgspec.field(default_factory=Counter)
    bad_listed: list[dict[str, Any]] = []
    left_out: dict[str, int] = msgspec.field(default_factory=Counter)
    decisions: list[str] = []
    files: list[str] = []
    crc32: int = 0


@dataclass(frozen=True)
class Piece:
    """A finished piece. base: the path of its files, without suffix; file: the source's name."""

    base: Path
    file: str
    found: Found

    def __len__(self) -> int:
        return self.base.with_suffix(".rows").stat().st_size // ENTRY.itemsize

    def index(self) -> np.ndarray:
        """One `ENTRY` per sketch, in the order of the file."""
        return np.fromfile(self.base.with_suffix(".rows"), ENTRY)

    def place(self, number: int) -> tuple[str, int]:
        """The source file of a sketch, and its line or record there."""
        at = number * ENTRY.itemsize
        place = int(np.fromfile(self.base.with_suffix(".rows"), ENTRY, 1, offset=at)["place"][0])
        return (
            (f"{self.file}/{self.found.files[place]}", 1)
            if self.found.files
            else (self.file, place)
        )

    @classmethod
    def load(cls, base: Path, file: str) -> Piece:
        """The finished piece at `base`, of the source file called `file`."""
        return cls(base, file, _load(base))


def _load(base: Path) -> Found:
    return msgspec.json.decode(base.with_suffix(".json").read_bytes(), type=Found)


def is_whole(base: Path) -> bool:
    """Whether a finished piece exists and still has the content that was written.

    Pieces are not flushed to the disk one by one (2 ms each), so a power cut may leave holes.
    """
    try:
        return _load(base).crc32 == _checksum(base)
    except (OSError, ValueError):  # msgspec's errors are ValueErrors
        return False


def open_points(base: Path) -> np.ndarray:
    """The points u8[p 3] of a piece, mapped into memory: only what is used is read."""
    with base.with_suffix(".points").open("rb") as file:
        # numpy.memmap takes 90 µs, mostly to resolve the path. Every shard opens all pieces:
        # 11,000 times in a conversion of 345 files.
        if not os.fstat(file.fileno()).st_size:
            return np.zeros((0, 3), np.uint8)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, np.uint8).reshape(-1, 3)


def piece_name(bundle: Bundle, filters: Filters, skip: bool) -> str:
    """A name that changes with the files (size and time) and with all that decides their piece."""
    identity: list[Any] = [[str(path.absolute()), *file_state(path)] for path in bundle.paths]
    identity += [bundle.category, bundle.keys, filters, skip]
    identity += [_VERSION, sketchjax.__version__]
    return hashlib.sha256(orjson.dumps(identity)).hexdigest()[:32]


def read_piece(
    bundle: Bundle,
    base: Path,
    filters: Filters,
    skip: bool,
    *,
    progress: Callable[[int], None],
) -> None:
    """Read source files into a piece.

    bundle: the files.
    base: the path of the piece, without suffix.
    filters: which sketches to keep.
    skip: whether to continue after bad records; otherwise the first one raises DataError.
    progress: called with the number of sketches since its last call.
    """
    note = base.with_suffix(".json")
    note.unlink(missing_ok=True)
    reader = _Reader(bundle, filters, skip)
    with (
        base.with_suffix(".points").open("wb") as points,
        base.with_suffix(".rows").open("wb") as rows,
    ):
        for sketches in reader.read():
            entries, kept = reader.keep(sketches)
            rows.write(entries.data)
            points.write(kept.data)
            progress(len(sketches))
    half = base.with_suffix(".half")
    reader.found.crc32 = _checksum(base)
    half.write_bytes(msgspec.json.encode(reader.found))
    half.replace(note)


def _checksum(base: Path) -> int:
    """A checksum of the arrays of a piece: it guards against holes, not against intent."""
    value = 0
    for suffix in (".points", ".rows"):
        with base.with_suffix(suffix).open("rb") as file:
            while block := file.read(2**20):
                value = zlib.crc32(block, value)
    return value


class _Reader:
    """Reads a bundle and collects what is found in it, besides the sketches."""

    def __init__(self, bundle: Bundle, filters: Filters, skip: bool):
        self.found = Found()
        self._bundle, self._filters, self._skip = bundle, filters, skip
        self._codes: dict[str, int] = {}
        if bundle.category is not None:
            self.found.files = [path.name for path in bundle.paths]

    def read(self) -> Iterator[Sketches]:
        """The sketches. Bad records are noted, or raise DataError without `skip`."""
        decisions = formats.Notes()
        for number, path in enumerate(self._bundle.paths):
            reading = formats.read(
                path,
                category=self._bundle.category,
                on_bad=self._bad_record if self._skip else None,
                chunk=_CHUNK,
            )
            used = False
            try:
                for sketches in reading:
                    used = used or len(sketches) > 0
                    yield self._placed(sketches, number)
            except DataError as error:
                if not self._skip:
                    raise
                name = self._bundle.name_of(path)
                self._note(name, None, BAD_FILE, str(error).replace(str(path), name))
            # That one file of many holds nothing is among the bad records.
            for note in reading.notes if used or self._bundle.category is None else ():
                decisions.add(note)
        self.found.decisions = list(decisions)
        self.found.categories = list(self._codes)

    def _placed(self, sketches: Sketches, number: int) -> Sketches:
        """The sketches of the bundle's file `number`, with their place and key in the bundle."""
        bundle = self._bundle
        if bundle.category is None:
            return sketches
        keys = np.full(len(sketches), bundle.keys[number], np.uint64) if bundle.keys else None
        return replace(
            sketches,
            places=np.full(len(sketches), number, np.int64),
            key_ids=sketches.key_ids if keys is None else keys,
        )

    def _bad_record(self, record: formats.BadRecord) -> None:
        self._note(self._bundle.name_of(record.path), record.place, record.kind, record.reason)

    def keep(self, sketches: Sketches) -> tuple[np.ndarray, np.ndarray]:
        """The entries and points of the sketches that pass the filters."""
        keep = self._passing(sketches)
        entries = np.empty(len(sketches), ENTRY)
        entries["key_id"], entries["length"] = sketches.key_ids, sketches.lengths
        entries["digest"] = digests(sketches.points, sketches.offsets)
        entries["place"] = sketches.places
        entries["category"] = self._encode(sketches.categories, keep)
        if keep.all():
            return entries, sketches.points
        return entries[keep], sketches.points[np.repeat(keep, sketches.lengths)]

    def _passing(self, sketches: Sketches) -> np.ndarray:
        keep = np.ones(len(sketches), bool)
        if self._filters.categories is not None:
            wanted = {*self._filters.categories}
            keep = np.fromiter((name in wanted for name in sketches.categories), bool, len(keep))
            self.found.left_out["other category"] += len(keep) - int(keep.sum())
            if len(self.found.others) < LISTED:
                self.found.others |= {*sketches.categories} - wanted
        if self._filters.recognized_only:
            unrecognized = keep & (sketches.recognized != 1)
            self.found.left_out["not recognized"] += int(unrecognized.sum())
            self.found.unrecognized.update(compress(sketches.categories, unrecognized.tolist()))
            keep &= ~unrecognized
        return keep

    def _encode(self, names: Sequence[str], keep: np.ndarray) -> list[int]:
        """Codes of the category names. A name is listed from its first kept sketch on."""
        codes = self._codes
        if len(codes) == 1 and all(name in codes for name in set(names)):
            return [0] * len(names)
        found = [
            codes.setdefault(name, len(codes)) if kept else 0
            for name, kept in zip(names, keep.tolist(), strict=True)
        ]
        if len(codes) > MOST_CATEGORIES:
            raise DataError(
                f"{self._bundle.name} has sketches of more than {MOST_CATEGORIES:,} categories; "
                "is the field 'word' the name of a category?"
            )
        return found

    def _note(self, name: str, place: int | None, kind: str, reason: str) -> None:
        self.found.bad[kind] += 1
        if len(self.found.bad_listed) < LISTED:
            self.found.bad_listed.append(
                {"file": name, "place": place, "kind": kind, "reason": reason}
            )
