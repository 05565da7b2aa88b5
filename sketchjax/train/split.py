"""Which items of a side's training split take part, and in which orders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from sketchjax.data.feed.items import Items, counts_of, open_items
from sketchjax.data.feed.order import BalancedOrder, Order
from sketchjax.data.feed.pairs import Side
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.inputs import PHOTO, SKETCH, Form, items_of

_STROKES = Form("strokes", 1)  # of points, as only labels are read


@dataclass(frozen=True)
class TrainingSplit:
    """A side's training split of a data folder, without the categories kept out of training.

    folder: of the data.
    manifest: of that folder.
    unseen: bool[l], the categories kept out.
    form: of the side's items.
    """

    folder: Path
    manifest: Manifest
    unseen: np.ndarray
    form: Form = _STROKES

    @cached_property
    def size(self) -> int:
        """Items that take part."""
        counts = counts_of(self.manifest, self.form.kind)
        return sum(
            counts[name].get("train", 0)
            for name, unseen in zip(self.manifest.categories, self.unseen.tolist(), strict=True)
            if not unseen
        )

    @cached_property
    def records(self) -> np.ndarray | None:
        """The records that take part, i64[size]; None: all of the split's."""
        return np.flatnonzero(~self.unseen[self._items.labels]) if self.unseen.any() else None

    @cached_property
    def side(self) -> Side:
        """The items that take part, for orders of two sides."""
        labels, instances = self._items.labels, self._items.instances
        if self.records is None:
            return Side(labels, instances)
        return Side(labels[self.records], instances[self.records], self.records)

    def items(self) -> Items:
        """All items of the split, to be read."""
        return open_items(self.folder, self.form, "train")

    @cached_property
    def _items(self) -> Items:
        items = self.items()
        items.close()
        return items

    def order(self, batch: int, inner_steps: int, key: tuple[int, ...], *, classes: int) -> Order:
        """The order of the items that take part.

        batch: b, items of a step, over all processes.
        inner_steps: k, steps of a block.
        key: of the shuffle.
        classes: of each batch; 0: a plain shuffle.
        """
        items = items_of([PHOTO if self.form.kind == PHOTO else SKETCH])
        if not classes:
            return Order(self.size, batch, inner_steps, key, self.records, items=items)
        return BalancedOrder(
            self.size, batch, inner_steps, key, self.records,
            labels=self.side.labels, classes=classes, items=items,
        )  # fmt: skip
