"""Files and folders that are complete or absent, sha256, and how we read and write JSON."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
import orjson

from sketchjax.errors import DataError, InUseError, SketchjaxError, on_disk

_Kind = TypeVar("_Kind")

# Numbers and arrays of numpy are written as they are; integers may be keys.
JSON_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def write_whole(path: Path, content: bytes) -> None:
    """Write a file completely or not at all: temporary file, fsync, rename, fsync of the folder.

    A reader, or a run killed at any moment, finds the old content or the new, never a part of it.
    Missing folders are created. A file keeps its mode, and a symbolic link leads to what is new.
    Two processes must not write the same file at the same time.
    Raises OSError when the disk refuses, and leaves the old file as it was.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    # Always the same name: the next write replaces what a killed run left behind.
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            _keep_mode(path, file.fileno())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _keep_mode(path: Path, descriptor: int) -> None:
    """Give an open file the mode of another one, where that exists."""
    with suppress(FileNotFoundError):
        mode = stat.S_IMODE(path.stat().st_mode)
        # Some file systems have one mode for all files, and refuse to set any.
        if mode != stat.S_IMODE(os.fstat(descriptor).st_mode):
            os.fchmod(descriptor, mode)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to write to, which gets its name where the block ends without an error.

    Otherwise nothing remains of it. Raises as `check_absent` and `sole_writer` do; DiskError.
    """
    with on_disk(f"{folder} cannot be written"), sole_writer(folder):
        check_absent(folder)
        final = folder.resolve()
        partial = final.with_name(f".{final.name}.part")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            yield partial
            partial.rename(final)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        sync_folder(final.parent)


def check_absent(folder: Path) -> None:
    """Raise DataError where the folder to write is there already, unless it is empty."""
    with on_disk(f"{folder} cannot be written"):
        if not folder.exists():
            return
        # An empty folder is replaced; a shell that is in it would not see the new one.
        if not folder.is_dir() or folder.samefile(os.curdir) or any(folder.iterdir()):
            raise DataError(f"{folder} exists already; name another folder, or delete it first")


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder to write, which a process loses however it ends.

    The lock is a file next to the folder, removed at the end. Missing parents are created.
    Raises InUseError when another process holds it.
    """
    final = folder.resolve()
    final.parent.mkdir(parents=True, exist_ok=True)
    lock = final.with_name(f".{final.name}.lock")
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not take_lock(descriptor):
                raise InUseError(
                    f"{folder} is in use by another process, which writes it; wait until that has "
                    "finished, or stop it"
                )
            # Its last holder may have removed the file since it was opened.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), lock.stat()):
                    break
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def take_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file until it is closed; False, at once, where another holder excludes it.

    Two descriptors of one process exclude each other too. Raises OSError where the file system has
    no locks.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


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
