"""What a source of pictures holds: its files, which sketch draws which photo, and its splits."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sketchjax.data.sources.categories import canonical
from sketchjax.data.sources.finding import passed_over
from sketchjax.data.sources.pictures.image import EXTENSIONS
from sketchjax.data.sources.records import wrong_name
from sketchjax.errors import DataError

PHOTO, RASTER, STROKES = "photo", "raster", "strokes"
STROKE_EXTENSIONS = (".svg", ".svg.gz")


@dataclass(frozen=True, slots=True)
class Item:
    """One photo or sketch.

    name: its path in the source, with "/"; no two items of a source share one.
    kind: PHOTO, RASTER or STROKES.
    category: in the spelling of `canonical`, or as a table of names has it.
    path: the file; place: its number in an archive of many, else -1.
    contour: a contour map that belongs to it.
    """

    name: str
    kind: str
    category: str
    path: Path
    place: int = -1
    contour: Path | None = None

    @property
    def id(self) -> int:
        """A u64 that identifies the item: a hash of its name."""
        return number_of(self.name)

    @property
    def stem(self) -> str:
        """The file's name without extension: what a photo shares with copies of it elsewhere."""
        return self.name.rsplit("/", 1)[-1].removesuffix(".gz").rsplit(".", 1)[0]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in a source that cannot be used: the file, its line if it is a table, and why."""

    file: str
    place: int | None
    kind: str
    reason: str

    def __str__(self) -> str:
        where = self.file if self.place is None else f"{self.file}, line {self.place}"
        return f"{where}: {self.reason}"


@dataclass
class Collection:
    """A source of pictures.

    root: the folder or file.
    items: by name, in its order.
    pairs: sketch -> the photo that it draws, by name.
    splits: by name; None where the source does not say.
    tables: the sha256 of each table that decided something, by file name.
    faults: what cannot be used; notes: what was decided; left_out: items by reason.
    repeated: the names of those that were left out as they are there under another name.
    passed_over: by extension, files that no reader takes.
    """

    root: Path
    items: dict[str, Item] = field(default_factory=dict)
    pairs: dict[str, str] = field(default_factory=dict)
    splits: dict[str, str] | None = None
    tables: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    repeated: set[str] = field(default_factory=set)
    passed_over: Counter[str] = field(default_factory=Counter)

    def fault(self, file: str, kind: str, reason: str, place: int | None = None) -> None:
        """Note something that cannot be used."""
        self.faults.append(Fault(file, place, kind, reason))

    def all_notes(self) -> list[str]:
        """What was decided, and what was passed over."""
        return [*self.notes, *passed_over(self.passed_over)]

    def of(self, *kinds: str) -> list[Item]:
        """The items of some kinds."""
        return [item for item in self.items.values() if item.kind in kinds]

    def add_side(self, folder: Path, side: str, names: dict[str, str]) -> None:
        """Add the files of folder/CATEGORY/NAME: photos, or sketches as pixels and strokes.

        side: "photo" or "sketch".
        names: categories that have another name than their folder's.
        """
        for category in folders_of(folder):
            name = canonical(category.name)
            name = names.get(name, name)
            if wrong := wrong_name(name):
                reason = f"the category {name[:50]!r} {wrong}"
                self.fault(self._name(category), "unreadable", reason)
                continue
            self._add_category(category, side, name)

    def _add_category(self, folder: Path, side: str, category: str) -> None:
        seen: dict[tuple[str, str], str] = {}
        inodes: set[tuple[int, int]] = set()
        for entry in sorted(os.scandir(folder), key=lambda entry: (entry.is_symlink(), entry.name)):
            kind = kind_of(entry.name, side)
            if entry.name.startswith("."):
                continue
            name = self._name(folder / entry.name)
            try:
                name.encode()
                state = entry.stat()
            except UnicodeEncodeError:
                self.fault(repr(name), "unreadable", "the file's name is not UTF-8; rename it")
                continue
            except OSError:
                self.fault(name, "unreadable", "a link that leads nowhere; remove it")
                continue
            if entry.is_dir() or kind is None:
                suffix = Path(entry.name).suffix.lower() or "without extension"
                self.passed_over["folder" if entry.is_dir() else suffix] += 1
                continue
            if (state.st_dev, state.st_ino) in inodes:
                self.left_out["another name of a file that is read"] += 1
                self.repeated.add(name)
                continue
            inodes.add((state.st_dev, state.st_ino))
            item = Item(name, kind, category, folder / entry.name)
            first = seen.setdefault((kind, item.stem.casefold()), name)
            if first != name:
                self.fault(name, "repeated", f"two files of one name: {first} too; keep one")
                continue
            self.items[name] = item

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def sort(self) -> None:
        """Bring the items into the order of their names."""
        self.items = dict(sorted(self.items.items()))


def number_of(content: str | bytes) -> int:
    """A hash of a text or of a file's bytes, u64."""
    blob = content.encode() if isinstance(content, str) else content
    return int.from_bytes(hashlib.blake2b(blob, digest_size=8).digest(), "little")


def folders_of(folder: Path) -> Iterator[Path]:
    """The folders within a folder that are not hidden, by name.  Raises DataError."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}: {error.strerror}") from None
    for entry in entries:
        if not entry.name.startswith(".") and Path(entry.path).is_dir():
            yield Path(entry.path)


def kind_of(name: str, side: str) -> str | None:
    """The kind of a file by its extension; None where no reader takes it."""
    if name.lower().endswith(EXTENSIONS):
        return PHOTO if side == "photo" else RASTER
    if side == "sketch" and name.lower().endswith(STROKE_EXTENSIONS):
        return STROKES
    return None
