"""Arrays that grow at their end, of which the large ones are the system's to page out."""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import Any

import numpy as np

# Bytes beyond which an array is a file without a name. Its pages are cached as any file's, so that
# it is as fast as memory while there is some, and is not what a process is killed for.
_MAPPED = 1 << 30
_PART = 1 << 20  # rows that are copied at once


class Column:
    """Rows of which there will be more; what was taken from them before never changes.

    dtype: of the rows.
    shape: of a row.
    room: rows for which there is room at first. Where it is not used it costs nothing.
    """

    def __init__(self, dtype: Any, shape: tuple[int, ...] = (), room: int = 0):
        self._room, self.count = _empty((room, *shape), dtype), 0

    @property
    def values(self) -> np.ndarray:
        """All rows, as a view."""
        return self._room[: self.count]

    def append(self, more: np.ndarray) -> None:
        """Add rows; half as much again is reserved, so that they cost the same however many."""
        count = self.count + len(more)
        if count > len(self._room):
            room = _empty((count + count // 2, *self._room.shape[1:]), self._room.dtype)
            room[: self.count] = self.values
            self._room = room
        self._room[self.count : count] = more
        self.count = count

    def copy(self) -> Column:
        """The same rows with as much room, to be changed before anybody sees them."""
        return self.kept(None)

    def kept(self, keep: np.ndarray | None) -> Column:
        """Some of the rows, bool[n], or all, with as much room."""
        kept = Column(self._room.dtype, self._room.shape[1:], len(self._room))
        for start in range(0, self.count, _PART):
            part = slice(start, min(start + _PART, self.count))
            kept.append(self._room[part] if keep is None else self._room[part][keep[part]])
        return kept


def _empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array without content: in memory, or in a file of $TMPDIR where it is a large one."""
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if size <= _MAPPED:
        return np.empty(shape, dtype)
    try:
        with tempfile.TemporaryFile() as file:
            # Reserved now: a disk that is full later would end the process.
            os.posix_fallocate(file.fileno(), 0, size)
            return np.frombuffer(mmap.mmap(file.fileno(), size), dtype).reshape(shape)
    except (OSError, AttributeError):  # no room, or a system that cannot reserve it
        return np.empty(shape, dtype)
