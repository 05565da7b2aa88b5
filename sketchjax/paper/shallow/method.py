"""What all shallow methods have in common: they are fitted to features in blocks, then encode."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Protocol, Self

import numpy as np

from sketchjax.errors import ConfigError, DataError

BLOCK = 65_536  # rows: 64 MiB of 256 float32


class Features(Protocol):
    """f[n e] by `len` and slices of rows: an array, a memmap, an h5py data set, a reader."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Any: ...


class Method(ABC):
    """A hash function of `bits` bits, fitted to features.

    bits: d, 1 or more; seed: of all that is random (equal seeds give equal codes on the same
    machine); block: rows that are read and worked on at a time. The codes do not depend on it but
    by the rounding of sums. Raises ConfigError when bits or block cannot be.
    """

    needs_labels = False

    def __init__(self, bits: int, seed: int = 0, *, block: int = BLOCK):
        problems = [
            f"{name}={value}: 1 or more can be"
            for name, value in (("bits", bits), ("block", block))
            if value < 1
        ]
        if problems:
            raise ConfigError(problems)
        self.bits, self.seed, self.block = bits, seed, block
        self._width: int | None = None  # e, once fitted

    def fit(self, features: Features, labels: np.ndarray | None = None) -> Self:
        """Learn from features f[n e] and, where `needs_labels`, labels i[n]; others ignore labels.

        Raises DataError when features or labels are not what they must be, ConfigError when the
        labels are missing or the method cannot give as many bits for these features.
        """
        if len(features) < 2:
            raise DataError(f"{len(features)} rows of features: fit wants 2 or more")
        self._width = next(blocks(features, 1)).shape[1]
        if self.needs_labels:
            self._fit(features, _checked(labels, len(features), type(self).__name__))
        else:
            self._fit(features, np.zeros(0, np.int64))
        return self

    def encode(self, features: Features) -> np.ndarray:
        """Codes bool[n bits] of features f[n e]: `project` above 0.

        Raises ConfigError before `fit`, DataError for features of another width than e or not
        finite.
        """
        if self._width is None:
            raise ConfigError(f"{type(self).__name__} encodes only after fit: call fit first")
        codes = np.empty((len(features), self.bits), bool)
        start = 0
        for rows in blocks(features, self.block):
            if rows.shape[1] != self._width:
                raise DataError(
                    f"features have {rows.shape[1]} columns, those of fit had {self._width}"
                )
            codes[start : start + len(rows)] = self.project(rows) > 0
            start += len(rows)
        return codes

    @abstractmethod
    def _fit(self, features: Features, labels: np.ndarray) -> None:
        """labels: i64[n] from 0 to l - 1 without gaps; empty unless `needs_labels`."""

    @abstractmethod
    def project(self, rows: np.ndarray) -> np.ndarray:
        """The values f32[b bits] of rows f32[b e] whose sign is the code."""


class LinearMethod(Method):
    """A method whose bit is the side of a hyperplane: w·x > t.

    directions: f32[e d], the columns w; thresholds: f32[d].
    """

    directions: np.ndarray
    thresholds: np.ndarray

    def project(self, rows: np.ndarray) -> np.ndarray:
        return rows @ self.directions - self.thresholds

    def _set(self, directions: np.ndarray, center: np.ndarray) -> None:
        """Hyperplanes through a point: directions f[e d], center f[e]."""
        self.directions = directions.astype(np.float32)
        # The threshold in float64: features far from 0 lose nothing in it.
        self.thresholds = (center @ directions).astype(np.float32)


def blocks(features: Features, size: int) -> Iterator[np.ndarray]:
    """The rows f32[b e] of features f[n e], `size` at a time, checked to be finite."""
    for start in range(0, len(features), size):
        rows = np.asarray(features[start : start + size])
        if rows.ndim != 2 or not np.issubdtype(rows.dtype, np.number):
            raise DataError(
                f"features must be numbers [n e], rows {start} on are {rows.dtype} {rows.shape}"
            )
        rows = rows.astype(np.float32, copy=False)
        # The sum of a block is finite but where one of its numbers is not, or is beyond reason.
        if not np.isfinite(rows.sum(dtype=np.float64)):
            bad = start + int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
            raise DataError(f"features are not finite in row {bad}: look at what made them")
        yield rows


def sample_rows(features: Features, count: int, seed: int, block: int = BLOCK) -> np.ndarray:
    """`count` rows f32[count e] drawn without repetition, in their order; all where there are less.

    One pass over all features; which rows does not depend on `block`.
    """
    count = min(count, len(features))
    chosen = np.sort(np.random.default_rng(seed).choice(len(features), count, replace=False))
    parts, start = [], 0
    for rows in blocks(features, block):
        first, last = np.searchsorted(chosen, [start, start + len(rows)])
        parts.append(rows[chosen[first:last] - start])
        start += len(rows)
    return np.concatenate(parts)


def _checked(labels: np.ndarray | None, count: int, method: str) -> np.ndarray:
    """Labels as i64[n] from 0 to l - 1 without gaps."""
    if labels is None:
        raise ConfigError(f"{method} is supervised: give fit the labels i[n] of the features")
    labels = np.asarray(labels)
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"labels must be integers [{count}], one a row of features; "
            f"they are {labels.dtype} {labels.shape}"
        )
    names, numbers = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        raise DataError(f"all labels are {names[0]}: {method} wants two classes or more")
    return numbers
