"""Members of a zip archive that may be damaged or hostile, read in bounded memory."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from sketchjax.data.sources.records import Refused
from sketchjax.data.sources.stream import swollen

# A whole array of sketches is in memory at once; Google's largest (.full.npz) takes about 200 MB.
LARGEST_MEMBER = 512 << 20
_LARGEST_READ = 1 << 20


class _Bounded(io.BufferedIOBase):
    """A file that returns at most 1 MiB per read.

    `zipfile` reads the list of an archive's members in one piece, however long it claims to be, and
    makes ten times as much of it. Through this a longer list (22,000 members) looks truncated.
    """

    def __init__(self, file: IO[bytes]):
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        asked = _LARGEST_READ if size is None or size < 0 else min(size, _LARGEST_READ)
        return self._file.read(asked)


@contextmanager
def open_archive(file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive.  Raises Refused ("truncated") where it is damaged."""
    try:
        archive = zipfile.ZipFile(_Bounded(file))  # type: ignore[arg-type]
    except Exception as error:  # A damaged archive can fail in any of a dozen ways.
        raise Refused(
            "truncated", f"the zip archive is cut short or damaged: {_said(error)}"
        ) from None
    with archive:
        yield archive


def member(archive: zipfile.ZipFile, name: str) -> bytes:
    """The content of a member.  Raises Refused where it is damaged, or too large for sketches."""
    entry = archive.getinfo(name)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # Other methods take as much memory as the archive asks for, before the first byte.
        raise Refused("unreadable", f"{name} is compressed in a way that numpy does not use")
    if entry.file_size > LARGEST_MEMBER or swollen(entry.compress_size, entry.file_size):
        raise Refused(
            "too_large",
            f"{name} would take {entry.file_size:,} bytes out of {entry.compress_size:,}",
        )
    try:
        with archive.open(entry) as file:
            content = file.read(LARGEST_MEMBER + 1)
    except Exception as error:
        raise Refused("unreadable", f"{name} cannot be read: {_said(error)}") from None
    if len(content) != entry.file_size:
        raise Refused("truncated", f"{name} is cut short: {len(content):,} bytes of it are there")
    return content


def _said(error: Exception) -> str:
    return f"{error}"[:100] or error.__class__.__name__
