"""The index in memory, with snapshots by copy-on-write.

Arrays only grow at their end, where no snapshot looks, and a delete replaces the labels by a copy
in which the deleted items have a label of their own. So a snapshot is a few references, and readers
wait for nobody.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Protocol

import numpy as np
from msgspec.structs import replace

from sketchjax.errors import DataError, SketchjaxError
from sketchjax.index.columns import Column
from sketchjax.index.details import Details, DetailsInMemory, Room
from sketchjax.index.engine import (
    Description,
    Items,
    Numbering,
    check_categories,
    check_widths,
    possible,
)
from sketchjax.index.memory_snapshot import DELETED, MemorySnapshot
from sketchjax.retrieval.index import units
from sketchjax.retrieval.pool import Gallery

# What an index may have before it is compacted by itself: deleted items, if they are a quarter of
# all, and blocks next to the large ones, each of which costs opening it some microseconds.
_DELETIONS, _BLOCKS, _BLOCK = 1_000, 1_000, 1 << 15


class Storage(Protocol):
    """Where an index in memory writes its changes, durably, before they are seen."""

    def add(self, items: Items) -> None:
        """Keep items that have their ids."""
        ...

    def delete(self, ids: np.ndarray) -> None:
        """Delete items that are there, by their ids i64[m]."""
        ...

    def compact(self) -> None:
        """Remove deleted items, and join what was added piece by piece."""
        ...

    def blocks(self) -> int:
        """How many pieces there are."""
        ...

    def settle(self) -> bool:
        """Find out whether a change that failed was written, so that there can be others.

        Raises DiskError where that is still not known.
        """
        ...

    def close(self) -> None:
        """Let go of files and locks."""
        ...


class Memory:
    """An `Engine` of arrays in memory.

    description: of the index; its count and categories are not read.
    parts: of the items that it holds at first, with the ids that they have.
    room: for items, before their arrays are copied.
    storage: what keeps it; None: only this process has it.
    details: of the items; by default in memory as well.
    thumbnails: of photos, by id, where only the other details are in memory.
    photos: ids of those that are photos, i64[m], rising; by default those without points.
    deleted: ids of those that are deleted, i64[m].
    next_id: the least id that nothing ever had; by default after the last item.
    read_only: whether adding and deleting are refused.
    """

    def __init__(
        self,
        description: Description,
        parts: Iterable[Items] = (),
        *,
        room: Room | None = None,
        storage: Storage | None = None,
        details: Details | None = None,
        thumbnails: Callable[[int], bytes | None] | None = None,
        photos: np.ndarray | None = None,
        deleted: np.ndarray | None = None,
        next_id: int | None = None,
        read_only: bool = False,
    ):
        self._categories = Numbering()
        self._storage, self._read_only = storage, read_only
        self._writing, self._compacting = threading.Lock(), None
        self._doubtful: Callable[[], None] | None = None  # shows a change that failed
        self._snapshots: weakref.WeakSet[MemorySnapshot] = weakref.WeakSet()
        room = room or Room()
        codes = units(np.zeros((0, description.bits // 8), np.uint8))
        self._codes = Column(codes.dtype, codes.shape[1:], room.items)
        self._features = Column(np.uint8, (description.features,), room.items)
        self._labels = Column(np.uint16, room=room.items)
        self._ids = Column(np.int64, room=room.items)
        self._photos = Column(np.int64)
        self._details = details or DetailsInMemory(room, thumbnails)
        if photos is not None:
            self._photos.append(photos)
        for part in parts:
            self._append(part)
            if photos is None:
                self._list_photos(part)
        last = int(self._ids.values[-1]) if self._ids.count else -1
        self._next_id = last + 1 if next_id is None else next_id
        self._deleted = 0
        if deleted is not None and len(deleted):
            self._mark(deleted)
        self._snapshot = self._take(description)

    def snapshot(self) -> MemorySnapshot:
        """The index as it is now."""
        return self._snapshot

    def add(self, items: Items) -> np.ndarray:
        """Add items, durable when this returns; see `Engine`."""
        description = self._snapshot.description
        check_widths(description, items.codes, items.features)
        with self._writing:
            self._prepare_change()
            ids = np.arange(self._next_id, self._next_id + len(items))
            check_categories(self._categories, items.categories)
            items = items.with_ids(ids)

            def show() -> None:
                self._append(items)
                self._list_photos(items)
                self._next_id += len(items)

            self._change(lambda storage: storage.add(items), show)
            self._compact_later()
        return ids

    def delete(self, ids: Sequence[int]) -> int:
        """Delete the items with these ids, durable when this returns; see `Engine`."""
        with self._writing:
            self._prepare_change()
            wanted = np.unique(possible(ids))
            wanted = wanted[self._snapshot.rows_of(wanted)[1]]
            if len(wanted):
                self._change(lambda storage: storage.delete(wanted), lambda: self._mark(wanted))
                self._compact_later()
        return len(wanted)

    def compact(self) -> int:
        """Remove deleted items from memory and file; see `Engine`. Searches do not wait."""
        with self._writing:
            self._prepare_change()
            return self._compact()

    def close(self) -> None:
        """Let go of files and locks."""
        if self._compacting is not None:
            self._compacting.join()
        if self._storage is not None:
            self._storage.close()

    def _append(self, items: Items) -> None:
        self._codes.append(units(items.codes))
        self._features.append(items.features)
        self._labels.append(self._categories.number(items.categories, np.uint16))
        self._ids.append(items.ids)
        self._details.append(items)

    def _list_photos(self, items: Items) -> None:
        self._photos.append(items.ids[items.are_photos])

    def _compact(self) -> int:
        keep = self._labels.values != DELETED
        removed = self._deleted

        def show() -> None:
            if removed:
                for name in ("_codes", "_features", "_labels", "_ids"):
                    setattr(self, name, getattr(self, name).kept(keep))
                self._details, self._deleted = self._details.kept(keep), 0

        self._change(lambda storage: storage.compact(), show)
        return removed

    def _change(self, write: Callable[[Storage], None], show: Callable[[], None]) -> None:
        """Write a change to the storage, then show it to searches.

        One whose writing fails is shown as soon as it is known that it was written after all.
        """
        if self._storage is not None:
            self._doubtful = show
            try:
                write(self._storage)
            except SketchjaxError:
                with suppress(SketchjaxError):  # the next change tries again
                    self._settle()
                raise
            self._doubtful = None
        self._show(show)

    def _settle(self) -> None:
        """End the doubt about a change that failed."""
        if self._storage is not None and self._doubtful is not None:
            if self._storage.settle():
                self._show(self._doubtful)
            self._doubtful = None

    def _show(self, show: Callable[[], None]) -> None:
        show()
        self._snapshot = self._take(self._snapshot.description)

    def _compact_later(self) -> None:
        """Compact on a thread where it is worth it, and nobody reads what would be removed."""
        count = self._ids.count
        scattered = self._storage is not None and self._storage.blocks() > _BLOCKS + count // _BLOCK
        if not scattered and self._deleted <= max(_DELETIONS, count // 4):
            return
        if self._compacting is not None and self._compacting.is_alive():
            return

        def work() -> None:
            with self._writing, suppress(SketchjaxError):  # the next change says what is wrong
                self._settle()
                # An older snapshot may still ask the file for the points of deleted items.
                if isinstance(self._details, DetailsInMemory) or len(self._snapshots) <= 1:
                    self._compact()

        self._compacting = threading.Thread(target=work, name="compact")
        self._compacting.start()

    def _mark(self, ids: np.ndarray) -> None:
        """Give items that are there, by their ids i64[m], the label of deleted ones."""
        labels = self._labels.copy()
        labels.values[np.searchsorted(self._ids.values, ids)] = DELETED
        self._labels = labels
        self._deleted += len(ids)

    def _take(self, description: Description) -> MemorySnapshot:
        snapshot = MemorySnapshot(
            replace(
                description,
                count=self._ids.count - self._deleted,
                snapshot=description.snapshot + 1,
            ),
            Gallery(self._codes.values, description.bits, self._labels.values),
            self._features.values,
            self._ids.values,
            self._categories,
            self._details,
            self._photos.values,
        )
        self._snapshots.add(snapshot)
        return snapshot

    def _prepare_change(self) -> None:
        """Refuse to change what is read-only, and end the doubt about a change that failed."""
        if self._read_only:
            raise DataError("the index is open for reading only; open it for writing to change it")
        self._settle()
