"""Sketch files of every known format, read as ragged chunks and written back.

Known: QuickDraw's ndjson, simplified and raw, and .bin, each plain or gzip; sketch-rnn's .npz.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from sketchjax.data.sketch import Sketches
from sketchjax.data.sources.binary import read_binary
from sketchjax.data.sources.ndjson import read_ndjson, write_ndjson
from sketchjax.data.sources.records import KINDS, BadRecord, BadRecords, key_of_points, wrong_name
from sketchjax.data.sources.stream import head_of, opened
from sketchjax.data.sources.stroke3 import read_stroke3, write_stroke3
from sketchjax.errors import DataError

__all__ = [
    "EXTENSIONS",
    "KINDS",
    "BadRecord",
    "category_of_name",
    "find",
    "key_of_points",
    "read",
    "write_ndjson",
    "write_stroke3",
]

EXTENSIONS = (".ndjson", ".ndjson.gz", ".bin", ".bin.gz", ".npz")


def read(
    path: Path | str,
    *,
    category: str | None = None,
    on_bad: Callable[[BadRecord], None] | None = None,
    chunk: int = 4096,
) -> Iterator[Sketches]:
    """Stream the sketches of one file in chunks of 1 to `chunk` sketches, in the file's order.

    The format is told by the name and the first bytes. Memory does not grow with an ndjson or .bin
    file; an .npz has one of its three arrays in memory at a time (2 GiB at most).
    category: given to every sketch; without it, the `word` of an ndjson record, else the name of
      the file (`category_of_name`).
    on_bad: called with each record that cannot be used, and reading goes on after it, or ends where
      nothing beyond can be read. Without it the first bad record raises DataError.
    Raises DataError also where the file cannot be opened or its format is not known.
    """
    if chunk < 1:
        raise ValueError(f"chunk={chunk}: a chunk holds at least one sketch")
    path = Path(path)
    form = _form_of(path)
    name = category or category_of_name(path)
    if wrong := wrong_name(name):
        raise DataError(f"{str(path)!r}: the category {name[:50]!r} {wrong}; rename the file")
    if form == "npz":
        with path.open("rb") as file:
            yield from read_stroke3(file, BadRecords(path, "record", on_bad), name, chunk)
        return
    with opened(path) as file:
        if form == "bin":
            yield from read_binary(file, BadRecords(path, "record", on_bad), name, chunk)
        else:
            yield from read_ndjson(file, BadRecords(path, "line", on_bad), category, name, chunk)


def find(sources: Iterable[Path | str]) -> list[Path]:
    """All sketch files of known extensions: those named, and those in folders at any depth.

    Sorted, each once. Raises DataError where a source does not exist, a named file's extension is
    not a known one, a name is not UTF-8, or nothing is found.
    """
    found: set[Path] = set()
    sources = [Path(source) for source in sources]
    for source in sources:
        if source.is_dir():
            found.update(path for path in source.rglob("*") if _known(path) and path.is_file())
        elif not source.exists():
            raise DataError(f"{source} does not exist; name a sketch file or a folder of them")
        elif not _known(source):
            raise DataError(f"{source}: unknown format; known are {', '.join(EXTENSIONS)}")
        else:
            found.add(source)
    for path in found:
        if not _is_text(str(path)):  # the manifest keeps the names
            raise DataError(f"{str(path)!r}: the file's name is not UTF-8; rename it")
    if not found:
        where = ", ".join(map(str, sources)) or "no folder or file at all"
        raise DataError(f"no sketch files ({', '.join(EXTENSIONS)}) in {where}")
    return sorted(found)


def category_of_name(path: Path | str) -> str:
    """The category that a file's name stands for: `sketchrnn_cat.full.npz` is `cat`."""
    name = Path(path).name
    for suffix in (*EXTENSIONS, ".gz"):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    name = name.removeprefix("sketchrnn_").removeprefix("full_simplified_")
    for suffix in (".full", ".raw", ".simplified"):
        name = name.removesuffix(suffix)
    return name or "unnamed"


def _known(path: Path) -> bool:
    return path.name.lower().endswith(EXTENSIONS) and not path.name.startswith(".")


def _is_text(name: str) -> bool:
    """Whether a name of the file system is text: Python gives other bytes as halves of pairs."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _form_of(path: Path) -> str:
    """The format of a file: ndjson, bin or npz. Raises DataError where it is none of them."""
    name = path.name.lower().removesuffix(".gz")
    head = head_of(path)
    if head.startswith(b"PK\x03\x04") and not path.name.lower().endswith(".bin"):
        if name.endswith(".ndjson") or path.name.lower().endswith(".gz"):
            raise DataError(f"{path} is a zip archive inside; name it .npz, not compressed again")
        return "npz"
    for form in ("ndjson", "bin", "npz"):
        if name.endswith(f".{form}"):
            if form == "npz" and not head.startswith(b"PK"):
                raise DataError(f"{path} is not a zip archive: not a sketch-rnn .npz; get it again")
            return form
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return "ndjson"
    raise DataError(
        f"{path}: unknown format; known are QuickDraw's .ndjson and .bin (plain or .gz) "
        "and sketch-rnn's .npz"
    )
