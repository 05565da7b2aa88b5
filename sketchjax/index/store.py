"""An index as a folder: one DuckDB file, and the model that made its codes.

    INDEX/index.duckdb    sketches, blocks, deleted, categories, sources, meta; the view `drawings`
    INDEX/version         the number of the last change
    INDEX/model/          a copy of the model

Changes only append: a deleted drawing is listed in `deleted`, so that whoever still reads an older
snapshot finds its points. `compact` removes what is listed and joins small blocks. Features are
blobs, one for each block of drawings that was added together, as 22 MB of them are read in
milliseconds like that. A block's sha256 covers all that a search compares, and is checked on
opening; DuckDB's own checksums cover the file.
`version` is written after each change: a database that lost the end of its journal, which DuckDB
takes for a change that was never finished, is behind it and refused.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec.structs import replace

from sketchjax.errors import DataError, DiskError, InUseError, on_disk
from sketchjax.files import write_whole
from sketchjax.index.duck import duckdb
from sketchjax.index.engine import Description, Items, Names, Numbering, Scale
from sketchjax.index.memory import Memory
from sketchjax.memory import free_bytes
from sketchjax.retrieval.popcount import words

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DATABASE, VERSION, MODEL, LOCK = "index.duckdb", "version", "model", ".lock"
FORMAT = 1
BLOCK = 1 << 16  # drawings, about, of a block that is not joined with others
_SHARE_OF_MEMORY = 0.25  # of what is free: points that need more are read from the file
_REMEDY = "restore it from a copy, or build it again with `sketchjax index`"
_SCHEMA = """
create table meta(value varchar not null);
create table categories(label usmallint not null, name varchar not null);
create table sources(source uinteger not null, name varchar not null);
create table sketches(
  id bigint not null, key_id ubigint not null, label usmallint not null,
  source uinteger not null, place bigint not null, code ubigint[{words}] not null,
  points blob not null);
create table blocks(
  first bigint not null, last bigint not null, features blob not null,
  searched varchar not null, details varchar not null);
create table deleted(id bigint not null);
create table progress(path varchar not null, bytes bigint not null, modified bigint not null,
  count bigint not null, done bigint not null);
create view drawings as
  select id, key_id, categories.name as category, sources.name as source, place, code, points
  from sketches join categories using (label) join sources using (source)
  where id not in (from deleted);
