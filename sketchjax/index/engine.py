"""What an index of drawings can do, whatever keeps it: the values and the two protocols.

An engine changes; a snapshot does not. A search takes one snapshot and asks only that, so that a
drawing that is added or deleted meanwhile is in all of its answer or in none of it.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import msgspec
import numpy as np

from sketchjax.data.sketch import Sketches
from sketchjax.data.sources import canonical
from sketchjax.errors import DataError
from sketchjax.retrieval.outputs import Outputs

MOST_CATEGORIES = (1 << 16) - 1  # a label is a u16, and the last one marks what is deleted


class Scale(msgspec.Struct, frozen=True):
    """The map of features to bytes: byte b is low + step · b. One for all features of an index, so
    that distances between bytes are in proportion to distances between features.
    """

    low: float
    step: float

    @classmethod
    def of(cls, features: np.ndarray) -> Scale:
        """A scale for features like these, f32[n f]; one in a thousand at either end is clipped."""
        low, high = (float(value) for value in np.quantile(features, (0.001, 0.999)))
        return cls(low, (high - low) / 255 or 1.0)

    def bytes_of(self, features: np.ndarray) -> np.ndarray:
        """Features f32[n f] as u8[n f]."""
        steps = np.rint((np.asarray(features, np.float64) - self.low) / self.step)
        return np.clip(steps, 0, 255).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Names(Sequence[str]):
    """A name for each of n items, as numbers and a table: 50 million are 100 MB.

    numbers: u[n].
    table: the name of each number.
    """

    numbers: np.ndarray
    table: Sequence[str]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: Any) -> Any:
        """One name; of a slice or of rows i64[m], the `Names` of these."""
        numbers = self.numbers[index]
        return Names(numbers, self.table) if np.ndim(numbers) else self.table[int(numbers)]


class Numbering:
    """Numbers for names, in the order in which they first appear.

    names: those that have numbers.
    numbers: of each name.
    """

    def __init__(self, names: Sequence[str] = ()):
        self.names = [*names]
        self.numbers = {name: number for number, name in enumerate(self.names)}

    def number(self, names: Sequence[str], dtype: Any) -> np.ndarray:
        """The number of each name, of this type; new names get the next numbers."""
        if isinstance(names, Names):
            used = np.unique(names.numbers)
            table = np.zeros(len(names.table), dtype)
            table[used] = [self._number(names.table[int(number)]) for number in used]
            return table[names.numbers]
        return np.fromiter(map(self._number, names), dtype, len(names))

    def names_of(self, names: Sequence[str], dtype: Any) -> Names:
        """The same names with the numbers that they have here."""
        return Names(self.number(names, dtype), self.names)

    def _number(self, name: str) -> int:
        number = self.numbers.setdefault(name, len(self.names))
        if number == len(self.names):
            self.names.append(name)
        return number


@dataclass(frozen=True, slots=True)
class Photos(Sketches):
    """n photos among drawings: they have no points.

    thumbnails: JPEG files of at most 128 px, a list of n.
    names: of their files, a list of n.
    """

    thumbnails: Sequence[bytes]
    names: Sequence[str]


@dataclass(frozen=True, eq=False)
class Items:
    """n indexed drawings or photos. A photo is what has no points.

    codes: u8[n d/8], bit j of a code is bit j % 8 of its byte j // 8.
    features: u8[n f], by the index's `Scale`.
    categories: the name of each.
    key_ids: u64[n], the drawings' own identifiers; 0 where there is none.
    sources: the name of the file that each came from; empty where it was no file.
    places: i64[n], the line or record of that file.
    points: u8[p 3], as in `Sketches`; item i owns points[offsets[i]:offsets[i + 1]].
    offsets: i64[n + 1].
    ids: i64[n], rising; empty before the index has given them out.
    thumbnails: a JPEG file for each photo, empty for each drawing; empty where there is no photo,
      or where they are not needed.
    """

    codes: np.ndarray
    features: np.ndarray
    categories: Sequence[str]
    key_ids: np.ndarray
    sources: Sequence[str]
    places: np.ndarray
    points: np.ndarray
    offsets: np.ndarray
    ids: np.ndarray
    thumbnails: Sequence[bytes] = ()

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def are_photos(self) -> np.ndarray:
        """Whether each item is a photo, which has no points: bool[n]."""
        return np.diff(self.offsets) == 0

    def points_of(self, index: int) -> np.ndarray:
        """The points u8[t 3] of one item, as a view."""
        return self.points[self.offsets[index] : self.offsets[index + 1]]

    def __getitem__(self, rows: Any) -> Items:
        """Some of the items.  rows: their places, in any order."""
        rows = np.asarray(rows, np.int64)
        points, offsets = gathered(self.points, self.offsets[rows], np.diff(self.offsets)[rows])
        return Items(
            codes=self.codes[rows],
            features=self.features[rows],
            categories=_of_rows(self.categories, rows),
            key_ids=self.key_ids[rows],
            sources=_of_rows(self.sources, rows),
            places=self.places[rows],
            points=points,
            offsets=offsets,
            ids=self.ids[rows] if len(self.ids) else self.ids,
            thumbnails=[self.thumbnails[int(row)] for row in rows] if self.thumbnails else (),
        )

    def with_ids(self, ids: np.ndarray) -> Items:
        """The same items with ids i64[n]."""
        return replace(self, ids=ids)

    @classmethod
    def of(cls, sketches: Sketches, outputs: Outputs, scale: Scale, source: str = "") -> Items:
        """Sketches as items without ids.

        sketches: n of them.
        outputs: of the model for them.
        scale: of the index's features.
        source: the name of the file that they came from.
        """
        sources, thumbnails = [source] * len(sketches), ()
        if isinstance(sketches, Photos):
            sources = [f"{source}/{name}" for name in sketches.names]
            thumbnails = sketches.thumbnails
        return cls(
            codes=outputs.codes.packed,
            features=scale.bytes_of(outputs.features),
            categories=sketches.categories,
            key_ids=sketches.key_ids,
            sources=sources,
            places=sketches.places,
            points=sketches.points,
            offsets=sketches.offsets,
            ids=np.zeros(0, np.int64),
            thumbnails=thumbnails,
        )


def _of_rows(names: Sequence[str], rows: np.ndarray) -> Sequence[str]:
    return names[rows] if isinstance(names, Names) else [names[int(row)] for row in rows]


def gathered(
    points: np.ndarray, starts: np.ndarray, lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The points of m items one after another, u8[q 3], with their offsets i64[m+1].

    points: u8[p 3], of all items.
    starts, lengths: i64[m], where the points of an item begin, and how many it has.
    """
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    # Each point's place: where its item begins, and its number within the item.
    places = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
    return points[places], offsets


