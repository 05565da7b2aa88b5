"""What an index has of its items that a search does not look at, and the room for it all."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import NamedTuple, Protocol

import numpy as np

from sketchjax.index.columns import Column
from sketchjax.index.engine import Items, Numbering, gathered


class Detail(NamedTuple):
    """Key ids, files, places and points of m items, as `Items` has them."""

    key_ids: np.ndarray
    sources: list[str]
    places: np.ndarray
    points: np.ndarray
    offsets: np.ndarray


class Details(Protocol):
    """What a search does not look at."""

    def append(self, items: Items) -> None:
        """Add those of new items, whose rows are the next ones."""
        ...

    def get(self, rows: np.ndarray, ids: np.ndarray) -> Detail:
        """Those of m items, by rows i64[m] or ids i64[m]."""
        ...

    def thumbnail(self, id_: int) -> bytes | None:
        """The JPEG file of a photo, None where the item is none."""
        ...

    def kept(self, keep: np.ndarray) -> Details:
        """Those of some of the items, bool[n]."""
        ...


class Room(NamedTuple):
    """How much an index will hold, so that nothing is copied until there is more.

    items: n.
    points: p, of all of them.
    """

    items: int = 0
    points: int = 0


class DetailsInMemory:
    """Details in memory; thumbnails too, unless they are read from elsewhere by an item's id."""

    def __init__(self, room: Room, thumbnails: Callable[[int], bytes | None] | None):
        self._stored, self._thumbnails = thumbnails, dict[int, bytes]()
        self._names = Numbering()
        self._key_ids, self._places = (
            Column(np.uint64, room=room.items),
            Column(np.int64, room=room.items),
        )
        self._sources = Column(np.uint32, room=room.items)
        self._points, self._ends = (
            Column(np.uint8, (3,), room.points),
            Column(np.int64, room=room.items),
        )

    def _keep_thumbnails(self, items: Items) -> None:
        if self._stored is None and items.thumbnails:
            own = zip(items.ids.tolist(), items.thumbnails, strict=True)
            self._thumbnails |= {id_: content for id_, content in own if content}

    def thumbnail(self, id_: int) -> bytes | None:
        return self._thumbnails.get(id_) if self._stored is None else self._stored(id_)

    def append(self, items: Items) -> None:
        self._keep_thumbnails(items)
        self._ends.append(items.offsets[1:] + self._points.count)
        self._points.append(items.points)
        self._key_ids.append(items.key_ids)
        self._places.append(items.places)
        self._sources.append(self._names.number(items.sources, np.uint32))

    def kept(self, keep: np.ndarray) -> DetailsInMemory:
        lengths = np.diff(self._ends.values, prepend=0)
        kept = copy(self)
        for name in ("_key_ids", "_places", "_sources", "_ends"):
            setattr(kept, name, getattr(self, name).kept(keep))
        kept._points = self._points.kept(np.repeat(keep, lengths))
        np.cumsum(lengths[keep], out=kept._ends.values)
        return kept

    def get(self, rows: np.ndarray, ids: np.ndarray) -> Detail:
        del ids
        ends, names = self._ends.values, self._names.names
        starts = np.where(rows > 0, ends[rows - 1], 0)
        return Detail(
            self._key_ids.values[rows],
            [names[number] for number in self._sources.values[rows].tolist()],
            self._places.values[rows],
            *gathered(self._points.values, starts, ends[rows] - starts),
        )
