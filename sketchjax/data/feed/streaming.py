"""Batches of training items read from a data folder, shuffled, without end.

Each block is one batched read and one vectorised decode: about 5 times as fast as a chain of grain
transforms, which handle one record at a time (`benchmarks/feed.py`).
"""

from __future__ import annotations

from pathlib import Path

import grain
from absl import flags

from sketchjax.data.feed.batch import Batch
from sketchjax.data.feed.items import Items, StrokeItems
from sketchjax.data.feed.order import Order
from sketchjax.errors import ConfigError

_ENDLESS = 2**62  # blocks; grain wants a length


def train_feed(
    folder: str | Path,
    order: Order,
    *,
    points: int,
    first_block: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    workers: int = 0,
) -> grain.DatasetIterator[Batch]:
    """Blocks of a folder's training sketches as strokes; see `block_feed`.

    folder: a data folder.
    points: t, points of a sketch.
    Raises DataError if the folder cannot be used, ConfigError for invalid arguments.
    """
    if points < 1:
        raise ConfigError(f"points={points}: must be at least 1")
    return block_feed(
        StrokeItems(folder, "train", points),
        order,
        first_block=first_block,
        process_index=process_index,
        process_count=process_count,
        workers=workers,
    )


def block_feed(
    items: Items,
    order: Order,
    *,
    first_block: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    workers: int = 0,
) -> grain.DatasetIterator[Batch]:
    """Blocks of a training split without end, each a `Batch` of k * b items.

    items: of the split.
    order: which of them each block holds.
    first_block: the block to start with, to resume a feed.
    process_index, process_count: process p of n gets the p-th run of b / n items of each batch.
    workers: grain processes that read ahead, until `close()`; 0 reads a block when it is asked for.
    Raises ConfigError for invalid arguments.
    """
    problems = []
    if workers < 0:
        problems.append(f"workers={workers}: must be at least 0")
    if not 0 <= process_index < process_count:
        problems.append(f"process_index={process_index}: must be 0 to {process_count - 1}")
    elif order.batch % process_count:
        problems.append(f"batch={order.batch} does not divide over {process_count} processes")
    if problems:
        raise ConfigError(problems)
    own = slice(
        process_index * order.batch // process_count,
        (process_index + 1) * order.batch // process_count,
    )
    blocks = _Blocks(items, order, first_block, own)
    # No thread reads ahead: Python prepares the next block while the device works on the previous
    # one, and on two cores grain's threads cost more than they gain.
    options = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
    dataset = grain.MapDataset.source(blocks).to_iter_dataset(options)
    if workers:
        if not flags.FLAGS.is_parsed():  # outside absl's app.run, grain's processes wait for it
            flags.FLAGS.mark_as_parsed()
        dataset = dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))
    return iter(dataset)


class _Blocks:
    """The blocks of all epochs by number, as a random-access source for grain.

    first: the number of the source's first block; own: which items of each batch are ours.
    """

    def __init__(self, items: Items, order: Order, first: int, own: slice):
        self._items, self._order, self._first, self._own = items, order, first, own

    def __len__(self) -> int:
        return _ENDLESS

    def __getitem__(self, index: int) -> Batch:
        indices = self._order.indices(self._first + int(index))[:, self._own]
        return self._items.read(indices.ravel())[0]
