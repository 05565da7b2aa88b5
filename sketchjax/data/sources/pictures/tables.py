"""The tables of a picture folder: pairs, splits, and names of categories."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from sketchjax.data.sources.categories import canonical
from sketchjax.data.sources.records import Refused
from sketchjax.data.sources.stream import text_lines
from sketchjax.errors import DataError

LONGEST_LINE = 4_096  # bytes: three paths


@dataclass(frozen=True)
class Table:
    """The rows of a CSV file, each with its line, and the file's sha256."""

    path: Path
    rows: list[tuple[int, list[str]]] = field(default_factory=list)
    digest: str = ""


def read_table(path: Path, columns: Sequence[str], more: bool = False) -> Table:
    """Read a CSV file with these columns.

    more: whether the file may have further columns, and others' names; then only their number
      counts.
    Raises DataError, with the line, where it is missing or malformed.
    """

    def refuse(place: int, refused: Refused) -> NoReturn:
        raise DataError(f"{path}, line {place}: {refused.reason}; expected {','.join(columns)}")

    def cells_of(line: int, text: str) -> list[str]:
        # One line at a time: after a stray quote, all lines up to the next one would be one cell.
        try:
            return next(csv.reader([text], strict=True), [])
        except csv.Error as error:
            raise DataError(f"{path}, line {line}: not valid CSV: {error}") from None

    def rows_of(lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
        numbered = enumerate(lines, 1)
        heading = [cell.strip() for cell in cells_of(*next(numbered, (1, "")))]
        if len(heading) < len(columns) if more else heading != list(columns):
            raise DataError(
                f"{path}, line 1: the file must start with the line {','.join(columns)}"
            )
        for line, text in numbered:
            if not (row := cells_of(line, text)):
                continue
            if len(row) != len(heading):
                found = f"{len(heading)} columns expected, found {len(row)}"
                raise DataError(f"{path}, line {line}: {found}")
            yield line, row[: len(columns)]

    try:
        with path.open("rb") as file:
            found = list(rows_of(text_lines(file, LONGEST_LINE, refuse)))
            file.seek(0)
            return Table(path, found, hashlib.file_digest(file, "sha256").hexdigest())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def read_names(path: Path) -> dict[str, str]:
    """The first two columns of a CSV file: a category's name in the source, and the one to use.

    Both in the spelling of `canonical`.  Raises DataError where one name has two others.
    """
    names: dict[str, str] = {}
    for line, row in read_table(path, ("category", "name"), more=True).rows:
        old, new = map(canonical, row)
        if not new:
            continue  # a category that has no other name
        if names.setdefault(old, new) != new:
            raise DataError(f"{path}, line {line}: {old!r} is also {names[old]!r}; keep one")
    return names
