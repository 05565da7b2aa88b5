"""Opening an index in a folder: only where it is whole, and what was last written."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from sketchjax.errors import BrokenIndexError, DataError
from sketchjax.index.database import DATABASE, REMEDY
from sketchjax.index.details import Room
from sketchjax.index.engine import Description
from sketchjax.index.memory import Memory
from sketchjax.index.store import VERSION, Store
from sketchjax.memory import free_bytes

_SHARE_OF_MEMORY = 0.25  # of what is free: points that need more are read from the file
_DETAIL_BYTES = 28  # of an item in memory, without its points


def open_index(folder: Path, *, read_only: bool = True) -> Memory:
    """The index in a folder, in memory, checked; its changes are written to the folder.

    folder: of the index.
    read_only: whether nothing may change; then any number of processes can open it.
    Raises InUseError when another process holds it, and DataError when there is none, it is
    damaged, or its building has not finished.
    """
    return _open(folder, read_only=read_only)


def verify(folder: Path) -> Description:
    """Check everything in an index against what was written; returns what it holds.

    Raises DataError where something differs, and as `open_index` does.
    """
    with closing(_open(folder, read_only=True, details=True)) as engine:
        return engine.snapshot().describe()


def _open(folder: Path, *, read_only: bool, details: bool = False) -> Memory:
    store = open_store(folder, read_only=read_only)
    try:
        room = store.size()
        size = room.items * _DETAIL_BYTES + room.points * 3
        in_memory = size < free_bytes() * _SHARE_OF_MEMORY
        if not read_only:  # as `Column` reserves when it grows
            room = Room(*(number + number // 2 for number in room))
        return Memory(
            store.describe(),
            store.parts(points=in_memory, details=details),
            room=room,
            storage=store,
            details=None if in_memory else store,
            thumbnails=store.thumbnail,
            photos=store.photos(),
            deleted=store.deleted(),
            next_id=store.next_id,
            read_only=read_only,
        )
    except BaseException:
        store.close()
        raise


def open_store(folder: Path, *, read_only: bool = True) -> Store:
    """The database of a finished index; raises as `open_index` does, but looks at no drawings."""
    if not (folder / DATABASE).is_file():
        what = "is a file" if folder.is_file() else "is not there" if not folder.exists() else ""
        raise DataError(
            f"{folder} {what or f'has no {DATABASE}'}; give the folder that `sketchjax index` wrote"
        )
    store = Store(folder, read_only=read_only)
    try:
        _check_version(store)
    except BaseException:
        store.close()
        raise
    return store


def _check_version(store: Store) -> None:
    """Raise DataError where the database is not the one that was last written."""
    path = store.folder / VERSION
    if not store.meta.complete:
        raise DataError(
            f"building {store.folder} has not finished; rerun the command that built it"
        )
    try:
        version = int(path.read_bytes().decode("ascii"))
    except (OSError, ValueError) as error:
        raise BrokenIndexError(f"{path} cannot be read ({error}); {REMEDY}") from error
    # A process that is killed between the two leaves the database one change ahead.
    if store.meta.version not in (version, version + 1):
        raise BrokenIndexError(
            f"{store.folder} is damaged: its database is at change {store.meta.version} and {path} "
            f"says {version}; {REMEDY}"
        )
    if store.meta.version != version and not store.read_only:
        store.seal()
