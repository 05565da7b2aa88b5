"""The index in ClickHouse at one moment: what it answers, and whether it is what was written."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np
from msgspec.structs import replace

from sketchjax.errors import BrokenIndexError
from sketchjax.index.clickhouse_tables import Compaction, digest_of, item_columns, items_of
from sketchjax.index.engine import (
    Description,
    Found,
    Items,
    category_of,
    check_widths,
    no_item,
    no_photo,
    possible,
)
from sketchjax.index.server import Server
from sketchjax.retrieval.popcount import words


@dataclass(frozen=True, eq=False)
class ClickHouseSnapshot:
    """A `Snapshot` of an index in ClickHouse.

    server: that has it.
    description: of the index; count and categories are not filled in.
    version: the greatest that is seen.
    changes: how many there were.
    gaps: lesser versions whose changes were not finished then.
    """

    server: Server
    description: Description
    version: int
    changes: int
    gaps: list[int]

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
        """The k nearest items to a query; see `engine.Snapshot`."""
        check_widths(self.description, code[None], None if features is None else features[None])
        if features is None:
            least = most = k
        where = self._items
        if categories is not None:
            own = [category_of(name, self._added) for name in categories]
            names = ", ".join(map(_quoted, own)) or "''"
            where += f" and category in ({names})" if categories else " and 0"
        distance = _distance(code)
        histogram = np.zeros(self.description.bits + 1, np.int64)
        query = f"select {distance} as distance, count() from sketches where {where} group by 1"
        for own, count in self.server.rows(query):
            histogram[own] = count
        within = np.cumsum(histogram)
        radius = min(int(np.searchsorted(within, least)), self.description.bits)
        every = int(within[radius])
        pool = f"from sketches where {where} and {distance} <= {radius}"
        if features is None:
            query = f"select id, {distance} as distance {pool} order by distance, id limit {k}"
        else:
            values = ", ".join(map(str, features.tolist()))
            if every > most:
                pool = f"""from (select id, {distance} as distance, features {pool}
                    order by distance, id limit {most})"""
                distance = "distance"
            square = f"L2SquaredDistance(features, [{values}]::Array(UInt8))"
            query = f"""select id, {distance} as distance, toInt64({square}) as square {pool}
                order by square, id limit {k}"""
        found = self.server.columns(query) or [[]] * 3
        return Found(
            ids=np.array(found[0], np.int64),
            distances=np.array(found[1], np.int32),
            squares=None if features is None else np.array(found[2], np.int64),
            histogram=histogram,
            radius=radius,
            compared=min(every, most),
            within=every,
        )

    def get(self, ids: Sequence[int]) -> Items:
        """The items with these ids, in this order; see `engine.Snapshot`."""
        return self._fetch(ids, f"{_among(ids)} and {self._items}")

    def describe(self) -> Description:
        """What the snapshot holds; see `engine.Snapshot`."""
        return self._described

    def categories_of(self, ids: Sequence[int]) -> dict[int, str]:
        """The category of each item that is there, by id, rising."""
        where = f"{_among(ids)} and {self._items}"
        query = f"select id, category from sketches where {where} order by id"
        return {int(number): name for number, name in self.server.rows(query)}

    def thumbnail(self, id_: int) -> bytes:
        """The JPEG file of a photo; see `engine.Snapshot`."""
        where = f"id = {int(id_)} and {self._seen} and id global not in ({self.deleted})"
        columns = self.server.columns(f"select thumbnail from photos where {where}", text=False)
        if not columns or not columns[0]:
            raise no_photo(id_)
        return columns[0][0]

    def additions(self) -> Iterator[tuple[int, Items, list[int]]]:
        """Read what was added, and check that it is what was written, or what compactions left.

        Yields of each addition the first id, what no compaction has removed of it, deleted or not,
        and the ids of it that are deleted, removed or not.
        Raises BrokenIndexError where something differs.
        """
        # Who sees more changes sees all that others saw, so this one removed most.
        query = f"select digest from changes where kind = 'compact' and {self._seen}"
        done = [msgspec.json.decode(row[0], type=Compaction) for row in self.server.rows(query)]
        last = max(done, key=lambda each: each.changes, default=Compaction(0, [], 0, {}))
        removed = _seen_by(last.version, last.gaps)
        query = f"""select version, first, added, digest from changes where kind = 'add' and
            {self._seen} order by version limit 1 by version"""
        for _, first, added, digest in self.server.rows(query):
            query = f"""select id, max({removed}) from deleted where id >= {first}
                and id < {first + added} and {self._seen} group by id"""
            gone = dict(self.server.rows(query))
            items = self._whole([id_ for id_ in range(first, first + added) if not gone.get(id_)])
            if digest_of(items) != last.digests.get(str(first), digest):
                raise BrokenIndexError(
                    f"{self.server.address}: the drawings {first} to {first + added - 1} are not "
                    "what was written; restore the database from a copy, or build the index again"
                )
            yield first, items, [*gone]

    def _whole(self, ids: Sequence[int]) -> Items:
        """Items by their rising ids, with their thumbnails, deleted or not."""
        where = f"id >= {ids[0]} and id <= {ids[-1]}" if ids else "0"
        columns = self.server.columns(f"select id, thumbnail from photos where {where}", text=False)
        found = dict(zip(*columns, strict=True)) if columns else {}
        thumbnails = [found.get(id_, b"") for id_ in ids] if found else ()
        return dataclasses.replace(self._fetch(ids, where), thumbnails=thumbnails)

    def _fetch(self, ids: Sequence[int], where: str) -> Items:
        """Items by their ids, all of which the condition gives.

        Raises NoItem where it does not give one.
        """
        names = item_columns(self.description.bits)
        query = f"select {', '.join(names)} from sketches where {where}"
        columns = self.server.columns(query, text=False) or [[] for _ in names]
        row_of = {int(number): row for row, number in enumerate(columns[0])}
        for number in ids:
            if int(number) not in row_of:
                raise no_item(number)
        rows = [row_of[int(number)] for number in ids]
        chosen = [[column[row] for row in rows] for column in columns]
        return items_of(dict(zip(names, chosen, strict=True)), self.description)

    @cached_property
    def _described(self) -> Description:
        query = f"select category, uniqExact(id) from deleted where {self._seen} group by 1"
        deleted: dict[str, int] = dict(self.server.rows(query))
        counts = {
            name: count - deleted.get(name, 0)
            for name, count in self._added.items()
            if count > deleted.get(name, 0)
        }
        return replace(
            self.description,
            count=sum(counts.values()),
            categories={name: int(counts[name]) for name in sorted(counts)},
            photos=self.server.value(f"select count() from photos where {self._items}"),
        )

    @cached_property
    def _added(self) -> dict[str, int]:
        """All drawings that were ever added, by category."""
        return self.server.value(
            f"select sumMap(categories) from (select * from changes where {self._seen} "
            "limit 1 by version)"
        )

    @cached_property
    def _items(self) -> str:
        """The condition for items of this snapshot."""
        if not self.server.value(f"select count() from ({self.deleted})"):
            return self._seen
        return f"{self._seen} and id global not in ({self.deleted})"

    @property
    def deleted(self) -> str:
        """The query for the ids that are deleted."""
        return f"select id from deleted where {self._seen}"

    @cached_property
    def _seen(self) -> str:
        """The condition for rows whose change is seen."""
        return _seen_by(self.version, self.gaps)


def _seen_by(version: int, gaps: Sequence[int]) -> str:
    """The condition for rows of a change that a snapshot sees."""
    listed = f" and version not in ({', '.join(map(str, gaps))})" if gaps else ""
    return f"version <= {version}{listed}"


def _among(ids: Sequence[int]) -> str:
    """The condition for rows with these ids."""
    return f"id in ({', '.join(map(str, np.unique(possible(ids)))) or 'null'})"


def _quoted(text: str) -> str:
    """A text as a literal of SQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _distance(code: np.ndarray) -> str:
    """The Hamming distance to a code u8[d/8]."""
    parts = [
        f"bitCount(bitXor(code{number}, toUInt64({word})))"
        for number, word in enumerate(words(code[None])[0].tolist())
    ]
    return " + ".join(parts) if len(parts) == 1 else f"({' + '.join(parts)})"
