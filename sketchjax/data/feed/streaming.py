"""Batches of strokes from a data folder: shuffled for ever for training, once in order otherwise.

One batched read and one vectorised decode a block: 5 µs a sketch, where a chain of transforms that
handles one record at a time takes 50 to 170.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import grain
import numpy as np
from absl import flags

from sketchjax.data.feed.order import Order
from sketchjax.data.folder.shards import Records, Shards
from sketchjax.errors import ConfigError

_ENDLESS = 2**62  # blocks; grain wants a length


class Batch(NamedTuple):
    """b sketches, padded with zeros to t points.

    points: u8[b t 3], columns x, y, end as in `Sketches`; length: i32[b], 1 to t; label: i32[b];
    index: i32[b], the sketch's record in its split. A sketch longer than t points is cut to its
    first t, and the last one kept ends a stroke.
    """

    points: np.ndarray
    length: np.ndarray
    label: np.ndarray
    index: np.ndarray  # pyright: ignore[reportIncompatibleMethodOverride]


class Scan(NamedTuple):
    """One step of a pass in order. mask: bool[b], False where a sketch only fills up the batch.

    entropy: f32[b], the image entropy of each sketch.
    """

    batch: Batch
    entropy: np.ndarray
    mask: np.ndarray


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
    """Blocks of the training split for ever, each a `Batch` of k * b sketches with t = points.

    first_block: where to begin, the position of a feed that goes on. Process p of n has the p-th
    run of b / n sketches of each batch. workers: processes of grain's that read ahead, which
    `close()` ends; 0 reads in this one when a block is asked for.
    Raises DataError when the folder cannot be used, ConfigError for arguments that cannot be.
    """
    problems = [
        f"{name}={value}: {least} or more can be"
        for name, value, least in (("points", points, 1), ("workers", workers, 0))
        if value < least
    ]
    if not 0 <= process_index < process_count:
        problems.append(f"process_index={process_index}: from 0 to {process_count - 1} can be")
    elif order.batch % process_count:
        problems.append(f"batch={order.batch} does not divide over {process_count} processes")
    if problems:
        raise ConfigError(problems)
    own = slice(
        process_index * order.batch // process_count,
        (process_index + 1) * order.batch // process_count,
    )
    blocks = _Blocks(Shards(folder, "train"), order, points, first_block, own)
    # No thread reads ahead: 5 µs a sketch hide behind the device's work on the previous block,
    # which runs while Python prepares the next, and on two cores grain's threads cost more.
    options = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
    dataset = grain.MapDataset.source(blocks).to_iter_dataset(options)
    if workers:
        if not flags.FLAGS.is_parsed():  # outside absl's app.run, grain's processes wait for it
            flags.FLAGS.mark_as_parsed()
        dataset = dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))
    return iter(dataset)


def scan_feed(
    folder: str | Path,
    split: str,
    *,
    batch: int,
    points: int,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[Scan]:
    """One pass over a split in the order of its records, in steps of b = batch, t = points.

    Every process takes the same number of steps, each of `batch` sketches next to one another;
    process p has the p-th part of a step of all. The last step is filled up with the split's last
    sketch, masked out. Raises DataError when the folder cannot be used.
    """
    with Shards(folder, split) as shards:
        stride = batch * process_count
        for first in range(process_index * batch, _round_up(len(shards), stride), stride):
            wanted = np.arange(first, first + batch)
            records = shards.read(np.minimum(wanted, len(shards) - 1))
            yield Scan(pad(records, points), records.entropies, wanted < len(shards))


def pad(records: Records, points: int) -> Batch:
    """Lay ragged records out as a `Batch` of t = points."""
    lengths = records.lengths
    kept = np.minimum(lengths, points)
    # bool[b t], row by row in the order of the ragged points.
    filled = np.arange(points) < kept[:, None]
    padded = np.zeros((len(lengths), points, 3), np.uint8)
    if (lengths > points).any():
        within = np.arange(len(records.points)) - np.repeat(records.offsets[:-1], lengths)
        padded[filled] = records.points[within < points]
        padded[np.arange(len(kept)), kept - 1, 2] = 1
    else:
        padded[filled] = records.points
    return Batch(
        points=padded,
        length=kept.astype(np.int32),
        label=records.labels,
        index=records.index.astype(np.int32),
    )


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


def _round_up(number: int, step: int) -> int:
    return -(-number // step) * step
