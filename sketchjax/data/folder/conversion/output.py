"""The folder that a conversion writes: whether it may, what is finished there, what is stale."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sketchjax.data import sources as formats
from sketchjax.data.folder.manifest import (
    INDEX_PATTERN,
    NAME,
    SHARD_PATTERN,
    Manifest,
    differences,
    listed,
)
from sketchjax.data.sources.pictures import is_pictures
from sketchjax.errors import DataError

PARTIAL = ".partial"
NAME_OUT = "name the folder to write after the sources: sketchjax convert SOURCE... OUT"


def check_out(out: Path) -> None:
    """Raise DataError if `out` is a file or holds drawings: then it was hardly meant as `out`."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; {NAME_OUT}")
    if not out.is_dir() or (out / NAME).exists():
        return
    if is_pictures(out):
        raise DataError(f"{out} is a folder of pictures, not a data folder; {NAME_OUT}")
    try:
        found = [path.relative_to(out) for path in formats.find([out])]
    except DataError:  # it holds none
        return
    drawings = [path for path in found if PARTIAL not in path.parts]
    if drawings:
        raise DataError(
            f"{out} holds drawings ({drawings[0]}) and no {NAME}: it is not a data folder; "
            f"{NAME_OUT}"
        )


def finished(out: Path, settings: dict[str, Any], sources: list[dict]) -> Manifest | None:
    """The manifest of a finished conversion in `out`, or None.

    Raises DataError if it is not the conversion asked for.
    """
    if not (out / NAME).exists():
        return None
    manifest = Manifest.load(out)
    lines = differences(manifest.settings, settings)
    there = {source["name"]: source["bytes"] for source in manifest.sources}
    asked = {source["name"]: source["bytes"] for source in sources}
    lines += differences(there, asked, "source file ")
    if lines:
        raise DataError(
            f"{out} holds another conversion; name another folder, or delete it first. "
            f"They differ in:\n{listed(lines, 10)}"
        )
    for shard in manifest.files():
        path = out / shard.name
        if not path.is_file() or path.stat().st_size != shard.bytes:
            raise DataError(f"{path} is missing or cut short; delete {out} and convert again")
    return manifest


@contextmanager
def working_folder(out: Path) -> Iterator[Path]:
    """The folder of unfinished work, locked against a second conversion to the same place.

    It is removed at the end, but kept after an error or a kill.
    """
    partial = out / PARTIAL
    try:
        partial.mkdir(parents=True, exist_ok=True)
        lock = (partial / "lock").open("w")
    except OSError as error:
        raise DataError(f"cannot write to {out}: {error.strerror}; check the folder") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(
                f"another conversion is writing to {out}; wait until it finishes"
            ) from error
        try:
            yield partial
        except OSError as error:
            raise DataError(f"cannot write to {out}: {error}; finished work is kept") from error
        shutil.rmtree(partial)


def remove_stale(out: Path, manifest: Manifest) -> None:
    """Delete files that a stopped conversion with other settings left behind."""
    current = {file.name for file in manifest.files()}
    for path in out.iterdir():
        ours = SHARD_PATTERN.fullmatch(path.name) or INDEX_PATTERN.fullmatch(path.name)
        if ours and path.name not in current:
            path.unlink()
