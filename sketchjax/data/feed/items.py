"""The items of a side, sketches or photos, whatever form they are stored in."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sketchjax.data.feed.batch import Batch, pad
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.pictures import PictureShards
from sketchjax.data.folder.shards import Shards
from sketchjax.data.inputs import Form

READ = 65_536  # records of strokes read at once: 10 MB


class Items(Protocol):
    """The items of one form in one split of a data folder, by random access.

    labels: i32[n], indices into the manifest's categories.
    instances: i64[n], the photo that each item is or draws; -1 where unknown.
    """

    @property
    def labels(self) -> np.ndarray: ...
    @property
    def instances(self) -> np.ndarray: ...

    def __len__(self) -> int: ...

    def read(self, records: np.ndarray) -> tuple[Batch, np.ndarray, np.ndarray]:
        """The items at `records` i64[b], their ids u64[b] and image entropies f32[b].

        Raises DataError if the folder cannot be read.
        """
        ...

    def close(self) -> None: ...


class StrokeItems:
    """Sketches as points, padded to t of them."""

    def __init__(self, folder: str | Path, split: str, points: int):
        self.shards, self._points = Shards(folder, split), points

    def __len__(self) -> int:
        return len(self.shards)

    @property
    def labels(self) -> np.ndarray:
        """The label of every record, i32[n]: they are read for it, once."""
        return self._labels

    @cached_property
    def _labels(self) -> np.ndarray:
        size = len(self)
        parts = [
            self.shards.read(np.arange(first, min(first + READ, size))).labels
            for first in range(0, size, READ)
        ]
        return np.concatenate([np.zeros(0, np.int32), *parts])

    @property
    def instances(self) -> np.ndarray:
        """The photo that each sketch draws, i64[n]; -1 where unknown."""
        return self.shards.instances

    def read(self, records: np.ndarray) -> tuple[Batch, np.ndarray, np.ndarray]:
        """The sketches at `records`, their ids and image entropies."""
        found = self.shards.read(records)
        return pad(found, self._points), found.key_ids, found.entropies

    def close(self) -> None:
        """Close all files; the next read opens them again."""
        self.shards.close()


class PictureItems:
    """Photos or raster sketches, as a form has them."""

    def __init__(self, folder: str | Path, form: Form, split: str):
        self.shards, self._form = PictureShards(folder, form.kind, split), form

    def __len__(self) -> int:
        return len(self.shards)

    @property
    def labels(self) -> np.ndarray:
        """The label of every picture, i32[n]."""
        return self.shards.labels

    @property
    def instances(self) -> np.ndarray:
        """The photo that each picture is or draws, i64[n]; -1 where unknown."""
        return self.shards.instances

    def read(self, records: np.ndarray) -> tuple[Batch, np.ndarray, np.ndarray]:
        """The pictures at `records`, their ids, and zeros for image entropies."""
        pictures = self.shards.read(records, self._form.size, self._form.contours, self._form.fit)
        batch = Batch(pictures, self.labels[records], records.astype(np.int32))
        return batch, self.shards.ids[records], np.zeros(len(records), np.float32)

    def close(self) -> None:
        """Close all files; the next read opens them again."""
        self.shards.close()


def open_items(folder: str | Path, form: Form, split: str) -> Items:
    """The items of a form in a split.  Raises DataError if the folder cannot be used."""
    if form.kind == "strokes":
        return StrokeItems(folder, split, form.size)
    return PictureItems(folder, form, split)


def counts_of(manifest: Manifest, kind: str) -> dict[str, dict[str, int]]:
    """By category, how many items of a kind each split of a data folder has."""
    if kind == "strokes":
        return manifest.counts_by_category
    pictures: Any = manifest.pictures.get(kind)  # pyright: ignore[reportArgumentType]
    return pictures.counts_by_category if pictures else {name: {} for name in manifest.categories}


def totals_of(manifest: Manifest, kind: str) -> dict[str, int]:
    """How many items of a kind each split of a data folder has."""
    if kind == "strokes":
        return manifest.counts
    pictures: Any = manifest.pictures.get(kind)  # pyright: ignore[reportArgumentType]
    return pictures.counts if pictures else {}
