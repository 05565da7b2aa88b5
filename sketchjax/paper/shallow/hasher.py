"""What all shallow methods share: they are fitted to features in blocks, then encode them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Protocol, Self

import numpy as np

from sketchjax.errors import ConfigError, DataError

BLOCK = 65_536  # rows: 64 MiB of 256 float32


class Features(Protocol):
    """f[n e], read by `len` and slices of rows: an array, a memmap, an h5py dataset, a reader."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Any: ...


class Hasher(ABC):
    """A hash function fitted to features.

    bits: d, length of the codes, at least 1.
    seed: of everything random; on one machine the same seed gives the same codes. Default 0.
    block: rows read and processed at a time, at least 1. It affects codes only through the
      rounding of sums.
    Raises ConfigError when bits or block is out of range.
    """

    needs_labels = False

    def __init__(self, bits: int, seed: int = 0, *, block: int = BLOCK):
        problems = [
            f"{name}={value}: must be at least 1"
            for name, value in (("bits", bits), ("block", block))
            if value < 1
        ]
        if problems:
            raise ConfigError(problems)
        self.bits, self.seed, self.block = bits, seed, block
        self._width: int | None = None  # e, once fitted

    def fit(self, features: Features, labels: np.ndarray | None = None) -> Self:
        """Learn from features f[n e] and, if `needs_labels`, labels i[n]; otherwise ignore labels.

        Raises DataError for features or labels of the wrong type, shape or value, and ConfigError
        when labels are missing or the method cannot produce that many bits from these features.
        """
        if len(features) < 2:
            raise DataError(f"fit got {len(features)} rows of features: it needs at least 2")
        _, first = next(blocks(features, 1))
        self._width = first.shape[1]
        if self.needs_labels:
            self._fit(features, _class_numbers(labels, len(features), type(self).__name__))
        else:
            self._fit(features, np.zeros(0, np.int64))
        return self

    def encode(self, features: Features) -> np.ndarray:
        """Codes bool[n bits] of features f[n e]: where `project` is above 0.

        Raises ConfigError before `fit`, and DataError when the features do not have e columns or
        are not finite.
        """
        if self._width is None:
            raise ConfigError(f"{type(self).__name__} is not fitted: call fit before encode")
        codes = np.empty((len(features), self.bits), bool)
        for place, rows in blocks(features, self.block):
            if rows.shape[1] != self._width:
                raise DataError(f"features have {rows.shape[1]} columns, but fit saw {self._width}")
            codes[place] = self.project(rows) > 0
        return codes

    def arrays(self) -> dict[str, np.ndarray]:
        """All numbers that decide the codes, by name: what `restore` needs."""
        numbers = (np.ndarray, float, int)
        found = {name: own for name, own in vars(self).items() if isinstance(own, numbers)}
        return {name: np.asarray(own) for name, own in found.items()}

    def restore(self, arrays: dict[str, np.ndarray]) -> Self:
        """Be as fitted as the hasher that gave these arrays."""
        vars(self).update({name: own if own.ndim else own.item() for name, own in arrays.items()})
        return self

    @abstractmethod
    def _fit(self, features: Features, labels: np.ndarray) -> None:
        """labels: i64[n] from 0 to l - 1 without gaps; empty unless `needs_labels`."""

    @abstractmethod
    def project(self, rows: np.ndarray) -> np.ndarray:
        """Values f32[b bits] of rows f32[b e]; their signs are the code."""


class LinearHasher(Hasher):
    """A method whose bits are sides of hyperplanes: w·x > t.

    directions: f32[e d], the columns w; thresholds: f32[d].
    """

    directions: np.ndarray
    thresholds: np.ndarray

    def project(self, rows: np.ndarray) -> np.ndarray:
        return rows @ self.directions - self.thresholds

    def _set(self, directions: np.ndarray, center: np.ndarray) -> None:
        """Use hyperplanes normal to directions f[e d] through the point center f[e]."""
        self.directions = directions.astype(np.float32)
        # Thresholds in float64: features far from 0 lose no precision.
        self.thresholds = (center @ directions).astype(np.float32)


def blocks(features: Features, size: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Features f[n e] as (place, rows f32[b e]), `size` rows at a time, checked to be finite."""
    for start in range(0, len(features), size):
        rows = np.asarray(features[start : start + size])
        if rows.ndim != 2 or not np.issubdtype(rows.dtype, np.number):
            raise DataError(
                f"features must be numbers [n e]: from row {start} they are "
                f"{rows.dtype} {rows.shape}"
            )
        rows = rows.astype(np.float32, copy=False)
        # One sum finds a bad block: it is finite unless an entry is not, or is absurdly large.
        if not np.isfinite(rows.sum(dtype=np.float64)):
            bad = start + int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
            raise DataError(f"features are not finite in row {bad}: check what produced them")
        yield slice(start, start + len(rows)), rows


def sample_rows(features: Features, count: int, seed: int, block: int = BLOCK) -> np.ndarray:
    """Draw rows f32[count e] without replacement, in one pass and in their order.

    features: f[n e].
    count: rows to draw; all n if there are fewer.
    seed: which rows are drawn.
    block: rows read at a time; it does not change which rows are drawn.
    """
    count = min(count, len(features))
    chosen = np.sort(np.random.default_rng(seed).choice(len(features), count, replace=False))
    parts = []
    for place, rows in blocks(features, block):
        first, last = np.searchsorted(chosen, [place.start, place.stop])
        parts.append(rows[chosen[first:last] - place.start])
    return np.concatenate(parts)


def check_kernel_width(width: float | None) -> None:
    """Raise ConfigError unless a kernel's width is positive, or None to derive it from the data."""
    if width is not None and not width > 0:
        raise ConfigError(f"width={width}: must be above 0")


def _class_numbers(labels: np.ndarray | None, count: int, method: str) -> np.ndarray:
    """Labels as i64[n] from 0 to l - 1 without gaps."""
    if labels is None:
        raise ConfigError(f"{method} is supervised: pass labels i[n] to fit")
    labels = np.asarray(labels)
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"labels must be integers [{count}], one per row of features: "
            f"they are {labels.dtype} {labels.shape}"
        )
    names, numbers = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        raise DataError(f"all labels are {names[0]}: {method} needs at least two classes")
    return numbers