@dataclass(frozen=True, eq=False)
class Found:
    """The answer of a snapshot to a query: k items or fewer, nearest first.

    ids: i64[k].
    distances: i32[k], Hamming distances.
    squares: i64[k], squared distances of the features in steps of the scale; None where the order
      is by Hamming distance and id only.
    histogram: i64[d+1], how many items are at each distance.
    radius: every item within it was compared by its features, up to `most`.
    compared: how many items that were.
    within: how many items are within the radius; more than `compared` where the limit cut them.
    """

    ids: np.ndarray
    distances: np.ndarray
    squares: np.ndarray | None
    histogram: np.ndarray
    radius: int
    compared: int
    within: int


class Description(msgspec.Struct, frozen=True):
    """What an index says about itself.

    name: of its folder.
    model: fingerprint of the model whose codes it holds.
    bits: d.
    features: f, bytes of features of an item.
    scale: of the features.
    count: items.
    snapshot: a number that rises with every change.
    categories: items by category, sorted by name.
    photos: how many of the items are photos.
    """

    name: str
    model: str
    bits: int
    features: int
    scale: Scale
    count: int
    snapshot: int
    categories: dict[str, int]
    photos: int = 0

    @property
    def noun(self) -> str:
        """What its items are called."""
        return noun_of(self.count, self.photos)


def noun_of(count: int, photos: int) -> str:
    """Drawing or photo, or item where there are both. count: of all.  photos: of these."""
    return "drawing" if not photos else "photo" if photos == count else "item"


