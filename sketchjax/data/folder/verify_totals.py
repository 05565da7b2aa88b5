"""The totals over all records of a data folder, against what its manifest says."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from sketchjax.data import entropy
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.record import Records
from sketchjax.data.folder.splits import SPLITS
from sketchjax.data.offsets import offset_sums, scale
from sketchjax.data.sources.records import MOST_POINTS

# The sums are exact, but the last bits of a root or quantile differ between machines.
_ROUNDING = 1e-9


class Totals:
    """Totals over the records. Keeps 14 bytes of each: 700 MB for QuickDraw's 50 million."""

    def __init__(self, manifest: Manifest):
        self._manifest = manifest
        classes = len(manifest.categories)
        self._counts = {split: np.zeros(classes, np.int64) for split in SPLITS}
        self._lengths = {split: np.zeros(MOST_POINTS + 1, np.int64) for split in SPLITS}
        self._offset_sums: list[tuple[int, int, int]] = []
        self._key_ids = [np.zeros(0, np.uint64)]
        self._labels = [np.zeros(0, np.uint16)]
        self._entropies = [np.zeros(0, np.float32)]

    def add(self, split: str, records: Records) -> None:
        """Add sound records."""
        self._counts[split] += np.bincount(records.labels, minlength=len(self._counts[split]))
        self._lengths[split] += np.bincount(records.lengths, minlength=MOST_POINTS + 1)
        self._key_ids.append(records.key_ids)
        if split == "train":
            self._offset_sums.append(offset_sums(records.points, records.offsets))
            self._labels.append(records.labels.astype(np.uint16))
            self._entropies.append(records.entropies)

    def wrong(self) -> Iterator[str]:
        """Where the manifest says something else, and key_ids that occur twice."""
        manifest = self._manifest
        for split in SPLITS:
            counts = zip(manifest.categories, self._counts[split].tolist(), strict=True)
            for name, found in counts:
                stated = manifest.counts_by_category.get(name, {}).get(split, 0)
                if found != stated:
                    yield f"{found} {split} sketches of {name}, the manifest says {stated}"
            for length, found in enumerate(self._lengths[split].tolist()):
                stated = manifest.lengths[split].get(length, 0)
                if found != stated:
                    what = f"{found} {split} sketches of {length} points"
                    yield f"{what}, the manifest says {stated}"
        ordered = np.sort(np.concatenate(self._key_ids))
        for key_id in np.unique(ordered[1:][ordered[1:] == ordered[:-1]]).tolist():
            yield f"key_id {key_id} occurs more than once"
        found = scale(self._offset_sums)
        if not math.isclose(found, manifest.offset_scale, rel_tol=_ROUNDING):
            yield f"the scale of the offsets is {found}, the manifest says {manifest.offset_scale}"
        yield from self._wrong_quantiles()

    def _wrong_quantiles(self) -> Iterator[str]:
        manifest = self._manifest
        labels, values = np.concatenate(self._labels), np.concatenate(self._entropies)
        pairs = entropy.thresholds_by_label(values, labels, len(manifest.categories))
        stated = zip(manifest.entropy_low, manifest.entropy_high, strict=True)
        for name, found, pair in zip(manifest.categories, pairs, stated, strict=True):
            if not np.allclose(found, pair, rtol=_ROUNDING, atol=_ROUNDING):
                yield f"the middle entropies of {name} are {found}, the manifest says {pair}"
