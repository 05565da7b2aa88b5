"""The second pass over pictures: the records of a shard, and the index of a split."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from sketchjax.data.folder.conversion.pack import shard_writer
from sketchjax.data.folder.conversion.picture_plan import Kept
from sketchjax.data.folder.index import Index
from sketchjax.data.folder.manifest import Shard
from sketchjax.data.folder.pictures import PictureRecord
from sketchjax.files import sha256


def pack_pictures(
    path: Path,
    partial: Path,
    rows: Sequence[Kept],
    labels: Mapping[str, int],
    instances: Mapping[str, int],
    *,
    progress: Callable[[int], None],
) -> Shard:
    """Write pictures to the shard `path`, in their order.

    path: the shard to write.
    partial: a folder on the same file system, for the unfinished file.
    rows: which pictures.
    labels: by category.
    instances: by name; -1 for those that are not there.
    progress: called with the number of pictures.
    """
    half = partial / f"{path.name}.half"
    with shard_writer(half) as writer:
        for row in rows:
            picture, contour = _bytes_of(row)
            item = row.item
            instance = instances.get(item.name, -1)
            label = labels[item.category]
            record = PictureRecord(item.id, instance, label, item.name, picture, contour)
            writer.write(record.encode())
    shard = Shard(path.name, len(rows), half.stat().st_size, sha256(half))
    with half.open("rb") as file:
        os.fsync(file.fileno())
    half.replace(path)
    progress(len(rows))
    return shard


def index_of(
    rows: Sequence[Kept], labels: Mapping[str, int], instances: Mapping[str, int]
) -> Index:
    """The index of a split's pictures, in the order of their records."""
    items = [row.item for row in rows]
    return Index(
        np.array([item.id for item in items], np.uint64),
        np.array([labels[item.category] for item in items], np.int32),
        np.array([instances.get(item.name, -1) for item in items], np.int64),
        [item.name for item in items],
    )


def _bytes_of(row: Kept) -> tuple[bytes, bytes]:
    """A picture and its contour map, from their piece."""
    with row.base.with_suffix(".blobs").open("rb") as file:
        file.seek(row.start)
        return file.read(row.picture), file.read(row.contour)
