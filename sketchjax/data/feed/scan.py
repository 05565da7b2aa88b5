"""One pass over the items of a split, in the order of its records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from sketchjax.data.feed.batch import Scan
from sketchjax.data.feed.items import Items, StrokeItems


def scan_feed(
    folder: str | Path,
    split: str,
    *,
    batch: int,
    points: int,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[Scan]:
    """One pass over a split's sketches as strokes; see `scan`.

    folder: a data folder.
    split: train, validation, gallery or query.
    points: t, points of a sketch.
    Raises DataError if the folder cannot be used.
    """
    items = StrokeItems(folder, split, points)
    yield from scan(items, batch=batch, process_index=process_index, process_count=process_count)


def scan(
    items: Items, *, batch: int, process_index: int = 0, process_count: int = 1
) -> Iterator[Scan]:
    """One pass over a split in the order of its records.

    items: of the split; their files are closed at the end.
    batch: b, items of a step of this process.
    process_index, process_count: process p of n takes the p-th run of b items of every n * b.
    Every process takes the same number of steps. The last ones are filled up with the split's last
    item, masked out.
    """
    size, stride = len(items), batch * process_count
    instances = items.instances
    with closing(items):
        for step in range(-(-size // stride)):
            wanted = step * stride + process_index * batch + np.arange(batch)
            records = np.minimum(wanted, size - 1)
            found, ids, entropies = items.read(records)
            yield Scan(found, entropies, ids, wanted < size, instances[records])
