"""Plain or gzip files, read in bounded blocks and written whole or not at all."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, cast

from sketchjax.data.sources.records import Refused
from sketchjax.errors import DataError, on_disk

BLOCK = 1 << 18  # 256 KiB: some 500 drawings; larger blocks read no faster
# Of text, in bytes. A drawing has a bound of its own; the rest is for fields that are not read.
LONGEST_LINE = 16 << 20
_ALWAYS_FINE = 16 << 20  # bytes
_MOST_GROWTH = 100
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
    """Open a plain or gzip file for reading; its first bytes say which it is.

    Raises DataError where the file cannot be opened.
    """
    try:
        raw = path.open("rb")
    except IsADirectoryError:
        raise DataError(f"cannot open {path}: it is a folder; give one file") from None
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
    """Blocks of about 256 KiB until the end; what precedes damage is delivered first.

    Raises Refused where a gzip stream breaks ("truncated", "unreadable") or swells ("too_large").
    """
    while True:
        block, broken = _block(file)
        if block:
            yield block
        if broken is not None:
            raise broken
        if not block:
            return


def lines(file: IO[bytes], longest: int) -> Iterator[tuple[int, bytes | Refused, int]]:
    """Number from 1, content and size of each line that is not blank; Refused for one too long.

    No line longer than `longest` bytes is ever held in memory. Refused is also the last item where
    the file cannot be read to its end.
    """
    place, parts, size = 1, [], 0
    try:
        for block in blocks(file):
            for number, piece in enumerate(block.split(b"\n")):
                if number:  # the line before it has ended
                    line = b"".join(parts)
                    if line and not line.isspace():
                        yield place, line, len(line)
                    place, parts, size = place + 1, [], 0
                if size <= longest < size + len(piece):
                    reason = f"the line is longer than {longest:,} bytes"
                    yield place, Refused("too_large", reason), 0
                size += len(piece)
                parts.append(piece)
                if size > longest:
                    parts.clear()
    except Refused as refused:
        yield place, refused, 0
        return
    line = b"".join(parts)
    if line and not line.isspace():
        yield place, line, len(line)


def text_lines(
    file: IO[bytes], longest: int, refuse: Callable[[int, Refused], None]
) -> Iterator[str]:
    """Lines as text for `csv`, without a byte order mark; blank ones too, so that it counts right.

    refuse: called with the place of a line that cannot be read; reading ends there.
    """
    expected = 1
    for place, line, _ in lines(file, longest):
        text = line if isinstance(line, Refused) else decoded(line, place)
        if isinstance(text, Refused):
            return refuse(place, text)
        yield from [""] * (place - expected)
        expected = place + 1
        yield text


def decoded(line: bytes, place: int) -> str | Refused:
    """A line as text that ends in a line feed, without the first one's byte order mark.

    Refused where it is not UTF-8: any other reading of it could give two names one spelling.
    """
    try:
        text = line.removeprefix(b"\xef\xbb\xbf" if place == 1 else b"").decode()
    except UnicodeDecodeError as error:
        return Refused("unreadable", f"not UTF-8: {error}; save the file as UTF-8")
    return text.rstrip("\r") + "\n"


def swollen(before: int, after: int) -> bool:
    """Whether a compressed stream grew, from bytes before to bytes after, as no drawings do.

    Drawings shrink to a third or a fifth, zeros to a thousandth: 10 MB of file become 10 GB.
    """
    return after > _ALWAYS_FINE and after > _MOST_GROWTH * before


def _block(file: IO[bytes]) -> tuple[bytes, Refused | None]:
    """About a block of bytes, and what is wrong after them.

    gzip returns some 8 KB at a time of data that it could not shrink. They are joined here, so that
    a long record does not consist of many blocks.
    """
    # read1 returns what one decompression gave, so nothing is lost when the next one fails.
    read = getattr(file, "read1", file.read)
    parts: list[bytes] = []
    wanted = BLOCK
    while wanted > 0:
        try:
            part = read(wanted)
        except (EOFError, zlib.error, OSError) as error:  # BadGzipFile is an OSError
            return b"".join(parts), _broken(error)
        if not part:
            break
        parts.append(part)
        wanted -= len(part)
    raw = cast(IO[bytes], file.fileobj) if isinstance(file, gzip.GzipFile) else None
    if raw is not None and swollen(raw.tell(), file.tell()):
        reason = f"the gzip stream swells to more than {file.tell() >> 20} MB: no drawings do that"
        return b"".join(parts), Refused("too_large", reason)
    return b"".join(parts), None


def _broken(error: Exception) -> Refused:
    if isinstance(error, EOFError):
        return Refused("truncated", "the gzip stream ends too early: the file is cut short")
    if isinstance(error, gzip.BadGzipFile | zlib.error):
        return Refused("unreadable", f"the gzip stream is damaged: {error}")
    return Refused("unreadable", f"the disk gave an error: {getattr(error, 'strerror', error)}")


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing under a temporary name; it takes its real name when it is whole.

    It is compressed where the name ends in .gz, without time or name, so that equal content gives
    equal bytes. Raises DiskError where it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with on_disk(f"{path} cannot be written"):
        try:
            with temporary.open("wb") as raw:
                if path.suffix == ".gz":
                    with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
                        yield cast(IO[bytes], file)
                else:
                    yield raw
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):  # what went wrong first matters
                temporary.unlink()
            raise
