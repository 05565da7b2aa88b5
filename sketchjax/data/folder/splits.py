"""Which split a sketch belongs to, decided by a keyed hash of its `key_id`.

The hash of a sketch depends on its `key_id` and the seed alone, never on its file or its
neighbours. The line 0 to 2^64 is cut into one band a split, the same in every category:

- `Fractions`: the bands are the fractions. A sketch's split never changes, whatever is added.
- `Counts`: the bands are fixed by the counts, and a split takes the smallest hashes of its band up
  to its count. Adding files can push a sketch out of a full split, but it is then left out: it
  never turns up in another one.
- `SplitFile`: the file decides, and sketches that it does not name are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from sketchjax.data.folder.split_file import read_split_file
from sketchjax.errors import ConfigError

SPLITS = ("train", "validation", "gallery", "query")
LEFT_OUT = -1

DEFAULT_FRACTIONS = {"train": 0.8, "validation": 0.05, "gallery": 0.1, "query": 0.05}

# A band this many standard deviations wider than its count is filled by a category of the size
# that `Counts.wanted` names, but for about one category in a thousand.
_BAND_MARGIN = 3.0


@dataclass(frozen=True, slots=True)
class Shortage:
    """A category of which a split gets too few sketches. label: its index in the categories."""

    label: int
    reason: str


class SplitRule(Protocol):
    """How sketches are dealt out to the splits."""

    @property
    def advice(self) -> str:
        """What to do when categories have too few sketches."""
        ...

    def settings(self) -> dict:
        """The rule as plain data, for the manifest and to compare two conversions."""
        ...

    def assign(
        self, key_ids: np.ndarray, hashes: np.ndarray, labels: np.ndarray, classes: int
    ) -> tuple[np.ndarray, list[Shortage]]:
        """The split of each sketch, and the categories that have too few.

        key_ids, hashes: u64[n]; labels: i[n], below `classes`. Returns i8[n], an index into
        `SPLITS` or `LEFT_OUT`.
        """
        ...


def keyed_hash(numbers: np.ndarray, key: int | tuple[int, ...]) -> np.ndarray:
    """Hash numbers u64[n] to u64[n] under a key: SplitMix64's finaliser after adding the key.

    One-to-one for a fixed key, so distinct numbers never collide and their hashes sort without
    ties. Written in integers alone: the same on every machine and in every version of numpy.
    """
    offset = np.uint64(0)
    for part in (key,) if isinstance(key, int) else key:
        offset = _mix(offset ^ np.array([part % 2**64], np.uint64))[0]
    return _mix(np.asarray(numbers).astype(np.uint64, copy=False) + offset)


def _mix(state: np.ndarray) -> np.ndarray:
    """SplitMix64 (Steele, Lea, Flood 2014): one step of the sequence and its finaliser."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def rank_within(labels: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """Rank of each sketch by hash among those of its label, from 0: i64[n]."""
    order = np.lexsort((hashes, labels))
    ranks = np.empty(len(labels), np.int64)
    ordered = labels[order]
    first = np.flatnonzero(np.diff(ordered, prepend=-1))
    sizes = np.diff(first, append=len(ordered))
    ranks[order] = np.arange(len(ordered)) - np.repeat(first, sizes)
    return ranks


def _bands(hashes: np.ndarray, widths: Sequence[float]) -> np.ndarray:
    """The band that each hash u64[n] falls into: i8[n], `LEFT_OUT` past the last one."""
    # Edges in whole numbers of 2^-64: no hash stands between two bands. 0.8 + 0.05 + 0.1 + 0.05 may
    # miss 1 by a rounding error, which must not leave a sketch out.
    edges = [
        2**64 if edge > 1 - 1e-9 else round(edge * 2**64) for edge in np.cumsum(widths).tolist()
    ]
    bands = np.full(len(hashes), LEFT_OUT, np.int8)
    start = 0
    for band, edge in enumerate(edges):
        if edge > start:
            inside = (hashes >= np.uint64(start)) & (hashes <= np.uint64(edge - 1))
            bands[inside] = band
        start = edge
    return bands


@dataclass(frozen=True)
class Fractions:
    """A share of each category a split, by name; what is left of 1 is left out."""

    fractions: Mapping[str, float]
    advice = "Ask for a larger fraction for train, or add drawings."

    def __post_init__(self):
        problems = _unknown_splits(self.fractions)
        problems += [
            f"{name}={value}: a fraction lies within 0 to 1"
            for name, value in self.fractions.items()
            if not 0 <= value <= 1
        ]
        total = math.fsum(self.fractions.values())
        if not problems and not 0 < total <= 1 + 1e-9:
            problems.append(f"the fractions of the splits add up to {total:g}; at most 1 can be")
        if problems:
            raise ConfigError(problems)

    def settings(self) -> dict:
        return {"fractions": {name: float(self.fractions.get(name, 0)) for name in SPLITS}}

    def assign(self, key_ids, hashes, labels, classes):
        widths = [self.fractions.get(name, 0) for name in SPLITS]
        split = _bands(hashes, widths)
        shortages = []
        if self.fractions.get("train", 0) > 0:
            found = np.bincount(labels[split == 0], minlength=classes)
            shortages = [
                Shortage(int(label), "none of its sketches falls to the training split")
                for label in np.flatnonzero(found == 0)
            ]
        return split, shortages


@dataclass(frozen=True)
class Counts:
    """A number of sketches of each category a split, by name."""

    counts: Mapping[str, int]

    def __post_init__(self):
        problems = _unknown_splits(self.counts)
        problems += [
            f"{name}={value}: a count is a whole number, 0 or more"
            for name, value in self.counts.items()
            if value < 0 or value != int(value)
        ]
        if not problems and not sum(self.counts.values()):
            problems.append("the counts of all splits are 0: nothing would be converted")
        if problems:
            raise ConfigError(problems)

    def settings(self) -> dict:
        return {"counts": {name: int(self.counts.get(name, 0)) for name in SPLITS}}

    @property
    def wanted(self) -> int:
        """Sketches that a category should have for its bands to fill the counts."""
        return math.ceil(sum(self._weights()))

    @property
    def advice(self) -> str:
        return (
            f"These counts want about {self.wanted} sketches of a category, because the hash of a "
            "sketch fixes the only split that it may be in. Ask for fewer, or for fractions."
        )

    def _weights(self) -> list[float]:
        counts = [self.counts.get(name, 0) for name in SPLITS]
        return [count + _BAND_MARGIN * math.sqrt(count) for count in counts]

    def assign(self, key_ids, hashes, labels, classes):
        weights = self._weights()
        bands = _bands(hashes, [weight / math.fsum(weights) for weight in weights])
        split = np.full(len(labels), LEFT_OUT, np.int8)
        shortages = {}
        for index, name in enumerate(SPLITS):
            count = self.counts.get(name, 0)
            inside = np.flatnonzero(bands == index)
            taken = rank_within(labels[inside], hashes[inside]) < count
            split[inside[taken]] = index
            found = np.bincount(labels[inside], minlength=classes)
            for label in np.flatnonzero(found < count):
                shortages.setdefault(int(label), []).append(f"{name} {found[label]} of {count}")
        return split, [
            Shortage(label, "has " + ", ".join(parts)) for label, parts in sorted(shortages.items())
        ]


@dataclass(frozen=True)
class SplitFile:
    """Splits read from a CSV file with the heading `key_id,split`, one sketch a line.

    key_ids: u64[m], rising; splits: i8[m]; digest: sha256 of the file.
    """

    key_ids: np.ndarray
    splits: np.ndarray
    digest: str
    advice = "Add drawings of them, or do not ask for them."

    @classmethod
    def read(cls, path: str | Path) -> SplitFile:
        """Raises DataError when the file is missing, malformed, or names a sketch twice."""
        return cls(*read_split_file(Path(path), SPLITS))

    def settings(self) -> dict:
        return {"split_file": {"sha256": self.digest, "sketches": len(self.key_ids)}}

    def assign(self, key_ids, hashes, labels, classes):
        split = np.full(len(key_ids), LEFT_OUT, np.int8)
        if len(self.key_ids):
            place = np.minimum(np.searchsorted(self.key_ids, key_ids), len(self.key_ids) - 1)
            known = self.key_ids[place] == key_ids
            split[known] = self.splits[place[known]]
        return split, []


def split_rule(splits: SplitRule | Mapping[str, float] | str | Path | None) -> SplitRule:
    """The rule that `splits` means: a mapping of counts or of fractions by split, or a CSV file.

    Whole numbers (int) are counts a category, floats are fractions; None is `DEFAULT_FRACTIONS`.
    Raises ConfigError when the mapping mixes both or names an unknown split.
    """
    if splits is None:
        return Fractions(DEFAULT_FRACTIONS)
    if isinstance(splits, str | Path):
        return SplitFile.read(splits)
    if not isinstance(splits, Mapping):
        return splits
    if all(isinstance(value, int) for value in splits.values()):
        return Counts({name: int(value) for name, value in splits.items()})
    if all(isinstance(value, float) or value == 0 for value in splits.values()):
        return Fractions(splits)
    raise ConfigError(f"splits mix counts and fractions: {dict(splits)}; use one kind for all")


def _unknown_splits(values: Mapping[str, float]) -> list[str]:
    return [
        f"{name!r} is not a split; the splits are {', '.join(SPLITS)}"
        for name in values
        if name not in SPLITS
    ]
