"""One pass over a split, in the order of its records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sketchjax.data.feed.batch import Scan, pad
from sketchjax.data.folder.shards import Shards


def scan_feed(
    folder: str | Path,
    split: str,
    *,
    batch: int,
    points: int,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[Scan]:
    """One pass over a split in the order of its records.

    folder: a data folder.
    split: train, validation, gallery or query.
    batch: b, sketches of a step of this process.
    points: t, points of a sketch.
    process_index, process_count: process p of n takes the p-th run of b sketches of every n * b.
    Every process takes the same number of steps. The last ones are filled up with the split's last
    sketch, masked out.
    Raises DataError if the folder cannot be used.
    """
    with Shards(folder, split) as shards:
        size, stride = len(shards), batch * process_count
        steps = -(-size // stride)
        for step in range(steps):
            wanted = step * stride + process_index * batch + np.arange(batch)
            records = shards.read(np.minimum(wanted, size - 1))
            yield Scan(pad(records, points), records.entropies, records.key_ids, wanted < size)
