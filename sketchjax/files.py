"""Files that are whole or not there, and the sha256 by which one is known."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import numpy as np
import orjson

# Numpy's numbers and arrays may be written as they are; keys that are numbers become text.
JSON_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in place whole or not at all: temporary file, fsync, rename, fsync of the folder.

    A reader, or a run killed at any moment, meets the old content or the new, never a part; folders
    on the way are made. Two processes at once must not write one file.
    Raises OSError where the disk refuses, and leaves the old file as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # One name for all: what a kill leaves of a file goes when the file is written again.
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
    """Flush a folder's names to the disk, so that a rename outlives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_array(path: Path, array: np.ndarray) -> None:
    """Write a .npy file as `write_whole` does."""
    content = io.BytesIO()
    np.save(content, array)
    write_whole(path, content.getvalue())


def sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def safetensors_metadata(content: bytes) -> dict[str, str]:
    """The metadata of a safetensors file's bytes: its header of JSON comes first.

    Raises ValueError when the header is not such JSON.
    """
    header = orjson.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return header.get("__metadata__", {}) if isinstance(header, dict) else {}
