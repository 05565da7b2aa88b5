"""Reading a CSV file that says which sketch belongs to which split."""

from __future__ import annotations

import csv
import hashlib
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NoReturn

import numpy as np

from sketchjax.data.sources.records import Refused, key_of_text
from sketchjax.data.sources.stream import text_lines
from sketchjax.errors import DataError

LONGEST_LINE = 200  # bytes; a key_id has 20 digits


def read_split_file(path: Path, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray, str]:
    """Read a CSV file with the heading `key_id,split`, one sketch per line.

    names: the splits.
    Returns the key_ids u64[m], rising; the index of each one's split i8[m]; the file's sha256.
    Raises DataError, with the line, if it is missing, malformed, or names a sketch twice.
    """
    try:
        with path.open("rb") as file:
            key_ids, splits = split_rows(path, file, names)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: the split file cannot be read: {error}") from error
    order = np.argsort(key_ids, kind="stable")
    key_ids, splits = key_ids[order], splits[order]
    twice = np.flatnonzero(key_ids[1:] == key_ids[:-1])
    if len(twice):
        raise DataError(f"{path}: key_id {key_ids[twice[0]]} occurs twice in the split file")
    return key_ids, splits, digest


def split_rows(path: Path, file: IO[bytes], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The key_ids u64[m] and splits i8[m] of an open split file, in its order.

    Raises DataError, with the line, if one is malformed.
    """

    def refuse(place: int, refused: Refused) -> NoReturn:
        raise DataError(f"{path}, line {place}: {refused.reason}; expected a key_id and a split")

    rows = csv.reader(text_lines(file, LONGEST_LINE, refuse))
    # 9 bytes per row; a list of lists takes 300.
    key_ids, splits = array("Q"), array("b")
    try:
        if [cell.strip() for cell in next(rows, [])] != ["key_id", "split"]:
            raise DataError(f"{path}, line 1: a split file starts with the line 'key_id,split'")
        for row in filter(None, rows):
            key_id, split = _row(path, rows.line_num, row, names)
            key_ids.append(key_id)
            splits.append(split)
    except csv.Error as error:
        raise DataError(f"{path}, line {rows.line_num}: not valid CSV: {error}") from None
    return np.frombuffer(key_ids, np.uint64), np.frombuffer(splits, np.int8)


def _row(path: Path, line: int, row: list[str], names: Sequence[str]) -> tuple[int, int]:
    """The key_id and split index of one line of a split file."""
    if len(row) != 2:
        raise DataError(f"{path}, line {line}: two columns expected, found {len(row)}")
    key_id, split = (cell.strip() for cell in row)
    number = key_of_text(key_id)
    if number is None:
        raise DataError(f"{path}, line {line}: key_id {key_id!r} is empty or has lost digits")
    if split not in names:
        raise DataError(f"{path}, line {line}: split {split!r} is not one of {', '.join(names)}")
    return number, names.index(split)