"""

_PHOTOS = "create table if not exists photos(id bigint not null, thumbnail blob not null)"


class Meta(msgspec.Struct, frozen=True):
    """What a database says about itself.

    format: of the tables.
    model: fingerprint of the model of the codes.
    bits: d.
    features: f.
    scale: of the features.
    next_id: the least id that nothing ever had.
    version: of the content; it rises with every change.
    complete: whether building has finished.
    """

    format: int
    model: str
    bits: int
    features: int
    scale: Scale
    next_id: int = 0
    version: int = 0
    complete: bool = False


class Progress(msgspec.Struct, frozen=True):
    """How far a source has been indexed.

    path: of its file, absolute, and its name.
    bytes, modified: the file's size, and its time of change in ns; with others it is another file.
    count: drawings in it.
    done: drawings of these that are in the index.
    """

    path: str
    bytes: int
    modified: int
    count: int = 0
    done: int = 0


class Store:
    """The database of an index; one process writes at a time. `open_store` opens a finished one.

    folder: of the index.
    read_only: whether nothing may change; any number of processes can read.
    meta: of a new database; None: it is there.
    files: that a new database will hold.
    Raises InUseError when another process holds the index, and DataError when it is damaged.
    """

    def __init__(
        self,
        folder: Path,
        *,
        read_only: bool,
        meta: Meta | None = None,
        files: Sequence[Progress] = (),
    ):
        self.folder, self.read_only, self._failed = folder, read_only, False
        self._lock = _hold(folder, shared=read_only)
        try:
            with self._database():
                self._connection = _connect(folder / DATABASE, read_only)
                if meta is not None:
                    self._create(meta, files)
                self.meta = self._read_meta()
                self._categories = self._numbering("categories", "label")
                self._sources = self._numbering("sources", "source")
                self._kept = len(self._categories.names), len(self._sources.names)
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def next_id(self) -> int:
        """The least id that nothing ever had."""
        return self.meta.next_id

    def add(self, items: Items, progress: Progress | None = None) -> None:
        """Keep items that have their ids, all or none, durable when this returns.

        items: with ids from `next_id`.
        progress: of the file that they came from, kept in the same transaction.
        """
        rows = {
            "id": items.ids,
            "key_id": items.key_ids,
            "label": self._categories.number(items.categories, np.uint16),
            "source": self._sources.number(items.sources, np.uint32),
            "place": np.asarray(items.places, np.int64),
            "points": _blobs(items),
        }
        codes = words(items.codes)
        code = [f"word{number}" for number in range(codes.shape[1])]
        rows |= {name: codes[:, i].copy() for i, name in enumerate(code)}
        with self._change() as connection:
            self._keep_names(connection)
            if len(items):
                connection.register("given", rows)
                connection.execute(
                    "insert into sketches select id, key_id, label, source, place, "
                    f"array_value({', '.join(code)}), points from given"
                )
                connection.unregister("given")
                self._keep_thumbnails(connection, items)
                self._keep_block(connection, items, rows["label"], rows["source"])
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
        self._checkpoint()

    def compact(self) -> None:
        """Remove deleted items from the file and join small blocks, all or nothing.

        What is read for that is checked. The room in the file is used by what is added later.
        """
        query = """select first, last, first in (select distinct blocks.first from deleted join
            blocks on id between blocks.first and blocks.last) from blocks order by first"""
        with self._change() as connection:
            for first, last in _joined(connection.execute(query).fetchall()):
                self._join(connection, first, last)
            connection.execute("delete from sketches where id in (from deleted)")
            if self._has_photos(connection):
                connection.execute("delete from photos where id in (from deleted)")
            connection.execute("delete from deleted")
            self._keep_meta(connection)
        self._checkpoint()

    def blocks(self) -> int:
        """How many blocks there are."""
        with self._database(), self._connection.cursor() as cursor:
            return cursor.execute("select count(*) from blocks").fetchall()[0][0]

    def close(self) -> None:
        """Let go of the file and the lock."""
        if self._lock is not None:
            with suppress(Exception):  # a damaged file may refuse its last checkpoint
                self._connection.close()
            os.close(self._lock)
            self._lock = None

    def progress(self) -> list[Progress]:
        """The sources that were indexed or begun, or that will be, sorted by path."""
        with self._database():
            rows = self._connection.execute("from progress order by path").fetchall()
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

    def load(self) -> tuple[Items, np.ndarray]:
        """All items but for their points, and the ids of those that are deleted, i64[m].

        Raises DataError where they are not what was written.
        """
        with self._database():
            deleted = self._fetch("select id from deleted")["id"]
            return self._load(), deleted

    def points(self, where: str = "true") -> tuple[np.ndarray, np.ndarray]:
        """The points u8[p 3] of all items, and where each begins, i64[n + 1]."""
        with self._database():
            blobs = self._fetch(f"select points from sketches where {where}")["points"]
            lengths = np.fromiter(map(len, blobs), np.int64, len(blobs)) // 3
            points = np.frombuffer(b"".join(blobs), np.uint8).reshape(-1, 3)
        return points, np.concatenate([[0], np.cumsum(lengths)])

    def thumbnails(self, ids: np.ndarray) -> list[bytes]:
        """The JPEG files of items i64[m], empty for drawings; no list where there is no photo."""
        with self._database(), self._connection.cursor() as cursor:
            if not self._has_photos(cursor) or not len(ids):
                return []
            query = "select id, thumbnail from photos where id between ? and ?"
            found = dict(cursor.execute(query, [int(ids[0]), int(ids[-1])]).fetchall())
        return [found.get(id_, b"") for id_ in ids.tolist()] if found else []

    def thumbnail(self, id_: int) -> bytes | None:
        """The JPEG file of a photo, None where the item is none."""
        found = self.thumbnails(np.array([id_]))
        return found[0] or None if found else None

    def point_bytes(self) -> int:
        """Bytes of the points of all items."""
        with self._database():
            query = "select coalesce(sum(octet_length(points)), 0)::bigint from sketches"
            return self._connection.execute(query).fetchall()[0][0]

    def verify(self, items: Items) -> None:
        """Check the details of all items against what was written.

        items: all of them, with their points.
        Raises DataError where one differs.
        """
        with self._database():
            self._check_details(items)

    # What a search does not need, read when it is asked for (`memory.Details`).

    def append(self, items: Items) -> None:
        """Nothing to do: `add` has kept them."""

    def kept(self, keep: np.ndarray) -> Store:
        """Nothing to do: `compact` has removed the others."""
        del keep
        return self

    def get(self, rows: np.ndarray, ids: np.ndarray) -> tuple[list, list[str], list, list]:
        """Key ids, sources, places and points u8[t 3] of items, by their ids i64[m]."""
        del rows
        query = f"""select id, key_id, source, place, points from sketches
            where id in ({", ".join(map(str, ids.tolist())) or "null"})"""
        with self._database():
            # Connections are for one thread at a time; a cursor is a new one to the same file.
            with self._connection.cursor() as cursor:
                found = {row[0]: row[1:] for row in cursor.execute(query).fetchall()}
            key_ids, sources, places, points = (
                [found[number][field] for number in ids.tolist()] for field in range(4)
            )
        names = [self._sources.names[number] for number in sources]
        return key_ids, names, places, [np.frombuffer(p, np.uint8).reshape(-1, 3) for p in points]

    def _load(self, where: str = "true", blocks: str = "true") -> Items:
        """Items but for their points, checked.

        where: condition for drawings.
        blocks: condition for their blocks.
        """
        rows = self._fetch(f"select id, key_id, label, source, place from sketches where {where}")
        code = self._fetch(f"select unnest(code) as word from sketches where {where}")["word"]
        query = f"from blocks where {blocks} order by first"
        listed = self._connection.execute(query).fetchall()
        features = b"".join(block[2] for block in listed)
        codes = code.reshape(len(rows["id"]), -1).view(np.uint8)
        items = Items(
            codes=np.ascontiguousarray(codes[:, : self.meta.bits // 8]),
            features=np.frombuffer(features, np.uint8).reshape(-1, self.meta.features),
            categories=Names(rows["label"], self._categories.names),
            key_ids=rows["key_id"],
            sources=Names(rows["source"], self._sources.names),
            places=rows["place"],
            points=np.zeros((0, 3), np.uint8),
            offsets=np.zeros(len(rows["id"]) + 1, np.int64),
            ids=rows["id"],
        )
        self._check(items, listed)
        return items

    def _join(self, connection: DuckDBPyConnection, first: int, last: int) -> None:
        """Make one block of those from one id to another, without what is deleted."""
        where = f"id between {first} and {last}"
        items = self._load(where, f"first between {first} and {last}")
        points, offsets = self.points(where)
        items = dataclasses.replace(
            items, points=points, offsets=offsets, thumbnails=self.thumbnails(items.ids)
        )
        self._check_details(items, f"first between {first} and {last}")
        labels, sources = items.categories.numbers, items.sources.numbers  # pyright: ignore[reportAttributeAccessIssue]
        deleted = self._fetch(f"select id from deleted where {where}")["id"]
        rows = np.flatnonzero(~np.isin(items.ids, deleted))
        connection.execute(f"delete from blocks where first between {first} and {last}")
        if len(rows):
            self._keep_block(connection, items[rows], labels[rows], sources[rows])

    def _has_photos(self, connection: DuckDBPyConnection) -> bool:
        query = "select 1 from duckdb_tables() where table_name = 'photos'"
        return bool(connection.execute(query).fetchall())

    def _keep_thumbnails(self, connection: DuckDBPyConnection, items: Items) -> None:
        if any(items.thumbnails):
            connection.execute(_PHOTOS)
            own = zip(items.ids.tolist(), items.thumbnails, strict=True)
            rows = [[id_, content] for id_, content in own if content]
            connection.executemany("insert into photos values (?, ?)", rows)

    def _keep_block(
        self,
        connection: DuckDBPyConnection,
        items: Items,
        labels: np.ndarray,
        sources: np.ndarray,
    ) -> None:
        block = [int(items.ids[0]), int(items.ids[-1]), items.features.tobytes()]
        block += [_searched(items, labels), _details(items, sources)]
        connection.execute("insert into blocks values (?, ?, ?, ?, ?)", block)

    def _checkpoint(self) -> None:
        with self._database(writing=True):
            self._connection.execute("checkpoint")

    def _create(self, meta: Meta, files: Sequence[Progress]) -> None:
        self._connection.begin()
        for statement in _SCHEMA.format(words=-(-meta.bits // 64)).split(";")[:-1]:
            self._connection.execute(statement)
        self._connection.execute("insert into meta values (?)", [_text(meta)])
        for file in files:
            self._keep_progress(self._connection, file)
        self._connection.commit()

    def _read_meta(self) -> Meta:
        rows = self._connection.execute("from meta").fetchall()
        if len(rows) != 1:
            raise ValueError("it does not say what it is")
        if msgspec.json.decode(rows[0][0])["format"] != FORMAT:
            raise ValueError("another version of sketchjax wrote it")
        return msgspec.json.decode(rows[0][0], type=Meta)

    def _numbering(self, table: str, number: str) -> Numbering:
        rows = self._connection.execute(f"from {table} order by {number}").fetchall()
        if [row[0] for row in rows] != list(range(len(rows))):
            raise ValueError(f"its table {table} is not complete")
        return Numbering([row[1] for row in rows])

    def _fetch(self, query: str) -> dict[str, np.ndarray]:
        return self._connection.execute(query).fetchnumpy()  # pyright: ignore[reportReturnType]

    def _check(self, items: Items, blocks: Sequence[Any]) -> None:
        """Raise ValueError where items are not what was written."""
        if (np.diff(items.ids) <= 0).any() or (items.ids >= self.meta.next_id).any():
            raise ValueError("its drawings are not in their order")
        labels = items.categories.numbers  # pyright: ignore[reportAttributeAccessIssue]
        end = 0
        for first, last, _, wanted, _ in blocks:
            low, high = np.searchsorted(items.ids, [first, last + 1])
            part = _part(items, low, high)
            if low != end or _searched(part, labels[low:high]) != wanted:
                raise ValueError(f"the drawings {first} to {last} are not what was written")
            end = high
        if not end == len(items) == len(items.features):
            raise ValueError("drawings have no features")

    def _check_details(self, items: Items, blocks: str = "true") -> None:
        """Raise ValueError where the details of items are not what was written."""
        sources = items.sources.numbers  # pyright: ignore[reportAttributeAccessIssue]
        query = f"select first, last, details from blocks where {blocks} order by first"
        for first, last, wanted in self._connection.execute(query).fetchall():
            low, high = np.searchsorted(items.ids, [first, last + 1])
            if _details(_part(items, low, high), sources[low:high]) != wanted:
                raise ValueError(f"the drawings {first} to {last} are not what was written")

    def _keep_names(self, connection: DuckDBPyConnection) -> None:
        tables = ("categories", self._categories), ("sources", self._sources)
        for kept, (table, numbering) in zip(self._kept, tables, strict=True):
            new = [
                [number, numbering.names[number]] for number in range(kept, len(numbering.names))
            ]
            if new:
                connection.executemany(f"insert into {table} values (?, ?)", new)

    def _keep_progress(self, connection: DuckDBPyConnection, progress: Progress) -> None:
        connection.execute("delete from progress where path = ?", [progress.path])
        values = [*msgspec.structs.astuple(progress)]
        connection.execute("insert into progress values (?, ?, ?, ?, ?)", values)

    def _keep_meta(self, connection: DuckDBPyConnection, **changes: Any) -> None:
        self.meta = replace(self.meta, version=self.meta.version + 1, **changes)
        connection.execute("update meta set value = ?", [_text(self.meta)])

    @contextmanager
    def _change(self) -> Iterator[DuckDBPyConnection]:
        """A transaction. Where it fails, nothing changes any more until the index is opened again:
        it may have been written although this process could not learn that.
        """
        if self._failed:
            raise DiskError(
                f"{self.folder} could not be written before; open it again to change it"
            )
        self._failed = True
        with self._database(writing=True):
            self._connection.begin()
            yield self._connection
            self._connection.commit()
        if self.meta.complete:
            self.seal()
        self._failed = False

    def seal(self) -> None:
        """Write the number of the last change next to the database."""
        with on_disk(f"{self.folder / VERSION} cannot be written"):
            write_whole(self.folder / VERSION, f"{self.meta.version}\n".encode())

    @contextmanager
    def _database(self, *, writing: bool = False) -> Iterator[None]:
        """Turn what DuckDB raises, and what damaged content leads to, into one clear sentence."""
        path = self.folder / DATABASE
        try:
            yield
        except (DataError, DiskError, InUseError):
            raise
        except duckdb().Error as error:
            reason = str(error).splitlines()[0][:200]
            if "Could not set lock" in reason:
                raise InUseError(
                    f"{self.folder} is in use by another process; {_IN_USE}"
                ) from error
            if writing:
                raise DiskError(
                    f"{path} cannot be written ({reason}); check the disk, then open the index "
                    "again: what was acknowledged is in it"
                ) from error
            raise DataError(f"{path} is damaged ({reason}); {_REMEDY}") from error
        except (ValueError, KeyError, IndexError, TypeError, RuntimeError, MemoryError) as error:
            raise DataError(f"{path} is damaged ({error}); {_REMEDY}") from error


_IN_USE = "wait until that has finished, or stop it"


def open_index(folder: Path, *, read_only: bool = True) -> Memory:
    """The index in a folder, in memory, checked; its changes are written to the folder.

    folder: of the index.
    read_only: whether nothing may change; then any number of processes can open it.
    Raises InUseError when another process holds it, and DataError when there is none, it is
    damaged, or its building has not finished.
    """
    store = open_store(folder, read_only=read_only)
    try:
        items, deleted = store.load()
        in_memory = store.point_bytes() < free_bytes() * _SHARE_OF_MEMORY
        if in_memory:
            items = with_points(store, items)
        engine = Memory(
            store.describe(),
            items,
            storage=store,
            details=None if in_memory else store,
            thumbnails=store.thumbnail,
            deleted=deleted,
            next_id=store.next_id,
            read_only=read_only,
        )
    except BaseException:
        store.close()
        raise
    return engine


def open_store(folder: Path, *, read_only: bool = True) -> Store:
    """The database of a finished index; raises as `open_index` does, but looks at no drawings."""
    if not (folder / DATABASE).is_file():
        what = "is a file" if folder.is_file() else "is not there" if not folder.exists() else ""
        raise DataError(
            f"{folder} {what or f'has no {DATABASE}'}; give the folder that `sketchjax index` wrote"
        )
    store = Store(folder, read_only=read_only)
    try:
        _check_version(store)
    except BaseException:
        store.close()
        raise
    return store


def with_points(store: Store, items: Items) -> Items:
    """Items of a store with their points."""
    points, offsets = store.points()
    if len(offsets) != len(items) + 1:
        raise DataError(f"{store.folder / DATABASE} is damaged (points are missing); {_REMEDY}")
    return dataclasses.replace(items, points=points, offsets=offsets)


def verify(folder: Path) -> Description:
    """Check everything in an index against what was written; returns what it holds.

    Raises DataError where something differs, and as `open_index` does.
    """
    store = open_store(folder)
    try:
        items, deleted = store.load()
        items = with_points(store, items)
        store.verify(dataclasses.replace(items, thumbnails=store.thumbnails(items.ids)))
        return Memory(store.describe(), items, deleted=deleted).snapshot().describe()
    finally:
        store.close()


def _check_version(store: Store) -> None:
    """Raise DataError where the database is not the one that was last written."""
    path = store.folder / VERSION
    if not store.meta.complete:
        raise DataError(
            f"building {store.folder} has not finished; rerun the command that built it"
        )
    try:
        version = int(path.read_bytes().decode("ascii"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); {_REMEDY}") from error
    # A process that is killed between the two leaves the database one change ahead.
    if store.meta.version not in (version, version + 1):
        raise DataError(
            f"{store.folder} is damaged: its database is at change {store.meta.version} and {path} "
            f"says {version}; {_REMEDY}"
        )
    if store.meta.version != version and not store.read_only:
        store.seal()


def _connect(path: Path, read_only: bool) -> DuckDBPyConnection:
    # Loading is as fast with one thread, and a server's cores are for its requests.
    return duckdb().connect(str(path), read_only=read_only, config={"threads": 1})


def _hold(folder: Path, *, shared: bool) -> int:
    """Take the lock of an index: its descriptor. Also two stores of one process exclude each other.

    Raises InUseError when another holds it.
    """
    with on_disk(f"{folder} cannot be opened"):
        flags = os.O_RDONLY if shared and not os.access(folder, os.W_OK) else os.O_RDWR | os.O_CREAT
        descriptor = os.open(folder / LOCK, flags, 0o666)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        use = "is being changed by another process" if shared else "is in use by another process"
        raise InUseError(f"{folder} {use}; {_IN_USE}") from None
    return descriptor


def _joined(blocks: Sequence[tuple[int, int, bool]]) -> Iterator[tuple[int, int]]:
    """The first and last id of each row of blocks that become one.

    blocks: first and last id of each, and whether some of it is deleted; rising.
    """
    start, count, changed = 0, 0, False
    for number, (first, last, has_deleted) in enumerate(blocks):
        if number > start and count + last - first + 1 > BLOCK:
            if changed or number - start > 1:
                yield blocks[start][0], blocks[number - 1][1]
            start, count, changed = number, 0, False
        count, changed = count + last - first + 1, changed or has_deleted
    if changed or len(blocks) - start > 1:
        yield blocks[start][0], blocks[-1][1]


def _text(meta: Meta) -> str:
    return msgspec.json.encode(meta).decode()


def _blobs(items: Items) -> np.ndarray:
    """The points of each item as bytes, an array of n objects."""
    content, ends = items.points.tobytes(), (items.offsets * 3).tolist()
    blobs = np.empty(len(items), object)
    blobs[:] = [content[start:end] for start, end in pairwise(ends)]
    return blobs


def _part(items: Items, low: int, high: int) -> Items:
    """The items from one row to another, as views."""
    rows, start = slice(low, high), items.offsets[low]
    return Items(
        codes=items.codes[rows],
        features=items.features[rows],
        categories=items.categories,
        key_ids=items.key_ids[rows],
        sources=items.sources,
        places=items.places[rows],
        points=items.points[start : items.offsets[high]],
        offsets=items.offsets[low : high + 1] - start,
        ids=items.ids[rows],
        thumbnails=items.thumbnails[rows],
    )


def _searched(items: Items, labels: np.ndarray) -> str:
    """The sha256 of all that a search compares."""
    return _digest(items.ids, items.codes, items.features, labels)


def _details(items: Items, sources: np.ndarray) -> str:
    """The sha256 of the rest."""
    arrays = [items.key_ids, sources, items.places, items.offsets, items.points]
    if any(items.thumbnails):
        arrays.append(np.array([len(content) for content in items.thumbnails]))
        arrays.append(np.frombuffer(b"".join(items.thumbnails), np.uint8))
    return _digest(*arrays)


def _digest(*arrays: np.ndarray) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
