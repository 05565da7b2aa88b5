"""What was added to an index together: which drawings, and the sha256 of what they were."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from sketchjax.index.engine import Items, Names

SIZE = 1 << 16  # drawings, about, of a block that is not joined with others
PART = 1 << 15  # drawings, at least, that are read at once


class Block(NamedTuple):
    """Neighbouring drawings.

    first, last: ids.
    searched: the sha256 of all that a search compares.
    details: the sha256 of the rest.
    """

    first: int
    last: int
    searched: str
    details: str

    @classmethod
    def of(cls, items: Items) -> Block:
        """Of items whose categories and sources are `Names`, with points and thumbnails."""
        return cls(int(items.ids[0]), int(items.ids[-1]), _searched(items), _details(items))

    @property
    def span(self) -> int:
        """The most drawings that it can have."""
        return self.last - self.first + 1


def check(items: Items, blocks: Sequence[Block], *, details: bool) -> None:
    """Raise ValueError where items are not those of some neighbouring blocks.

    details: whether what a search does not compare is checked as well.
    """
    end = 0
    for block in blocks:
        low, high = np.searchsorted(items.ids, [block.first, block.last + 1])
        part = _part(items, low, high)
        same = low == end and _searched(part) == block.searched
        if not same or (details and _details(part) != block.details):
            raise ValueError(f"the drawings {block.first} to {block.last} are not what was written")
        end = high
    if end != len(items):
        raise ValueError("drawings belong to no block")


def parts(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    """Neighbours that are read at once.  blocks: rising."""
    some: list[Block] = []
    for block in blocks:
        some.append(block)
        if block.last - some[0].first >= PART:
            yield some
            some = []
    if some:
        yield some


def joined(blocks: Sequence[tuple[Block, bool]]) -> Iterator[list[Block]]:
    """Each row of neighbours that become one block.

    blocks: rising, and whether some of each is deleted.
    """
    run: list[Block] = []
    count, changed = 0, False
    for block, has_deleted in blocks:
        if run and count + block.span > SIZE:
            if changed or len(run) > 1:
                yield run
            run, count, changed = [], 0, False
        run.append(block)
        count, changed = count + block.span, changed or has_deleted
    if changed or len(run) > 1:
        yield run


def _part(items: Items, low: int, high: int) -> Items:
    """The items from one row to another, as views."""
    rows, start = slice(low, high), items.offsets[low]
    return Items(
        codes=items.codes[rows],
        features=items.features[rows],
        categories=_names(items.categories)[rows],
        key_ids=items.key_ids[rows],
        sources=_names(items.sources)[rows],
        places=items.places[rows],
        points=items.points[start : items.offsets[high]],
        offsets=items.offsets[low : high + 1] - start,
        ids=items.ids[rows],
        thumbnails=items.thumbnails[rows],
    )


def _searched(items: Items) -> str:
    return _digest(items.ids, items.codes, items.features, _names(items.categories).numbers)


def _details(items: Items) -> str:
    numbers = _names(items.sources).numbers
    arrays = [items.key_ids, numbers, items.places, items.offsets, items.points]
    if any(items.thumbnails):
        arrays.append(np.array([len(content) for content in items.thumbnails]))
        arrays.append(np.frombuffer(b"".join(items.thumbnails), np.uint8))
    return _digest(*arrays)


def _names(names: Sequence[str]) -> Names:
    assert isinstance(names, Names)
    return names


def _digest(*arrays: np.ndarray) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
