"""Bytes in from plain or gzip files in bounded blocks, and out whole or not at all."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from sketchjax.data.formats.records import Refused
from sketchjax.errors import DataError

BLOCK = 1 << 18  # 256 KiB: some 500 drawings; larger blocks read no faster
_GZIP_MAGIC = b"\x1f\x8b\x08"  # with the method byte: a .bin may start with the first two by chance


def head_of(path: Path, size: int = 64) -> bytes:
    """The first bytes of a file, decompressed where it is gzip; b"" where nothing can be read."""
    with opened(path) as file:
        try:
            return file.read(size)
        except (EOFError, OSError, zlib.error):
            return b""


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a plain or gzip file to read, told apart by its first bytes.

    Raises DataError where the file cannot be opened.
    """
    try:
        raw = path.open("rb")
    except OSError as error:
        raise DataError(
            f"cannot open {path}: {error.strerror}; check the name and permissions"
        ) from None
    with raw:
        try:
            compressed = raw.read(3) == _GZIP_MAGIC
            raw.seek(0)
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}") from None
        if compressed:
            with gzip.GzipFile(fileobj=raw) as file:
                yield cast(IO[bytes], file)
        else:
            yield raw


def blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Blocks of at most 256 KiB until the end; everything before a damage is delivered first.

    Raises Refused ("truncated" or "unreadable") where a gzip stream breaks.
    """
    # read1 hands out what one decompression gave, so nothing is lost when the next one fails.
    read = getattr(file, "read1", file.read)
    while True:
        try:
            block = read(BLOCK)
        except EOFError:
            raise Refused(
                "truncated", "the gzip stream ends too early: the file is cut short"
            ) from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise Refused("unreadable", f"the gzip stream is damaged: {error}") from None
        except OSError as error:
            raise Refused("unreadable", f"the disk gave an error: {error.strerror}") from None
        if not block:
            return
        yield block


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to write under a temporary name; it takes its own name only when it is whole.

    Compressed where the name ends in .gz, without time or name, so that equal content gives equal
    bytes. Raises DataError where the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        raw = temporary.open("wb")
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}; check the folder") from None
    try:
        with raw:
            if path.suffix == ".gz":
                with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
                    yield cast(IO[bytes], file)
            else:
                yield raw
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
