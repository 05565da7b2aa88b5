"""Files that are complete or absent, their sha256, and how we read and write JSON."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
import orjson

from sketchjax.errors import DataError, SketchjaxError

_Kind = TypeVar("_Kind")

# Numbers and arrays of numpy are written as they are; integers may be keys.
JSON_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def write_whole(path: Path, content: bytes) -> None:
    """Write a file completely or not at all: temporary file, fsync, rename, fsync of the folder.

    A reader, or a run killed at any moment, finds the old content or the new, never a part of it.
    Missing folders are created. Two processes must not write the same file at the same time.
    Raises OSError when the disk refuses, and leaves the old file as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Always the same name: the next write replaces what a killed run left behind.
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that a rename survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_array(path: Path, array: np.ndarray) -> None:
    """Write a .npy file with `write_whole`."""
    content = io.BytesIO()
    np.save(content, array)
    write_whole(path, content.getvalue())


def sha256(path: Path) -> str:
    """The sha256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(
    path: Path, kind: type[_Kind], *, remedy: str, error: type[SketchjaxError] = DataError
) -> _Kind:
    """The content of a JSON file as one kind of value.

    remedy: ends the message. Raises `error` where the file is missing, damaged or of another kind.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError) as reason:
        raise error(f"{path} cannot be read ({reason}); {remedy}") from reason
