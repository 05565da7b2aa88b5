"""Where a stage's batches come from: read by the host as they are needed, or held by the devices.

Both feeds give the same batches in the same order (`data.feed.order`), so a run may be stopped with
one and resumed with the other. A feed's position is the number of blocks taken from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from sketchjax import parallel
from sketchjax.data.feed.batch import Batch
from sketchjax.data.feed.items import Items
from sketchjax.data.feed.order import Order
from sketchjax.data.feed.streaming import block_feed
from sketchjax.ops import resident
from sketchjax.ops.resident import Resident, ResidentPictures
from sketchjax.train.step import Batches, Minibatch


class Feed(Protocol):
    """What the loop of a stage needs.

    order: which sketches each batch holds.
    held: what the devices hold of the data, an argument of every dispatch.
    position: blocks taken so far.
    """

    @property
    def order(self) -> Order: ...
    @property
    def held(self) -> Any: ...
    @property
    def position(self) -> int: ...

    def load(self, held: Any, item: Any) -> Batches:
        """The batch of an item of `take` on one device, inside the compiled step."""
        ...

    def take(self, blocks: int) -> Any:
        """The items of the next blocks, arrays [devices m k ...]."""
        ...

    def close(self) -> None: ...


class StreamFeed:
    """Batches that the host reads from the shards, pads or decodes, and sends.

    items: of the training split.
    instances: i64[n], those of the items where batches are to have them.
    """

    def __init__(
        self,
        items: Items,
        order: Order,
        *,
        workers: int,
        position: int,
        instances: np.ndarray | None = None,
    ):
        self.order, self.held, self.position = order, (), position
        self._items, self._instances = items, instances
        self._blocks = block_feed(
            items,
            order,
            first_block=position,
            workers=workers,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )

    @staticmethod
    def load(held: Any, item: Minibatch) -> Minibatch:
        return item

    def take(self, blocks: int) -> Minibatch:
        taken = [next(self._blocks) for _ in range(blocks)]
        self.position += blocks
        return arrange(taken, self.order, instances=self._instances)

    def close(self) -> None:
        self._blocks.close()  # pyright: ignore[reportAttributeAccessIssue]
        self._items.close()


class Places(NamedTuple):
    """A batch by numbers only: the devices compute the order themselves.

    place: i32[b], in the batch.
    first: i32[], the batch's first place in its epoch.
    keys: u32[r], of the epoch's shuffle.
    """

    place: Any
    first: Any
    keys: Any


class Picked(NamedTuple):
    """A batch by its sketches.

    index: i32[b], places among the sketches that the devices hold.
    place: i32[b], in the batch.
    """

    index: Any  # pyright: ignore[reportIncompatibleMethodOverride]
    place: Any


class ResidentFeed:
    """Batches that the devices pick from the data they hold: the host sends only numbers."""

    def __init__(
        self, held: Resident | ResidentPictures, order: Order, *, points: int, position: int
    ):
        self.order, self.held, self.position, self._points = order, held, position, points

    def load(self, held: Any, item: Places | Picked) -> Minibatch:
        if isinstance(item, Picked):
            index = item.index
        else:
            index = resident.permute(item.first + item.place, self.order.size, item.keys)
        return Minibatch(*self.pick(held, index), item.place, self.instance(held, index))

    def pick(self, held: Any, index: jax.Array) -> tuple[Any, jax.Array]:
        """The inputs and labels of the items at an index i32[b], inside the compiled step."""
        if isinstance(held, ResidentPictures):
            return resident.take_pictures(held, index)
        return resident.take(held, index, self._points)

    def instance(self, held: Any, index: jax.Array) -> jax.Array | None:
        """The instances of the items at an index i32[b] where they are held."""
        return None if held.instance is None else held.instance[index]

    def take(self, blocks: int) -> Places | Picked:
        if type(self.order) is not Order:
            return self._pick(blocks)
        first, keys = zip(
            *(self.order.of_block(self.position + number) for number in range(blocks)), strict=True
        )
        self.position += blocks
        k, devices = self.order.inner_steps, jax.local_device_count()
        place = own_places(self.order)
        shape = (devices, blocks, k)
        return Places(
            np.broadcast_to(place[:, None, None], (*shape, place.shape[1])),
            np.broadcast_to(np.stack(first), shape),
            np.broadcast_to(np.stack(keys)[:, None], (*shape, len(keys[0]))),
        )

    def _pick(self, blocks: int) -> Picked:
        """An order that is not a plain shuffle is computed by the host: 4 bytes per sketch."""
        place = own_places(self.order)
        picked = np.stack([self.order.places(self.position + n) for n in range(blocks)])
        self.position += blocks
        index = np.moveaxis(picked[:, :, place], 2, 0).astype(np.int32)
        return Picked(index, np.broadcast_to(place[:, None, None], index.shape))

    def close(self) -> None:
        pass


class JointFeed:
    """Batches of two sides in step, from a feed of each.

    feeds: by side; their orders have batches of one size.
    """

    def __init__(self, feeds: Mapping[str, StreamFeed | ResidentFeed]):
        self._feeds = feeds
        self.order = next(iter(feeds.values())).order
        self.held = {side: feed.held for side, feed in feeds.items()}

    @property
    def position(self) -> int:
        """Blocks taken so far."""
        return next(iter(self._feeds.values())).position

    def load(self, held: Any, item: Any) -> dict[str, Minibatch]:
        return {side: feed.load(held[side], item[side]) for side, feed in self._feeds.items()}

    def take(self, blocks: int) -> dict[str, Any]:
        return {side: feed.take(blocks) for side, feed in self._feeds.items()}

    def close(self) -> None:
        for feed in self._feeds.values():
            feed.close()


def own_places(order: Order, devices: int | None = None) -> np.ndarray:
    """Places in the whole batch of what this process's devices get, i32[devices b/devices].

    order: whose batch is divided.
    devices: of this process; None: all of them.
    """
    own = order.batch // jax.process_count()
    first = jax.process_index() * own
    places = np.arange(first, first + own, dtype=np.int32)
    return places.reshape(devices or jax.local_device_count(), -1)


def arrange(
    blocks: list[Batch],
    order: Order,
    devices: int | None = None,
    instances: np.ndarray | None = None,
) -> Minibatch:
    """m blocks of k * b items of this process as one Minibatch [devices m k b/devices ...].

    blocks: as they are read.
    order: which they follow.
    devices: how many the batch is divided over; None: all of this process.
    instances: i64[n], those of all records of the split; None: the result has none.
    """
    place = own_places(order, devices)
    shape = (len(blocks), order.inner_steps, place.size)

    def stacked(*parts: np.ndarray) -> np.ndarray:
        whole = np.stack(parts)
        return whole.reshape(*shape, *whole.shape[2:])

    inputs, label = jax.tree.map(stacked, *((block.inputs, block.label) for block in blocks))
    arrays = (inputs, label, np.broadcast_to(place.ravel(), shape))
    if instances is not None:
        arrays += (stacked(*(instances[block.index].astype(np.int32) for block in blocks)),)
    return Minibatch(*parallel.split(arrays, len(place), axis=2))
