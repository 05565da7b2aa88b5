"""Orders of two sides in step: what the photos of a batch are to its sketches.

`paired_orders` gives batches of pairs, a sketch and the photo that it draws at the same place of
both sides. `class_orders` gives batches in which both sides have as many items of the same classes.
In either, no sketch and no photo is twice in a block, except where a class has too few.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from sketchjax.data.feed.order import BalancedOrder, Order
from sketchjax.data.folder.hashing import keyed_hash
from sketchjax.data.inputs import PHOTO, SKETCH, items_of
from sketchjax.errors import ConfigError, DataError


@dataclass(frozen=True)
class Side:
    """The training items of a side that take part, n of them.

    labels: i[n]; instances: i64[n], the photo that each is or draws, -1 where unknown.
    records: i64[n], the record of each; None: all records of the split.
    """

    labels: np.ndarray
    instances: np.ndarray
    records: np.ndarray | None = None


def paired_orders(
    sides: dict[str, Side], batch: int, inner_steps: int, key: tuple[int, ...]
) -> dict[str, Order]:
    """Batches of b pairs of a sketch and its photo, for each side.

    sides: of sketches and of photos.
    batch: b, pairs of a step, over all processes.
    inner_steps: k, steps of a block.
    key: of the shuffle.
    Raises DataError where the sketches do not draw enough different photos for a block.
    """
    sketch, photo = match(sides[SKETCH].instances, sides[PHOTO].instances)
    pairs = Pairs(sketch, photo, batch * inner_steps, key)
    if not pairs.blocks_per_epoch:
        drawn = len(np.unique(photo))
        raise DataError(
            f"the training sketches draw {drawn} of the training photos, fewer than one block of "
            f"{inner_steps} batches of {batch} pairs; choose smaller batches or fewer steps, or "
            "sampler.classes for batches by category"
        )
    return {
        side: PairOrder(
            len(sketch), batch, inner_steps, key, own.records,
            pairs=pairs, side=side, items="pairs",
        )
        for side, own in sides.items()
    }  # fmt: skip


def match(sketches: np.ndarray, photos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places i64[p] of the sketches whose photo is there, and of these photos.

    sketches, photos: i64[n] and i64[m], the instance of each; -1 where unknown. Of photos with one
      instance, the first counts.
    """
    numbers, first = np.unique(photos, return_index=True)
    place = np.minimum(np.searchsorted(numbers, sketches), max(len(numbers) - 1, 0))
    is_drawn = (sketches >= 0) & (numbers[place] == sketches if len(numbers) else False)
    chosen = np.flatnonzero(is_drawn)
    return chosen, first[place[chosen]]


class Pairs:
    """p pairs of a sketch and its photo, arranged in blocks in which no photo is twice.

    sketch, photo: i64[p], the places of the two.
    size: pairs of a block.
    key: of the shuffle.

    Each epoch has each pair once, except a remainder that fills no block: which pairs that is, is
    drawn for each epoch.
    """

    def __init__(self, sketch: np.ndarray, photo: np.ndarray, size: int, key: tuple[int, ...]):
        self.sketch, self.photo, self.size, self.key = sketch, photo, size, key
        drawn = np.unique(photo, return_counts=True)[1]
        blocks = len(photo) // size
        # A photo is in a block once, so a photo drawn more often than there are blocks fills fewer.
        while blocks and np.minimum(drawn, blocks).sum() < blocks * size:
            blocks -= 1
        self.blocks_per_epoch = blocks
        self._epoch = lru_cache(maxsize=2)(self._arranged)

    def of_block(self, block: int) -> np.ndarray:
        """The pairs of a block, i64[size]."""
        epoch, within = divmod(block, self.blocks_per_epoch)
        return self._epoch(epoch)[within]

    def _arranged(self, epoch: int) -> np.ndarray:
        """The pairs of an epoch's blocks, i64[blocks size].

        The chosen pairs, those of one photo next to each other, are dealt out to the blocks like
        cards: as no photo has more of them than there are blocks, it meets no block twice.
        """
        blocks = self.blocks_per_epoch
        order = np.argsort(keyed_hash(np.arange(len(self.photo)), (*self.key, epoch, 0)))
        turn = _turns(self.photo[order])
        order = order[turn < blocks][: blocks * self.size]
        rank = keyed_hash(np.arange(int(self.photo.max()) + 1), (*self.key, epoch, 1))
        order = order[np.argsort(rank[self.photo[order]], kind="stable")]
        dealt = order.reshape(self.size, blocks).T
        mixed = keyed_hash(np.arange(dealt.size), (*self.key, epoch, 2)).reshape(dealt.shape)
        return np.take_along_axis(dealt, np.argsort(mixed, axis=1), axis=1)

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name != "_epoch"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._epoch = lru_cache(maxsize=2)(self._arranged)


def _turns(values: np.ndarray) -> np.ndarray:
    """How many equal values come before each, i64[n]."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    turns = np.empty(len(values), np.int64)
    turns[order] = np.arange(len(values)) - np.repeat(starts, np.diff(np.r_[starts, len(values)]))
    return turns


@dataclass(frozen=True)
class PairOrder(Order):
    """One side of batches of pairs; `size` is the number of pairs.

    pairs: of sketches and photos; side: which of the two this is.
    """

    pairs: Pairs = field(default=None, compare=False, repr=False)  # pyright: ignore[reportAssignmentType]
    side: str = SKETCH

    @property
    def blocks_per_epoch(self) -> int:
        """Whole blocks of an epoch."""
        return self.pairs.blocks_per_epoch

    def places(self, block: int) -> np.ndarray:
        """Which items of this side a block's batches hold, i64[k b]."""
        own = self.pairs.sketch if self.side == SKETCH else self.pairs.photo
        return own[self.pairs.of_block(block)].reshape(self.inner_steps, self.batch)


def class_orders(
    sides: dict[str, Side], batch: int, inner_steps: int, key: tuple[int, ...], *, classes: int
) -> dict[str, Order]:
    """Batches of P classes with b / P sketches and b / P photos of each.

    classes: P. Only classes take part that both sides have. The other arguments are those of
      `paired_orders`.
    Raises ConfigError where both sides have fewer classes in common.
    """
    common = np.intersect1d(sides[SKETCH].labels, sides[PHOTO].labels)
    if classes > len(common):
        raise ConfigError(
            f"sampler.classes={classes}: only {len(common)} classes have training sketches and "
            "photos; ask for at most that many"
        )
    return {
        side: ClassOrder(
            len(own.labels), batch, inner_steps, key, own.records,
            labels=own.labels, classes=classes, only=common, items=items_of([side]),
        )
        for side, own in sides.items()
    }  # fmt: skip


@dataclass(frozen=True)
class ClassOrder(BalancedOrder):
    """One side of batches by class; with the same key, both sides have the same classes.

    Unlike in a `BalancedOrder`, no item is twice in a block while its class has others.
    """

    def places(self, block: int) -> np.ndarray:
        """Which items of this side a block's batches hold, i64[k b]."""
        places = super().places(block).ravel()
        labels, twice = self.labels[places], _turns(places) > 0
        for label in np.unique(labels[twice]).tolist():
            again = np.flatnonzero(twice & (labels == label))
            own = np.flatnonzero(self.labels == label)
            others = own[~np.isin(own, places[labels == label])][: len(again)]
            places[again[: len(others)]] = others
        return places.reshape(self.inner_steps, self.batch)
