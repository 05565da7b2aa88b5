"""An index as a folder: one DuckDB file, and the model that made its codes.

    INDEX/index.duckdb    sketches, blocks, deleted, categories, sources, meta; the view `drawings`
    INDEX/version         the number of the last change
    INDEX/model/          a copy of the model

Changes only append: a deleted drawing is listed in `deleted`, so that whoever still reads an older
snapshot finds its points. `compact` removes what is listed and joins small blocks. A block is what
was added together; its sha256 covers all that a search compares, and is checked on opening.
DuckDB's own checksums cover the file. An index is read some ten thousand drawings at a time, so
that opening it takes the memory of what is kept.
`version` is written after each change: a database that lost the end of its journal, which DuckDB
takes for a change that was never finished, is behind it and refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec.structs import replace

from sketchjax.errors import DiskError, DoubtfulError, on_disk
from sketchjax.files import write_whole
from sketchjax.index.blocks import Block, check, joined, parts
from sketchjax.index.database import Database
from sketchjax.index.details import Detail, Room
from sketchjax.index.engine import (
    MOST_CATEGORIES,
    Description,
    Items,
    Names,
    Numbering,
    check_categories,
)
from sketchjax.index.records import FORMAT, Meta, Progress
from sketchjax.retrieval.popcount import words

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

VERSION, MODEL = "version", "model"
# Of indexes that an earlier version made.
_DIGESTS = "alter table progress add column if not exists digest varchar default ''"
_PHOTOS = "create table if not exists photos(id bigint not null, thumbnail blob not null)"


class Store:
    """The database of an index; one process writes at a time. `opening` opens a finished one.

    folder: of the index.
    read_only: whether nothing may change; any number of processes can read.
    meta: of a new database; None: it is there.
    files: that a new database will hold.
    building: the index that is built in this folder, which errors name; None: this one.
    Raises InUseError when another process holds the index, and BrokenIndexError when it is
    damaged.
    """

    def __init__(
        self,
        folder: Path,
        *,
        read_only: bool,
        meta: Meta | None = None,
        files: Sequence[Progress] = (),
        building: Path | None = None,
    ):
        self.folder, self.read_only, self._failed = folder, read_only, False
        self._shown = folder / VERSION if building is None else building
        self._database = Database(
            folder, read_only=read_only, is_new=meta is not None, building=building
        )
        try:
            with self._database.errors(writing=meta is not None):
                if meta is not None:
                    self._create(meta, files)
                self._load()
            self._acknowledged = self.meta.version
        except BaseException:
            self._database.close()
            raise

    def _load(self) -> None:
        self.meta = self._read_meta()
        self._database.make_room(self.meta.next_id)
        self._categories = Numbering(self._database.names("categories", "label"))
        if len(self._categories.names) > MOST_CATEGORIES:  # earlier versions let that be
            raise ValueError(f"it has more than {MOST_CATEGORIES:,} categories")
        self._sources = Numbering(self._database.names("sources", "source"))
        self._kept = len(self._categories.names), len(self._sources.names)

    @property
    def next_id(self) -> int:
        """The least id that nothing ever had."""
        return self.meta.next_id

    def add(self, items: Items, progress: Progress | None = None) -> None:
        """Keep items that have their ids, all or none, durable when this returns.

        items: with ids from `next_id`.
        progress: of the file that they came from, kept in the same transaction.
        Raises DataError where there would be too many categories.
        """
        check_categories(self._categories, items.categories)
        categories = self._categories.names_of(items.categories, np.uint16)
        sources = self._sources.names_of(items.sources, np.uint32)
        items = dataclasses.replace(items, categories=categories, sources=sources)
        rows = {
            "id": items.ids,
            "key_id": items.key_ids,
            "label": categories.numbers,
            "source": sources.numbers,
            "place": np.asarray(items.places, np.int64),
            "points": _blobs(items),
        }
        arrays = []
        for name, values in (("code", words(items.codes)), ("feature", words(items.features))):
            own = {f"{name}{i}": values[:, i].copy() for i in range(values.shape[1])}
            arrays.append(f"array_value({', '.join(own)})")
            rows |= own
        with self._change() as connection:
            self._database.make_room(self.meta.next_id + len(items))
            self._keep_names(connection)
            if len(items):
                connection.register("given", rows)
                connection.execute(
                    "insert into sketches select id, key_id, label, source, place, "
                    f"{', '.join(arrays)}, points from given"
                )
                connection.unregister("given")
                self._keep_thumbnails(connection, items)
                self._keep_block(connection, Block.of(items))
            if progress is not None:
                self._keep_progress(connection, progress)
            self._keep_meta(connection, next_id=self.meta.next_id + len(items))
        self._kept = len(self._categories.names), len(self._sources.names)

    def delete(self, ids: np.ndarray) -> None:
        """List items that are there, by their ids i64[m], as deleted; durable when this returns."""
        with self._change() as connection:
            connection.register("given", {"id": ids})
            connection.execute("insert into deleted from given")
            connection.unregister("given")
            self._keep_meta(connection)

    def finish(self) -> None:
        """Say that building has finished."""
        with self._change() as connection:
            self._keep_meta(connection, complete=True)
        self._database.checkpoint()

    def compact(self) -> None:
        """Remove deleted items from the file and join small blocks, all or nothing.

        What is read for that is checked. The room in the file is used by what is added later.
        """
        query = """select blocks.*, first in (select distinct blocks.first from deleted join
            blocks on id between blocks.first and blocks.last) from blocks order by first"""
        with self._change() as connection:
            rows = connection.execute(query).fetchall()
            for some in joined([(Block(*row[:-1]), row[-1]) for row in rows]):
                self._join(connection, some)
            connection.execute("delete from sketches where id in (from deleted)")
            if self._database.has_photos(connection):
                connection.execute("delete from photos where id in (from deleted)")
            connection.execute("delete from deleted")
            self._keep_meta(connection)
        self._database.checkpoint()

    def blocks(self) -> int:
        """How many blocks there are."""
        with self._database.errors(), self._database.cursor() as cursor:
            return cursor.execute("select count(*) from blocks").fetchall()[0][0]

    def settle(self) -> bool:
        """Open the file again after a change that failed; returns whether that one was written.

        Then the index can be changed again. Raises DiskError where the disk still fails.
        """
        if not self._failed:
            return False
        self._database.check_place()
        with self._database.errors(writing=True):
            self._database.reopen()
            self._load()
        is_written = self.meta.version != self._acknowledged
        if is_written:  # what was read may be no further than the system's memory
            self._database.checkpoint()
            self._end_change()
        self._failed = False
        return is_written

    def close(self) -> None:
        """Let go of the file and the lock."""
        self._database.close()

    def progress(self) -> list[Progress]:
        """The sources that were indexed or begun, or that will be, sorted by path."""
        with self._database.errors():
            rows = self._database.connection.execute("from progress order by path").fetchall()
        return [Progress(*row) for row in rows]

    def describe(self) -> Description:
        """Of the index, without counts."""
        meta = self.meta
        return Description(
            self.folder.resolve().name,
            meta.model,
            meta.bits,
            meta.features,
            meta.scale,
            0,
            meta.version,
            {},
        )

    def parts(self, *, points: bool, details: bool = False) -> Iterator[Items]:
        """All items by their ids, some ten thousand at a time, also those that are deleted.

        points: whether with their points.
        details: whether these and all that a search does not compare are checked as well.
        Raises BrokenIndexError where they are not what was written.
        """
        with self._database.errors():
            rows = self._database.connection.execute("from blocks order by first").fetchall()
            count, last = 0, -1
            for some in parts([Block(*row) for row in rows]):
                items = self._read(some, points=points, details=details)
                if (items.ids[:1] <= last).any():
                    raise ValueError("its drawings are not in their order")
                count, last = count + len(items), int(items.ids[-1])
                yield items
            if count != self.size().items:
                raise ValueError("drawings are missing, or some belong to no block")

    def deleted(self) -> np.ndarray:
        """The ids of deleted items, i64[m]."""
        with self._database.errors():
            return self._database.fetch("select id from deleted")["id"]

    def size(self) -> Room:
        """How many items there are, with those that are deleted, and points."""
        query = "select count(*), coalesce(sum(octet_length(points)), 0)::bigint from sketches"
        with self._database.errors():
            items, size = self._database.connection.execute(query).fetchall()[0]
        return Room(items, size // 3)

    def photos(self) -> np.ndarray:
        """The ids of photos, i64[m], rising."""
        with self._database.errors():
            if not self._database.has_photos(self._database.connection):
                return np.zeros(0, np.int64)
            return self._database.fetch("select id from photos order by id")["id"]

    def thumbnails(self, ids: np.ndarray) -> list[bytes]:
        """The JPEG files of items i64[m], empty for drawings; no list where there is no photo."""
        with self._database.errors(), self._database.cursor() as cursor:
            if not self._database.has_photos(cursor) or not len(ids):
                return []
            query = "select id, thumbnail from photos where id between ? and ?"
            found = dict(cursor.execute(query, [int(ids[0]), int(ids[-1])]).fetchall())
        return [found.get(id_, b"") for id_ in ids.tolist()] if found else []

    def thumbnail(self, id_: int) -> bytes | None:
        """The JPEG file of a photo, None where the item is none."""
        found = self.thumbnails(np.array([id_]))
        return found[0] or None if found else None

    # What a search does not need, read when it is asked for (`details.Details`).

    def append(self, items: Items) -> None:
        """Nothing to do: `add` has kept them."""

    def kept(self, keep: np.ndarray) -> Store:
        """Nothing to do: `compact` has removed the others."""
        del keep
        return self

    def get(self, rows: np.ndarray, ids: np.ndarray) -> Detail:
        """Those of items, by their ids i64[m]."""
        del rows
        wanted = ", ".join(map(str, ids.tolist())) or "null"
        query = f"select id, key_id, source, place, points from sketches where id in ({wanted})"
        with self._database.errors():
            with self._database.cursor() as cursor:
                found = {row[0]: row[1:] for row in cursor.execute(query).fetchall()}
            key_ids, sources, places, points = (
                [found[number][field] for number in ids.tolist()] for field in range(4)
            )
            return Detail(
                np.array(key_ids, np.uint64),
                [self._sources.names[number] for number in sources],
                np.array(places, np.int64),
                *_joined_points(points),
            )

    def _read(self, blocks: Sequence[Block], *, points: bool, details: bool) -> Items:
        """The items of neighbouring blocks, checked; with details, also these and thumbnails."""
        where = f"from sketches where id between {blocks[0].first} and {blocks[-1].last}"
        rows = self._database.fetch(f"select id, key_id, label, source, place {where}")
        if points or details:
            packed, offsets = _joined_points(
                self._database.fetch(f"select points {where}")["points"]
            )
        else:
            packed, offsets = _joined_points([b""] * len(rows["id"]))
        items = Items(
            codes=self._bytes(f"select unnest(code) {where}", self.meta.bits // 8),
            features=self._bytes(f"select unnest(features) {where}", self.meta.features),
            categories=Names(rows["label"], self._categories.names),
            key_ids=rows["key_id"],
            sources=Names(rows["source"], self._sources.names),
            places=rows["place"],
            points=packed,
            offsets=offsets,
            ids=rows["id"],
            thumbnails=self.thumbnails(rows["id"]) if details else (),
        )
        if (np.diff(items.ids) <= 0).any() or (items.ids >= self.meta.next_id).any():
            raise ValueError("its drawings are not in their order")
        check(items, blocks, details=details)
        return items

    def _bytes(self, query: str, width: int) -> np.ndarray:
        """Rows of 64-bit words as bytes u8[n width]."""
        (found,) = self._database.fetch(query).values()
        padded = found.reshape(-1, -(-width // 8)).view(np.uint8)
        return np.ascontiguousarray(padded[:, :width])

    def _join(self, connection: DuckDBPyConnection, blocks: Sequence[Block]) -> None:
        """Make one block of some, without what is deleted."""
        items = self._read(blocks, points=True, details=True)
        first, last = blocks[0].first, blocks[-1].last
        deleted = self._database.fetch(
            f"select id from deleted where id between {first} and {last}"
        )["id"]
        rows = np.flatnonzero(~np.isin(items.ids, deleted))
        connection.execute(f"delete from blocks where first between {first} and {last}")
        if len(rows):
            self._keep_block(connection, Block.of(items[rows]))

    def _keep_thumbnails(self, connection: DuckDBPyConnection, items: Items) -> None:
        if any(items.thumbnails):
            connection.execute(_PHOTOS)
            own = zip(items.ids.tolist(), items.thumbnails, strict=True)
            rows = [[id_, content] for id_, content in own if content]
            connection.executemany("insert into photos values (?, ?)", rows)

    def _keep_block(self, connection: DuckDBPyConnection, block: Block) -> None:
        connection.execute("insert into blocks values (?, ?, ?, ?)", [*block])

    def _create(self, meta: Meta, files: Sequence[Progress]) -> None:
        self._database.connection.begin()
        self._database.create_tables(
            words=-(-meta.bits // 64), feature_words=-(-meta.features // 8)
        )
        self._database.connection.execute("insert into meta values (?)", [_text(meta)])
        for file in files:
            self._keep_progress(self._database.connection, file)
        self._database.connection.commit()

    def _read_meta(self) -> Meta:
        rows = self._database.connection.execute("from meta").fetchall()
        if len(rows) != 1:
            raise ValueError("it does not say what it is")
        if msgspec.json.decode(rows[0][0])["format"] != FORMAT:
            raise ValueError("another version of sketchjax wrote it")
        return msgspec.json.decode(rows[0][0], type=Meta)

    def _keep_names(self, connection: DuckDBPyConnection) -> None:
        tables = ("categories", self._categories), ("sources", self._sources)
        for kept, (table, numbering) in zip(self._kept, tables, strict=True):
            numbers, new = range(kept, len(numbering.names)), numbering.names[kept:]
            if new:  # in one statement: a name by itself takes 0.3 ms
                query = f"insert into {table} select unnest(?), unnest(?)"
                connection.execute(query, [[*numbers], [*new]])

    def _keep_progress(self, connection: DuckDBPyConnection, progress: Progress) -> None:
        connection.execute(_DIGESTS)
        connection.execute("delete from progress where path = ?", [progress.path])
        values = [*msgspec.structs.astuple(progress)]
        connection.execute("insert into progress values (?, ?, ?, ?, ?, ?)", values)

    def _keep_meta(self, connection: DuckDBPyConnection, **changes: Any) -> None:
        self.meta = replace(self.meta, version=self.meta.version + 1, **changes)
        connection.execute("update meta set value = ?", [_text(self.meta)])

    @contextmanager
    def _change(self) -> Iterator[DuckDBPyConnection]:
        """A transaction. Where it fails, nothing changes any more until `settle`: it may have been
        written although this process could not learn that.

        Raises DoubtfulError then.
        """
        if self._failed:
            raise DiskError(
                f"{self.folder} could not be written before; open it again to change it"
            )
        self._database.check_place()
        self._failed = True
        try:
            with self._database.errors(writing=True):
                self._database.connection.begin()
                yield self._database.connection
                self._database.connection.commit()
            self._end_change()
        except DiskError as error:
            raise DoubtfulError(str(error)) from error

    def _end_change(self) -> None:
        if self.meta.complete:
            self.seal()
        self._acknowledged, self._failed = self.meta.version, False

    def seal(self) -> None:
        """Write the number of the last change next to the database."""
        self._database.check_place()
        with on_disk(f"{self._shown} cannot be written"):
            write_whole(self.folder / VERSION, f"{self.meta.version}\n".encode())


def _text(meta: Meta) -> str:
    return msgspec.json.encode(meta).decode()


def _blobs(items: Items) -> np.ndarray:
    """The points of each item as bytes, an array of n objects."""
    content, ends = items.points.tobytes(), (items.offsets * 3).tolist()
    blobs = np.empty(len(items), object)
    blobs[:] = [content[start:end] for start, end in pairwise(ends)]
    return blobs


def _joined_points(blobs: Any) -> tuple[np.ndarray, np.ndarray]:
    """Points u8[p 3] of n items, and where each begins, i64[n + 1]."""
    lengths = np.fromiter(map(len, blobs), np.int64, len(blobs)) // 3
    points = np.frombuffer(b"".join(blobs), np.uint8).reshape(-1, 3)
    return points, np.concatenate([[0], np.cumsum(lengths)])
