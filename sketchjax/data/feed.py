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

from sketchjax.data.shards import Records, Shards
from sketchjax.data.splits import keyed_hash
from sketchjax.errors import ConfigError, DataError

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


def blocks_per_epoch(folder: str | Path, block: int, process_count: int = 1) -> int:
    """Whole blocks that an epoch of the training split gives each process.

    Raises DataError when the split does not fill one.
    """
    return _blocks_per_epoch(Shards(folder, "train"), block, process_count)


def train_feed(
    folder: str | Path,
    *,
    block: int,
    points: int,
    seed: int,
    process_index: int = 0,
    process_count: int = 1,
    workers: int = 0,
) -> grain.DatasetIterator[Batch]:
    """Blocks of the training split for ever, each a `Batch` with b = block and t = points.

    An epoch is a permutation keyed by seed and epoch number, dealt out in blocks: within an epoch
    no sketch comes twice, on any process, and what does not fill a last block is left out.
    `get_state()` is the exact position as plain data, and `set_state` goes on from there, given the
    same arguments. workers: processes of grain's that read ahead (their number is part of the
    state, and `close()` ends them); 0 reads in this one when a block is asked for.
    Raises DataError when the folder cannot be used or does not fill a block, ConfigError for
    arguments that cannot be.
    """
    problems = [
        f"{name}={value}: {least} or more can be"
        for name, value, least in (
            ("block", block, 1),
            ("points", points, 1),
            ("workers", workers, 0),
        )
        if value < least
    ]
    if not 0 <= process_index < process_count:
        problems.append(f"process_index={process_index}: from 0 to {process_count - 1} can be")
    if problems:
        raise ConfigError(problems)
    blocks = _Blocks(Shards(folder, "train"), block, points, seed, process_index, process_count)
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
    """The blocks of all epochs by number, as a random-access source for grain."""

    def __init__(self, shards: Shards, block: int, points: int, seed: int, process: int, of: int):
        self._shards, self._block, self._points, self._seed = shards, block, points, seed
        self._process, self._processes = process, of
        self._per_epoch = _blocks_per_epoch(shards, block, of)
        self._epoch = -1
        self._order = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return _ENDLESS

    def __getitem__(self, index: int) -> Batch:
        epoch, within = divmod(int(index), self._per_epoch)
        first = (within * self._processes + self._process) * self._block
        indices = self._permutation(epoch)[first : first + self._block]
        return pad(self._shards.read(indices), self._points)

    def _permutation(self, epoch: int) -> np.ndarray:
        """The order of an epoch, i64[n]: by keyed hash, so that no version of numpy changes it."""
        if epoch != self._epoch:
            hashes = keyed_hash(np.arange(len(self._shards), dtype=np.uint64), (self._seed, epoch))
            self._epoch, self._order = epoch, np.argsort(hashes)
        return self._order

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_epoch": -1, "_order": np.zeros(0, np.int64)}


def _blocks_per_epoch(shards: Shards, block: int, processes: int) -> int:
    number = len(shards) // (block * processes)
    if not number:
        raise DataError(
            f"{shards.folder} has {len(shards)} training sketches, less than one block of {block} "
            f"for each of {processes} processes; choose smaller batches or fewer steps a block"
        )
    return number


def _round_up(number: int, step: int) -> int:
    return -(-number // step) * step
