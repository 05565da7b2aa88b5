"""Batches of training sketches read from a data folder, shuffled, without end.

Each block is one batched read and one vectorised decode: about 5 times as fast as a chain of grain
transforms, which handle one record at a time (`benchmarks/feed.py`).
"""

from __future__ import annotations

from pathlib import Path

import grain
from absl import flags

from sketchjax.data.feed.batch import Batch, pad
from sketchjax.data.feed.order import Order
from sketchjax.data.folder.shards import Shards
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
    """Blocks of the training split without end, each a `Batch` of k * b sketches.

    folder: a data folder.
    order: which sketches each block holds.
    points: t, points of a sketch.
    first_block: the block to start with, to resume a feed.
    process_index, process_count: process p of n gets the p-th run of b / n sketches of each batch.
    workers: grain processes that read ahead, until `close()`; 0 reads a block when it is asked for.
    Raises DataError if the folder cannot be used, ConfigError for invalid arguments.
    """
    problems = [
        f"{name}={value}: must be at least {least}"
        for name, value, least in (("points", points, 1), ("workers", workers, 0))
        if value < least
    ]
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
    blocks = _Blocks(Shards(folder, "train"), order, points, first_block, own)
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

    first: the number of the source's first block; own: which sketches of each batch are ours.
    """

    def __init__(self, shards: Shards, order: Order, points: int, first: int, own: slice):
        self._shards, self._order, self._points = shards, order, points
        self._first, self._own = first, own

    def __len__(self) -> int:
        return _ENDLESS

    def __getitem__(self, index: int) -> Batch:
        indices = self._order.indices(self._first + int(index))[:, self._own]
        return pad(self._shards.read(indices.ravel()), self._points)
