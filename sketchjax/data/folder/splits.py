"""Which split a sketch belongs to, decided by a keyed hash of its `key_id`.

The hash depends only on the `key_id` and the seed, never on the file or the other sketches. The
range 0 to 2^64 is cut into one band per split, the same in every category:

- `Fractions`: the bands are the fractions. Adding files never changes a sketch's split.
- `Counts`: the counts fix the bands, and a split takes the smallest hashes of its band up to its
  count. Adding files can push a sketch out of a full split, but it is then left out: it never
  moves to another split.
- `SplitFile`: a file decides. Sketches that it does not name are left out, but for a number of each
  category, those with the smallest hashes, that may be trained on too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from sketchjax.data.folder.hashing import rank_within
from sketchjax.data.folder.split_file import read_split_file
from sketchjax.errors import ConfigError

SPLITS = ("train", "validation", "gallery", "query")
LEFT_OUT = -1

DEFAULT_FRACTIONS = {"train": 0.8, "validation": 0.05, "gallery": 0.1, "query": 0.05}

# A band is this many standard deviations wider than its count, so that all but about one category
# in a thousand of the size `Counts.wanted` fill it.
_BAND_MARGIN = 3.0


@dataclass(frozen=True, slots=True)
class Shortage:
    """A split for which a category has too few sketches.

    label: the category's index.
    split: its name; empty: any split.
    reason: what is missing, in words.
    """

    label: int
    split: str
    reason: str


class SplitRule(Protocol):
    """A way to divide sketches between the splits."""

    @property
    def advice(self) -> str:
        """What to do when categories have too few sketches."""
        ...

    def settings(self) -> dict:
        """The rule as plain data, to record it and to compare two conversions."""
        ...

    @property
    def names_all(self) -> bool:
        """Whether the rule names every sketch of a split, so that it may leave categories out."""
        ...

    def absent(self, key_ids: np.ndarray) -> int:
        """How many sketches the rule names that are not among key_ids u64[n]."""
        ...

    def assign(
        self, key_ids: np.ndarray, hashes: np.ndarray, labels: np.ndarray, classes: int
    ) -> tuple[np.ndarray, list[Shortage]]:
        """The split of each sketch, and the categories that have too few.

        key_ids: u64[n].
        hashes: u64[n], the keyed hashes of the key_ids.
        labels: i[n], below `classes`.
        classes: number of categories.
        Returns i8[n], an index into `SPLITS` or `LEFT_OUT`, and the shortages.
        """
        ...


def band_of(hashes: np.ndarray, widths: Sequence[float]) -> np.ndarray:
    """The band that each hash u64[n] falls into: i8[n], `LEFT_OUT` past the last one."""
    # The edges are whole numbers of 2^-64, so no hash lies between two bands. 0.8 + 0.05 + 0.1 +
    # 0.05 may miss 1 by a rounding error, which must not leave a sketch out.
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


class _Unnamed:
    """A rule that names no sketch."""

    names_all = False

    def absent(self, key_ids: np.ndarray) -> int:
        del key_ids
        return 0


@dataclass(frozen=True)
class Fractions(_Unnamed):
    """A share of each category for each split, by name. A remainder below 1 is left out."""

    fractions: Mapping[str, float]
    advice = "Ask for a larger fraction for train, or add drawings."

    def __post_init__(self):
        problems = _unknown_splits(self.fractions)
        problems += [
            f"{name}={value}: a fraction must lie within 0 to 1"
            for name, value in self.fractions.items()
            if not 0 <= value <= 1
        ]
        total = math.fsum(self.fractions.values())
        if not problems and not 0 < total <= 1 + 1e-9:
            problems.append(f"the fractions of the splits add up to {total:g}, not to at most 1")
        if problems:
            raise ConfigError(problems)

    def settings(self) -> dict:
        return {"fractions": {name: float(self.fractions.get(name, 0)) for name in SPLITS}}

    def assign(self, key_ids, hashes, labels, classes):
        widths = [self.fractions.get(name, 0) for name in SPLITS]
        split = band_of(hashes, widths)
        shortages = []
        if self.fractions.get("train", 0) > 0:
            found = np.bincount(labels[split == 0], minlength=classes)
            shortages = [
                Shortage(int(label), "train", "none of its sketches fall into the training split")
                for label in np.flatnonzero(found == 0)
            ]
        return split, shortages


@dataclass(frozen=True)
class Counts(_Unnamed):
    """A number of sketches of each category for each split, by name."""

    counts: Mapping[str, int]

    def __post_init__(self):
        problems = _unknown_splits(self.counts)
        problems += [
            f"{name}={value}: a count must be a whole number of at least 0"
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
        """How many sketches a category should have, so that its bands fill the counts."""
        return math.ceil(sum(self._weights()))

    @property
    def advice(self) -> str:
        return (
            f"These counts need about {self.wanted} sketches of each category, because its hash "
            "fixes the only split that a sketch can be in. Ask for fewer, or for fractions."
        )

    def _weights(self) -> list[float]:
        counts = [self.counts.get(name, 0) for name in SPLITS]
        return [count + _BAND_MARGIN * math.sqrt(count) for count in counts]

    def assign(self, key_ids, hashes, labels, classes):
        weights = self._weights()
        bands = band_of(hashes, [weight / math.fsum(weights) for weight in weights])
        split = np.full(len(labels), LEFT_OUT, np.int8)
        shortages = []
        for index, name in enumerate(SPLITS):
            count = self.counts.get(name, 0)
            inside = np.flatnonzero(bands == index)
            taken = rank_within(labels[inside], hashes[inside]) < count
            split[inside[taken]] = index
            found = np.bincount(labels[inside], minlength=classes)
            shortages += [
                Shortage(int(label), name, f"has {name} {found[label]} of {count}")
                for label in np.flatnonzero(found < count)
            ]
        return split, shortages


@dataclass(frozen=True)
class SplitFile:
    """Splits read from a CSV file with the heading `key_id,split`, one sketch per line.

    key_ids: u64[m], rising; splits: i8[m]; digest: sha256 of the file.
    extra_train: sketches of each category, at most, that are trained on though the file does not
      name them.
    """

    key_ids: np.ndarray
    splits: np.ndarray
    digest: str
    extra_train: int = 0
    advice = "Add drawings of them, or do not ask for them."
    names_all = True

    @classmethod
    def read(cls, path: str | Path, *, extra_train: int = 0) -> SplitFile:
        """Raises DataError if the file is missing, malformed, or names a sketch twice."""
        return cls(*read_split_file(Path(path), SPLITS), extra_train)

    def settings(self) -> dict:
        extra = {"extra_train": self.extra_train} if self.extra_train else {}
        return {"split_file": {"sha256": self.digest, "sketches": len(self.key_ids), **extra}}

    def absent(self, key_ids):
        return len(self.key_ids) - int(np.isin(self.key_ids, key_ids).sum())

    def assign(self, key_ids, hashes, labels, classes):
        split = np.full(len(key_ids), LEFT_OUT, np.int8)
        if len(self.key_ids):
            place = np.minimum(np.searchsorted(self.key_ids, key_ids), len(self.key_ids) - 1)
            known = self.key_ids[place] == key_ids
            split[known] = self.splits[place[known]]
        else:
            known = np.zeros(len(key_ids), bool)
        others = np.flatnonzero(~known)
        taken = rank_within(labels[others], hashes[others]) < self.extra_train
        split[others[taken]] = SPLITS.index("train")
        return split, []


@dataclass(frozen=True)
class NamedFirst:
    """Splits of some sketches by name, as a picture folder gives them; others by another rule.

    named: the sketches of the picture folders, each with its split; None: in none of them.
    others: the rule for all other sketches.
    """

    named: Mapping[int, str | None]
    others: SplitRule
    names_all = True

    @property
    def advice(self) -> str:
        return self.others.advice

    def settings(self) -> dict:
        return self.others.settings()

    def absent(self, key_ids):
        return self.others.absent(key_ids)

    def assign(self, key_ids, hashes, labels, classes):
        split = np.full(len(key_ids), LEFT_OUT, np.int8)
        known = np.isin(key_ids, np.fromiter(self.named, np.uint64, len(self.named)))
        for place in np.flatnonzero(known).tolist():
            name = self.named[int(key_ids[place])]
            split[place] = LEFT_OUT if name is None else SPLITS.index(name)
        rest = np.flatnonzero(~known)
        split[rest], shortages = self.others.assign(
            key_ids[rest], hashes[rest], labels[rest], classes
        )
        present = {*labels[rest].tolist()}
        return split, [shortage for shortage in shortages if shortage.label in present]


def split_rule(splits: SplitRule | Mapping[str, float] | str | Path | None) -> SplitRule:
    """The rule for `splits`: a mapping of counts or fractions by split, or a CSV file.

    Whole numbers (int) are counts per category, floats are fractions; None is `DEFAULT_FRACTIONS`.
    Raises ConfigError if the mapping mixes both or names an unknown split.
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
