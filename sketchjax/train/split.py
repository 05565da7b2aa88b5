"""Which sketches of the training split take part, and in which orders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from sketchjax.data.feed.order import BalancedOrder, Order
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.shards import Shards

_READ = 65_536  # records read at once


@dataclass(frozen=True)
class TrainingSplit:
    """The training split of a data folder, without the categories kept out of training.

    folder: of the data.
    manifest: of that folder.
    unseen: bool[l], the categories kept out.
    """

    folder: Path
    manifest: Manifest
    unseen: np.ndarray

    @cached_property
    def size(self) -> int:
        """Sketches that take part."""
        return sum(
            self.manifest.counts_by_category[name].get("train", 0)
            for name, unseen in zip(self.manifest.categories, self.unseen.tolist(), strict=True)
            if not unseen
        )

    @cached_property
    def records(self) -> np.ndarray | None:
        """The records that take part, i64[size]; None: all of the split's."""
        return np.flatnonzero(~self.unseen[self._labels]) if self.unseen.any() else None

    @cached_property
    def _labels(self) -> np.ndarray:
        """The label of every record of the split, i32[n]."""
        with Shards(self.folder, "train") as shards:
            parts = [
                shards.read(np.arange(first, min(first + _READ, len(shards)))).labels
                for first in range(0, len(shards), _READ)
            ]
        return np.concatenate(parts)

    def order(self, batch: int, inner_steps: int, key: tuple[int, ...], *, classes: int) -> Order:
        """The order of the sketches that take part.

        batch: b, sketches of a step, over all processes.
        inner_steps: k, steps of a block.
        key: of the shuffle.
        classes: of each batch; 0: a plain shuffle.
        """
        if not classes:
            return Order(self.size, batch, inner_steps, key, self.records)
        labels = self._labels if self.records is None else self._labels[self.records]
        return BalancedOrder(
            self.size, batch, inner_steps, key, self.records, labels=labels, classes=classes
        )