@runtime_checkable
class Snapshot(Protocol):
    """An index at one moment."""

    def nearest(
        self,
        code: np.ndarray,
        features: np.ndarray | None,
        k: int,
        *,
        least: int,
        most: int,
        categories: Sequence[str] | None,
    ) -> Found:
        """The k nearest items to a query.

        code: u8[d/8].
        features: u8[f]; the items within the first distance that holds `least` items are ordered by
          the squared distance of their features, then id. None: the order is distance, then id.
        k: results.
        least: see features; at least k.
        most: items whose features are compared; the first by distance and id.
        categories: only items of these; None: of all.
        Raises DataError for a category that the index does not have.
        """
        ...

    def get(self, ids: Sequence[int]) -> Items:
        """The items with these ids, in this order.  Raises NoItem where there is none."""
        ...

    def thumbnail(self, id_: int) -> bytes:
        """The JPEG file of a photo.  Raises NoItem where there is no photo of this id."""
        ...

    def describe(self) -> Description:
        """What the snapshot holds."""
        ...


class Engine(Protocol):
    """An index that is searched and changed by many threads."""

    def snapshot(self) -> Snapshot:
        """The index as it is now."""
        ...

    def add(self, items: Items) -> np.ndarray:
        """Add items, durable when this returns; returns their ids i64[n], which nothing had before.

        Raises DataError where codes or features have another width, or the index is read-only.
        """
        ...

    def delete(self, ids: Sequence[int]) -> int:
        """Delete the items with these ids, durable when this returns; returns how many there were.

        Raises DataError where the index is read-only.
        """
        ...

    def compact(self) -> int:
        """Remove what is deleted from memory and disk; returns how many items that were.

        Raises DataError where the index is read-only.
        """
        ...

    def close(self) -> None:
        """Let go of files and locks."""
        ...


class Widths(Protocol):
    """Whatever says how many bits and features an item of an index has."""

    @property
    def bits(self) -> int: ...

    @property
    def features(self) -> int: ...


def check_widths(of: Widths, codes: np.ndarray, features: np.ndarray | None) -> None:
    """Raise DataError where codes u8[n d/8] or features u8[n f] are not those of the index."""
    if codes.shape[1] * 8 != of.bits:
        raise DataError(
            f"codes of {codes.shape[1] * 8} bits do not compare with the {of.bits} bits "
            "of the index; encode with the model of the index"
        )
    if features is not None and features.shape[1] != of.features:
        raise DataError(
            f"{features.shape[1]} features do not compare with the {of.features} of the "
            "index; encode with the model of the index"
        )


class TooManyCategories(DataError):
    """More categories than an index can have."""


def check_categories(has: Numbering, names: Sequence[str]) -> None:
    """Raise TooManyCategories where items of these would be too much for what an index has."""
    new = sum(name not in has.numbers for name in set(names))
    if len(has.names) + new > MOST_CATEGORIES:
        raise TooManyCategories(
            f"an index has at most {MOST_CATEGORIES:,} categories; divide the drawings over "
            "several indexes"
        )


def category_of(name: str, names: Collection[str]) -> str:
    """The category of an index that is meant, in any spelling that `canonical` knows.

    names: those that the index has.
    Raises DataError where it is none of them.
    """
    for spelling in (name, canonical(name)):
        if spelling in names:
            return spelling
    folded = {each.casefold(): each for each in [*names]}  # another thread may add to them
    near = difflib.get_close_matches(name.casefold(), folded, 1)
    hint = f"; did you mean {folded[near[0]]!r}?" if near else ""
    raise DataError(f"the index has no category {name!r}{hint}")


def possible(ids: Sequence[int]) -> np.ndarray:
    """Those ids that an item can have, i64[m], in their order."""
    return np.array([id_ for id_ in ids if 0 <= id_ < 1 << 63], np.int64)


class NoItem(DataError):
    """An id that nothing in the index has, or nothing of that kind."""


def no_item(id_: int) -> NoItem:
    """The error for an id that no item has."""
    return NoItem(f"there is no drawing {id_} in the index")


def no_photo(id_: int) -> NoItem:
    """The error for an id that is no photo's."""
    return NoItem(f"there is no photo {id_} in the index")
