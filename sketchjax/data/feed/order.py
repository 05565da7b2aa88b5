"""Which training sketches each batch holds, computed from seeds only."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from sketchjax.data.feed.permutation import permute, round_keys
from sketchjax.errors import ConfigError, DataError


@dataclass(frozen=True)
class Order:
    """Which sketches of a training split the batches of all epochs hold.

    An epoch is a permutation keyed by `key` and its number, divided into batches: no sketch occurs
    twice in it, and a remainder that does not fill a block is left out.

    size: n, sketches that take part.
    batch: b, sketches of a step, over all processes.
    inner_steps: k, steps of a block.
    key: of the shuffle, such as seed and stage.
    records: i64[n], the record of each sketch; None: all records of the split.
    items: what they are called in messages.
    """

    size: int
    batch: int
    inner_steps: int
    key: tuple[int, ...]
    records: np.ndarray | None = field(default=None, compare=False, repr=False)
    items: str = field(default="sketches", compare=False, kw_only=True)

    def __post_init__(self) -> None:
        if self.size < self.batch * self.inner_steps:
            raise DataError(
                f"there are {self.size} training {self.items}, fewer than one block of "
                f"{self.inner_steps} batches of {self.batch}; choose smaller batches or fewer steps"
            )

    @property
    def blocks_per_epoch(self) -> int:
        """Whole blocks of an epoch."""
        return self.size // (self.batch * self.inner_steps)

    def of_block(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        """Where each batch starts in the shuffled epoch, i32[k], and the epoch's keys u32[r]."""
        epoch, within = divmod(block, self.blocks_per_epoch)
        first = (within * self.inner_steps + np.arange(self.inner_steps)) * self.batch
        return first.astype(np.int32), round_keys(*self.key, epoch)

    def places(self, block: int) -> np.ndarray:
        """Which of the n sketches a block's batches hold, i64[k b]."""
        first, keys = self.of_block(block)
        return permute(first[:, None] + np.arange(self.batch), self.size, keys)

    def indices(self, block: int) -> np.ndarray:
        """The records of a block's batches, i64[k b]."""
        places = self.places(block)
        return places if self.records is None else self.records[places]


@dataclass(frozen=True)
class BalancedOrder(Order):
    """Batches of P classes with batch / P sketches of each, for losses that compare pairs.

    A round shuffles the classes and takes them P at a time. Leftover classes wait for the next
    round and skip their sketches of this one. Each class has its own shuffled order of sketches,
    which is shuffled again when it is used up: around that point a sketch may occur twice in a
    block. An epoch is as long as that of a plain order.

    labels: i[n], of the sketches that take part.
    classes: P.
    only: i[c], the labels that are drawn; None: all.
    """

    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32), compare=False)
    classes: int = 1
    only: np.ndarray | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.classes > len(self._own):
            raise ConfigError(
                f"sampler.classes={self.classes}: only {len(self._own)} classes have training "
                f"{self.items}; ask for at most that many"
            )

    @cached_property
    def _own(self) -> list[np.ndarray]:
        """The places of each class that has sketches, by rising label."""
        order = np.argsort(self.labels, kind="stable")
        own = np.split(order, np.flatnonzero(np.diff(self.labels[order])) + 1)
        return own if self.only is None else [o for o in own if self.labels[o[0]] in self.only]

    def places(self, block: int) -> np.ndarray:
        """Which of the n sketches a block's batches hold, i64[k b]."""
        first = block * self.inner_steps
        return np.stack([self._batch(first + step) for step in range(self.inner_steps)])

    def _batch(self, number: int) -> np.ndarray:
        """The sketches of a batch, by its number since the stage began: i64[b]."""
        classes = len(self._own)
        turn, part = divmod(number, classes // self.classes)
        slots = np.arange(part * self.classes, (part + 1) * self.classes)
        chosen = permute(slots, classes, round_keys(*self.key, 0, turn))
        return np.concatenate([self._of_class(label, turn) for label in chosen.tolist()])

    def _of_class(self, label: int, turn: int) -> np.ndarray:
        """The sketches of a class in a round, i64[b / P]."""
        each, parts = self.batch // self.classes, []
        time, start = divmod(turn * each, len(self._own[label]))
        while each > 0:
            part = self._shuffled(label, time)[start : start + each]
            parts.append(part)
            each, time, start = each - len(part), time + 1, 0
        return np.concatenate(parts)

    def _shuffled(self, label: int, time: int) -> np.ndarray:
        """The places of a class in the order of its shuffle of a number; the last is kept."""
        if label not in self._last or self._last[label][0] != time:
            own = self._own[label]
            order = permute(np.arange(len(own)), len(own), round_keys(*self.key, 1 + label, time))
            self._last[label] = time, own[order]
        return self._last[label][1]

    @cached_property
    def _last(self) -> dict[int, tuple[int, np.ndarray]]:
        return {}
