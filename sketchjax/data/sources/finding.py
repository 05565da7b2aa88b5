"""The sketch files among files and folders, and what is passed over on the way."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sketchjax.data.sources import categories
from sketchjax.data.sources.stream import head_of
from sketchjax.data.sources.table import has_drawings
from sketchjax.errors import DataError

EXTENSIONS = tuple(
    name + packed
    for name in categories.EXTENSIONS
    for packed in ("", ".gz")
    if name + packed != ".npz.gz"
)
SVG = (".svg", ".svg.gz")
_PICTURES = " (pictures are read from the folders photo/CATEGORY and sketch/CATEGORY of a source)"
_HINTS = {
    **dict.fromkeys((".jpg", ".jpeg", ".png", ".webp"), _PICTURES),
    ".npy": " (pictures are not read; put one category's rows of points into the arrays train, "
    "valid and test of an .npz)",
    **dict.fromkeys((".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar"), " (unpack it)"),
    **dict.fromkeys((".xz", ".bz2", ".zst"), " (unpack it; .gz can stay packed)"),
    ".csv": " (its first line names no column 'drawing')",
    **dict.fromkeys((".json", ".jsonl"), ' (it begins with no object that has "drawing")'),
    ".parquet": " (write it as JSON lines, such as by Dataset.to_json)",
    ".txt": " (rename it to .ndjson if it holds one JSON object per line)",
}
_LOOK_AT = 64 << 10  # bytes of a file whose extension does not say that it holds drawings


@dataclass(frozen=True)
class Survey:
    """What was found in files and folders.

    paths: the sketch files, sorted, each real file once.
    passed_over: the other files of the folders, sorted, except hidden ones.
    tables: those of them that are CSVs of drawings.
    repeated: other names (links) of files that are among the paths.
    """

    paths: list[Path]
    passed_over: list[Path] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)
    repeated: list[Path] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """How many files of each extension were passed over, sorted by extension."""
        return dict(sorted(Counter(map(_ending, self.passed_over)).items()))

    def notes(self) -> list[str]:
        """What was passed over, in words: "passed over: 2 .csv, 1 .svg"."""
        notes = passed_over(self.counts())
        if self.tables:
            count = len(self.tables)
            notes.append(f"{count} .csv with drawings passed over: name a .csv for it to be read")
        if self.repeated:
            notes.append(f"read once: {len(self.repeated)} other names of files that are read")
        return notes


def passed_over(counts: Mapping[str, int]) -> list[str]:
    """A note about files that no reader takes, such as "passed over: 2 .csv, 1 folder"; or none.

    counts: by extension, or the word "folder".
    """
    listed = [
        f"{count} {'folders' if name == 'folder' and count > 1 else name}"
        for name, count in sorted(counts.items())
        if count
    ]
    return [f"passed over: {', '.join(listed)}"] if listed else []


def find(sources: Iterable[Path | str]) -> list[Path]:
    """The sketch files that `survey` finds; raises what it raises."""
    return survey(sources).paths


def survey(sources: Iterable[Path | str], *, skip: Path | None = None) -> Survey:
    """All sketch files: those named, and those in folders at any depth, through links as well.

    A real folder and a real file count once, however many links lead there. A .json or .jsonl in a
    folder counts where it holds drawings; a .csv counts as well where there is nothing else: next
    to other sketch files a table is more often an index of them. An .svg counts where its source
    has no other sketch files: next to them it is more often a figure.
    sources: files and folders.  skip: a folder that is not looked into.
    Raises DataError where a source does not exist, a named file's extension is not a known one, a
    folder cannot be read, a name is not UTF-8, or nothing is found.
    """
    named, others, tables = [], [], []
    seen = set() if skip is None or not skip.exists() else {_identity(skip)}
    sources = [Path(source) for source in sources]
    for source in sources:
        if source.is_dir():
            before, figures = len(named), []
            for path in files_of(source, seen):
                if path.name.lower().endswith(SVG):
                    figures.append(path)
                    continue
                kind = others if not holds_drawings(path) else tables if _is_table(path) else named
                kind.append(path)
            (named if len(named) == before else others).extend(figures)
        elif not source.exists():
            raise DataError(f"{source} does not exist; name a sketch file or a folder of them")
        elif not source.is_file():
            raise DataError(f"{source} is neither a file nor a folder; write it to a file first")
        elif not _known(source):
            hint = _HINTS.get(_ending(source), "")
            raise DataError(f"{source}: unknown format{hint}; known are {', '.join(EXTENSIONS)}")
        else:
            named.append(source)
    if not named:
        named, tables = tables, []
    paths, repeated = _once(named)
    for path in paths:
        if not _is_text(str(path)):  # the manifest keeps the names
            raise DataError(f"{str(path)!r}: the file's name is not UTF-8; rename it")
    passed = {*others, *tables} - {*paths}
    found = Survey(paths, sorted(passed), sorted(passed.intersection(tables)), repeated)
    if not paths:
        where = ", ".join(map(str, sources)) or "no folder or file at all"
        passed = "".join(f" ({note})" for note in found.notes())
        endings: dict[str, list[str]] = {}
        for ending in sorted({_ending(path) for path in found.passed_over} & {*_HINTS}):
            endings.setdefault(_HINTS[ending], []).append(ending)
        more = "".join(f"; {', '.join(own)}{hint}" for hint, own in endings.items())
        raise DataError(f"no sketch files ({', '.join(EXTENSIONS)}) in {where}{passed}{more}")
    return found


def files_of(root: Path, seen: set[tuple[int, int]] | None = None) -> Iterator[Path]:
    """The files of a folder that are not hidden, at any depth and through links.

    seen: folders that are not looked into, to which the others are added.

    Links come last, so that a file is found under its own name where it has one here.
    """
    folders, links, seen = [root], [], set() if seen is None else seen
    while folders or links:
        folder = folders.pop() if folders else links.pop()
        try:
            if _identity(folder) in seen:
                continue
            seen.add(_identity(folder))
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise DataError(f"cannot read the folder {folder}: {error.strerror}") from None
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if Path(entry.path).is_dir():  # unlike entry.is_dir, no error for a link to itself
                (links if entry.is_symlink() else folders).append(Path(entry.path))
            else:
                yield Path(entry.path)


def _once(named: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """The paths without other names of the same file; and those names."""
    chosen: dict[tuple[int, int], Path] = {}
    repeated = set()
    # A file's own name goes before a link to it.
    for path in sorted(set(named), key=lambda path: (path.is_symlink(), path)):
        first = chosen.setdefault(_identity(path), path)
        if first != path:
            repeated.add(path)
    return sorted(chosen.values()), sorted(repeated)


def _identity(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_dev, state.st_ino


def _known(path: Path) -> bool:
    return path.name.lower().endswith(EXTENSIONS) and not path.name.startswith(".")


def holds_drawings(path: Path) -> bool:
    """Whether a file of a folder is one of sketches, by its name and, where need be, content.

    SVG files are not looked at: next to photos they are more often figures.
    """
    if not _known(path) or not path.is_file():
        return False
    if _is_table(path):
        return has_drawings(head_of(path, _LOOK_AT))
    if path.name.lower().removesuffix(".gz").endswith((".json", ".jsonl")):
        head = head_of(path, _LOOK_AT).lstrip(b"\xef\xbb\xbf \t\r\n")
        return head.startswith((b"{", b"[")) and b'"drawing"' in head
    return True


def _is_table(path: Path) -> bool:
    return path.name.lower().endswith((".csv", ".csv.gz"))


def _ending(path: Path) -> str:
    if not path.exists():
        return "broken link"
    if not path.is_file():
        return "pipe or device"
    suffixes = path.suffixes[-2:] if path.suffix.lower() == ".gz" else path.suffixes[-1:]
    return "".join(suffixes).lower() or "without extension"


def _is_text(name: str) -> bool:
    """Whether a name of the file system is text: Python stores other bytes as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
