"""The index in memory at one moment: an exact scan, with features inside the pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from msgspec.structs import replace

from sketchjax.data.workers import cores
from sketchjax.index.details import Details
from sketchjax.index.engine import (
    MOST_CATEGORIES,
    Description,
    Found,
    Items,
    Numbering,
    category_of,
    check_widths,
    no_item,
    no_photo,
    possible,
)
from sketchjax.retrieval.pool import Gallery, find_pool, nearest_features

DELETED = MOST_CATEGORIES  # the label of what is deleted
_PART = 1 << 20  # labels that are counted at once


@dataclass(frozen=True, eq=False)
class MemorySnapshot:
    """The index in memory at one moment.

    description: of the index; its categories are not filled in.
    gallery: codes and labels.
    features: u8[n f].
    ids: i64[n], rising.
    categories: the name of each label, which may grow.
    details: of the items.
    photos: i64[m], rising, ids of photos, some of which are deleted.
    """

    description: Description
    gallery: Gallery
    features: np.ndarray
    ids: np.ndarray
    categories: Numbering
    details: Details
    photos: np.ndarray

    def nearest(
        self,
        code: np.ndarray,
        features: np.ndarray | None,
        k: int,
        *,
        least: int,
        most: int,
        categories: Sequence[str] | None,
    ) -> Found:
        """The k nearest items to a query; see `engine.Snapshot`."""
        check_widths(self.description, code[None], None if features is None else features[None])
        allowed = self._allowed(categories)
        if features is None:
            least = most = k
        pool = find_pool(code, self.gallery, least, most, allowed, threads=cores())
        if features is None:
            places, squares = np.arange(len(pool.rows)), None
        else:
            places, squares = nearest_features(
                features, self.features, pool.rows, k, threads=cores()
            )
        return Found(
            ids=self.ids[pool.rows[places]],
            distances=pool.distances[places],
            squares=squares,
            histogram=pool.histogram,
            radius=pool.radius,
            compared=len(pool.rows),
            within=pool.all,
        )

    def get(self, ids: Sequence[int]) -> Items:
        """The items with these ids, in this order; see `engine.Snapshot`."""
        wanted = possible(ids)
        rows, there = self.rows_of(wanted)
        if len(wanted) < len(ids) or not there.all():
            found = {*wanted[there].tolist()}
            raise no_item(next(id_ for id_ in ids if id_ not in found))
        width, names = self.description.bits // 8, self.categories.names
        return Items(
            codes=self.gallery.units[rows].view(np.uint8)[:, :width],
            features=self.features[rows],
            categories=[names[label] for label in self.gallery.labels[rows].tolist()],
            ids=wanted,
            **self.details.get(rows, wanted)._asdict(),
        )

    def thumbnail(self, id_: int) -> bytes:
        """The JPEG file of a photo; see `engine.Snapshot`."""
        there = self.rows_of(possible([id_]))[1].any()
        content = self.details.thumbnail(id_) if there else None
        if content is None:
            raise no_photo(id_)
        return content

    def describe(self) -> Description:
        """What the snapshot holds; see `engine.Snapshot`."""
        return self._described

    @cached_property
    def _described(self) -> Description:
        counts = np.zeros(1 << 16, np.int64)
        for part in range(0, len(self.gallery.labels), _PART):  # numpy copies them as i64
            counts += np.bincount(self.gallery.labels[part : part + _PART], minlength=1 << 16)
        named = sorted(zip(self.categories.names, counts.tolist(), strict=False))
        return replace(
            self.description,
            categories={name: n for name, n in named if n},
            photos=int(self.rows_of(self.photos)[1].sum()),
        )

    def rows_of(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows of ids i64[m], and whether each is there, bool[m]."""
        if not len(self.ids):
            return np.zeros(len(ids), np.int64), np.zeros(len(ids), bool)
        rows = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return rows, (self.ids[rows] == ids) & (self.gallery.labels[rows] != DELETED)

    def _allowed(self, categories: Sequence[str] | None) -> np.ndarray | None:
        """Whether items of each label count, bool[65536]; None where all items do."""
        if categories is None and self.description.count == len(self.ids):
            return None
        allowed = np.full(1 << 16, categories is None)
        allowed[DELETED] = False
        for name in categories or ():
            allowed[self.categories.numbers[category_of(name, self.categories.numbers)]] = True
        return allowed
