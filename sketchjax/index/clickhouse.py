"""The index in ClickHouse: the engine beyond one machine, with the answers of the file's.

Everything is only appended, as in the file. A change has a number, its *version*, which a writer
takes by creating the table `taken_VERSION`: creating a table is what one of several writers can do
only once, on one node as in a database with the engine Replicated. Its comment reserves ids. The
rows come next, and the row of `changes` last: until then nobody sees any of them, and where a
writer was killed nobody ever will. A snapshot is the greatest version with the gaps below it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from sketchjax.errors import DataError, DiskError, UnavailableError
from sketchjax.index.engine import Description, Found, Items, check_widths, no_category, no_photo
from sketchjax.index.records import FORMAT, Meta, Progress
from sketchjax.index.server import Address, Server
from sketchjax.retrieval.popcount import words

_CHUNK = 1 << 20  # bytes of the model in a row
_SKETCHES = "from system.tables where database = currentDatabase() and name = 'sketches'"
_FIELDS = "key_id, category, source, place, features, points"


class Content(msgspec.Struct, frozen=True):
    """What a database holds.

    name: of the index.
    meta: see `store.Meta`; its last three fields are not used.
    files: that it is built from.
    """

    name: str
    meta: Meta
    files: list[Progress]


class Change(msgspec.Struct, frozen=True):
    """A row of `changes`.

    version: its number.
    kind: add, delete, compact, or finish, which says that building has finished.
    first: the first of its new ids.
    added: how many there are.
    categories: of these, with their numbers.
    progress: `Progress` of the file that they came from, as JSON; or empty.
    digest: the sha256 of the new drawings; of a compaction, `Compaction` as JSON.
    """

    version: int
    kind: str
    first: int
    added: int = 0
    categories: dict[str, int] = {}
    progress: str = ""
    digest: str = ""


class Compaction(msgspec.Struct, frozen=True):
    """What a compaction removed: all that the changes which it saw had deleted.

    version, gaps, changes: of the snapshot that it saw.
    digests: the sha256 of what remains of each addition, by its first id.
    """

    version: int
    gaps: list[int]
    changes: int
    digests: dict[str, str]


def tables(bits: int) -> dict[str, str]:
    """The columns and keys of each table, for codes of this many bits."""
    codes = ",\n".join(f"  {name} UInt64 codec(NONE)" for name in _code_columns(bits))
    return {
        "meta": "(\n  value String\n) engine = MergeTree order by tuple()",
        "model": (
            "(\n  part UInt32,\n  bytes String codec(NONE)\n) engine = MergeTree order by part"
        ),
        "changes": (
            "(\n  version UInt64,\n  kind LowCardinality(String),\n  first Int64,\n"
            "  added Int64,\n  categories Map(String, Int64),\n  progress String,\n"
            "  digest String\n) engine = MergeTree order by version"
        ),
        "deleted": (
            "(\n  id Int64,\n  category LowCardinality(String),\n  version UInt64\n"
            ") engine = MergeTree order by id"
        ),
        "photos": (
            "(\n  id Int64,\n  version UInt64,\n  thumbnail String\n) "
            "engine = MergeTree order by id"
        ),
        "sketches": (
            "(\n  id Int64,\n  version UInt64,\n  key_id UInt64,\n"
            "  category LowCardinality(String),\n  source LowCardinality(String),\n"
            f"  place Int64,\n{codes},\n  features Array(UInt8),\n  points String\n"
            ") engine = MergeTree order by id"
        ),
    }


def statements(bits: int) -> list[str]:
    """The statements that make the tables of one node, as launch/clickhouse/node.sql has them."""
    # An acknowledged row is on the disk. Ids of 1,024 drawings share a mark, as results are fetched
    # one by one.
    kept = "settings fsync_after_insert = 1, fsync_part_directory = 1"
    small = {"sketches": ", index_granularity = 1024"}
    return [
        f"create table if not exists {name} {columns}\n{kept}{small.get(name, '')}"
        for name, columns in tables(bits).items()
    ]


class ClickHouse:
    """An `Engine` in a database of ClickHouse. `open_database` opens a finished one.

    address: of the server and the database.
    name: of the index.
    read_only: whether adding and deleting are refused.
    content: of a new index; None: it is there.
    Raises DataError where there is no index, or another one, and UnavailableError.
    """

    def __init__(
        self,
        address: Address,
        name: str,
        *,
        read_only: bool = True,
        content: Content | None = None,
    ):
        self._server = Server(address)
        self.address, self._name, self._read_only = address, name, read_only
        self._seen: ClickHouseSnapshot | None = None
        if content is not None:
            for statement in statements(content.meta.bits):
                self._server.command(statement)
            value = msgspec.json.encode(content).decode()
            self._server.insert("meta", {"value": ("String", [value])})
        self.content = self._read_content()

    @property
    def meta(self) -> Meta:
        """Of the index."""
        return self.content.meta

    @property
    def next_id(self) -> int:
        """The least id that nothing has had so far; others may take it at any time."""
        return int(self._server.value("select max(first + added) from changes"))

    def snapshot(self) -> ClickHouseSnapshot:
        """The index as it is now."""
        version, count = self._server.row("select max(version), uniqExact(version) from changes")
        if self._seen is None or (self._seen.version, self._seen.changes) != (version, count):
            gaps = []
            if version != count:
                query = (
                    f"select number + 1 from numbers({version}) "
                    "where number + 1 not in (select version from changes)"
                )
                gaps = [int(row[0]) for row in self._server.rows(query)]
            about = Description(
                self._name, self.meta.model, self.meta.bits, self.meta.features, self.meta.scale,
                0, int(version) + 1, {},
            )  # fmt: skip
            self._seen = ClickHouseSnapshot(self._server, about, int(version), int(count), gaps)
        return self._seen

    def add(self, items: Items, progress: Progress | None = None) -> np.ndarray:
        """Add items, durable when this returns; see `Engine`.

        progress: of the file that they came from.
        """
        self._check_writable()
        check_widths(self.meta, items.codes, items.features)
        version, first = self._take_version(len(items))
        items = items.with_ids(np.arange(first, first + len(items)))
        if len(items):
            self._server.insert("sketches", _columns(items, version))
            if photos := [row for row, content in enumerate(items.thumbnails) if content]:
                columns = {
                    "id": ("Int64", items.ids[photos].tolist()),
                    "version": ("UInt64", [version] * len(photos)),
                    "thumbnail": ("String", [items.thumbnails[row] for row in photos]),
                }
                self._server.insert("photos", columns)
            ids = f"id >= {first} and id < {first + len(items)}"
            count = self._server.value(f"select count() from sketches where {ids}")
            if count != len(items):
                raise DiskError(
                    f"{self.address} has kept {count:,} of {len(items):,} drawings, so none of "
                    "them is in the index; rerun the same command"
                )
        names, numbers = np.unique(np.array([*items.categories], object), return_counts=True)
        self._commit(
            Change(
                version,
                "add",
                first,
                len(items),
                dict(zip(names.tolist(), numbers.tolist(), strict=True)),
                "" if progress is None else msgspec.json.encode(progress).decode(),
                _digest(items),
            )
        )
        return items.ids

    def delete(self, ids: Sequence[int]) -> int:
        """Delete the items with these ids, durable when this returns; see `Engine`."""
        self._check_writable()
        there = self.snapshot().categories_of(ids)
        if there:
            version, first = self._take_version(0)
            columns = {
                "id": ("Int64", [*there]),
                "category": ("LowCardinality(String)", [*there.values()]),
                "version": ("UInt64", [version] * len(there)),
            }
            self._server.insert("deleted", columns)
            self._commit(Change(version, "delete", first))
        return len(there)

    def compact(self) -> int:
        """Remove the rows of deleted items, and join what was added piece by piece; see `Engine`.

        What remains of each addition is checked and gets a new sha256 first. Where this is stopped
        after that, the next compaction removes the rows. A search that began before and still sees
        a deleted item may not find its points.
        """
        self._check_writable()
        if "MergeTree" not in self._server.value(f"select engine {_SKETCHES}"):
            raise DataError(
                f"{self.address} divides its drawings over a cluster, which cannot be compacted; "
                "rows of deleted drawings remain until the index is built again"
            )
        version, first = self._take_version(0)
        snapshot = self.snapshot()
        gone = f"id in (select id from deleted where {snapshot.seen})"
        digests = {}
        for change in self._additions(snapshot):
            items = self._remaining(snapshot, change)
            deleted = self._deleted_of(change, snapshot.seen)
            if deleted:
                rows = np.flatnonzero(~np.isin(items.ids, deleted))
                digests[str(change.first)] = _digest(items[rows])
        done = Compaction(snapshot.version, snapshot.gaps, snapshot.changes, digests)
        text = msgspec.json.encode(done).decode()
        self._commit(Change(version, "compact", first, digest=text))
        removed = self._server.value(f"select count() from sketches where {gone}")
        for table in ("sketches", "photos"):
            self._server.command(f"delete from {table} where {gone}")
            self._server.command(f"optimize table {table} final")
        return int(removed)

    def finish(self) -> None:
        """Say that building has finished."""
        version, first = self._take_version(0)
        self._commit(Change(version, "finish", first))

    def finished(self) -> bool:
        """Whether building has finished."""
        return bool(self._server.value("select countIf(kind = 'finish') from changes"))

    def progress(self) -> list[Progress]:
        """The sources that were indexed or begun, or that will be, sorted by path."""
        query = "select progress from changes where progress != '' order by version"
        files = {file.path: file for file in self.content.files}
        for (text,) in self._server.rows(query):
            file = msgspec.json.decode(text, type=Progress)
            files[file.path] = file
        return [files[path] for path in sorted(files)]

    def save_model(self, path: Path) -> None:
        """Keep a model file in the database."""
        self._server.command("truncate table model")
        with path.open("rb") as file:
            for part, content in enumerate(iter(lambda: file.read(_CHUNK), b"")):
                columns = {"part": ("UInt32", [part]), "bytes": ("String", [content])}
                self._server.insert("model", columns)

    @contextmanager
    def model(self) -> Iterator[Path]:
        """The model as a file, until the context ends."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            with path.open("wb") as file:
                for (part,) in self._server.rows("select part from model order by part"):
                    query = f"select bytes from model where part = {part} limit 1"
                    file.write(self._server.value(query, text=False))
            yield path

    def verify(self) -> Description:
        """Check all drawings against what was written; returns what the index holds.

        Raises DataError where something differs.
        """
        snapshot = self.snapshot()
        for change in self._additions(snapshot):
            self._remaining(snapshot, change)
        return snapshot.describe()

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    def _additions(self, snapshot: ClickHouseSnapshot) -> list[Change]:
        """The additions that a snapshot sees, each with the sha256 of what remains of it."""
        query = f"""select version, first, added, digest from changes where kind = 'add' and
            {snapshot.seen} order by version limit 1 by version"""
        return [
            Change(version, "add", first, added, digest=digest)
            for version, first, added, digest in self._server.rows(query)
        ]

    def _remaining(self, snapshot: ClickHouseSnapshot, change: Change) -> Items:
        """What no compaction has removed of an addition, deleted or not.

        Raises DataError where it is not what was written.
        """
        ids, digest = range(change.first, change.first + change.added), change.digest
        done = snapshot.compaction
        if done is not None and str(change.first) in done.digests:
            gone = {*self._deleted_of(change, _seen(done.version, done.gaps))}
            ids, digest = [id_ for id_ in ids if id_ not in gone], done.digests[str(change.first)]
        items = snapshot.whole(ids)
        if _digest(items) != digest:
            raise DataError(
                f"{self.address}: the drawings {change.first} to "
                f"{change.first + change.added - 1} are not what was written; restore the database "
                "from a copy, or build the index again"
            )
        return items

    def _deleted_of(self, change: Change, seen: str) -> list[int]:
        """The ids of an addition that changes which are seen have deleted."""
        query = f"""select distinct id from deleted where id >= {change.first}
            and id < {change.first + change.added} and {seen}"""
        return [int(row[0]) for row in self._server.rows(query)]

    def _check_writable(self) -> None:
        if self._read_only:
            raise DataError("the index is open for reading only; open it for writing to change it")

    def _read_content(self) -> Content:
        """What the database holds.  Raises DataError where it is not this index."""
        rows = self._server.rows("select value from meta")
        if len(rows) != 1:
            raise DataError(
                f"{self.address} holds {'no' if not rows else 'more than one'} index; build one "
                "in an empty database: sketchjax index INDEX SOURCE... --engine URL"
            )
        content = msgspec.json.decode(rows[0][0], type=Content)
        if content.meta.format != FORMAT:
            raise DataError(
                f"another version of sketchjax wrote the index in {self.address}; use that one"
            )
        if content.name != self._name:
            raise DataError(
                f"{self.address} holds the index {content.name}, not {self._name}; give its name"
            )
        return content

    def _take_version(self, count: int) -> tuple[int, int]:
        """The number of a new change and the first of its ids, of which there are `count`."""
        while True:
            # In this order: a change that is committed meanwhile is in one of the two.
            query = """select toUInt64(substring(name, 7)), comment from system.tables
                where database = currentDatabase() and name like 'taken\\_%'"""
            taken = [(int(row[0]), *map(int, row[1].split())) for row in self._server.rows(query)]
            own = self._server.row("select max(version), max(first + added) from changes")
            version = 1 + max([int(own[0]), *(row[0] for row in taken)])
            first = max([int(own[1]), *(row[1] + row[2] for row in taken)])
            statement = f"create table taken_{version} (x UInt8) engine = Memory"
            if not self._server.created(f"{statement} comment '{first} {count}'"):
                continue
            # Another writer may have taken this number, used it and dropped its table since.
            if not self._server.value(f"select count() from changes where version = {version}"):
                return version, first
            self._server.command(f"drop table taken_{version}")

    def _commit(self, change: Change) -> None:
        """Let everybody see a change whose rows are written."""
        kinds = {
            "version": "UInt64",
            "kind": "LowCardinality(String)",
            "first": "Int64",
            "added": "Int64",
            "categories": "Map(String, Int64)",
            "progress": "String",
            "digest": "String",
        }
        columns = {name: (kind, [getattr(change, name)]) for name, kind in kinds.items()}
        self._server.insert("changes", columns)
        with suppress(UnavailableError, DataError):  # a table that remains does no harm
            self._server.command(f"drop table taken_{change.version}")


@dataclass(frozen=True, eq=False)
class ClickHouseSnapshot:
    """The index in ClickHouse at one moment.

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
            for name in categories:
                self._check_category(name)
            names = ", ".join(map(quoted, categories)) or "''"
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
        listed = ", ".join(str(int(number)) for number in {*ids})
        return self.fetch(ids, f"id in ({listed or 'null'}) and {self._items}")

    def describe(self) -> Description:
        """What the snapshot holds; see `engine.Snapshot`."""
        return self._described

    def categories_of(self, ids: Sequence[int]) -> dict[int, str]:
        """The category of each item that is there, by id, rising."""
        listed = ", ".join(str(int(number)) for number in {*ids})
        query = f"""select id, category from sketches
            where id in ({listed or "null"}) and {self._items} order by id"""
        return {int(number): name for number, name in self.server.rows(query)}

    def thumbnail(self, id_: int) -> bytes:
        """The JPEG file of a photo; see `engine.Snapshot`."""
        deleted = f"select id from deleted where {self.seen}"
        where = f"id = {int(id_)} and {self.seen} and id global not in ({deleted})"
        columns = self.server.columns(f"select thumbnail from photos where {where}", text=False)
        if not columns or not columns[0]:
            raise no_photo(id_)
        return columns[0][0]

    def whole(self, ids: Sequence[int]) -> Items:
        """Items by their rising ids, with their thumbnails, deleted or not."""
        where = f"id >= {ids[0]} and id <= {ids[-1]}" if ids else "0"
        columns = self.server.columns(f"select id, thumbnail from photos where {where}", text=False)
        found = dict(zip(*columns, strict=True)) if columns else {}
        thumbnails = [found.get(id_, b"") for id_ in ids] if found else ()
        return dataclasses.replace(self.fetch(ids, where), thumbnails=thumbnails)

    def fetch(self, ids: Sequence[int], where: str) -> Items:
        """Items by their ids, all of which the condition gives.

        Raises DataError where it does not give one.
        """
        names = _code_columns(self.description.bits)
        query = f"select id, {_FIELDS}, {', '.join(names)} from sketches where {where}"
        columns = self.server.columns(query, text=False) or [[]] * (7 + len(names))
        row_of = {int(number): row for row, number in enumerate(columns[0])}
        for number in ids:
            if int(number) not in row_of:
                raise DataError(f"there is no drawing {number} in the index")
        rows = [row_of[int(number)] for number in ids]
        keys, categories, sources, places, features, points = (
            [column[row] for row in rows] for column in columns[1:7]
        )
        codes = np.array([[column[row] for column in columns[7:]] for row in rows], np.uint64)
        codes = codes.reshape(len(rows), len(names)).view(np.uint8)
        lengths = [len(own) // 3 for own in points]
        return Items(
            codes=np.ascontiguousarray(codes[:, : self.description.bits // 8]),
            features=np.array(features, np.uint8).reshape(len(rows), self.description.features),
            categories=[name.decode() for name in categories],
            key_ids=np.array(keys, np.uint64),
            sources=[name.decode() for name in sources],
            places=np.array(places, np.int64),
            points=np.frombuffer(b"".join(points), np.uint8).reshape(-1, 3),
            offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
            ids=np.array([*ids], np.int64),
        )

    @cached_property
    def _described(self) -> Description:
        query = f"select category, uniqExact(id) from deleted where {self.seen} group by 1"
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
        )

    @cached_property
    def _added(self) -> dict[str, int]:
        """All drawings that were ever added, by category."""
        return self.server.value(
            f"select sumMap(categories) from (select * from changes where {self.seen} "
            "limit 1 by version)"
        )

    @cached_property
    def _items(self) -> str:
        """The condition for items of this snapshot."""
        deleted = f"select id from deleted where {self.seen}"
        if not self.server.value(f"select count() from ({deleted})"):
            return self.seen
        return f"{self.seen} and id global not in ({deleted})"

    @cached_property
    def seen(self) -> str:
        """The condition for rows whose change is seen."""
        return _seen(self.version, self.gaps)

    @cached_property
    def compaction(self) -> Compaction | None:
        """The one that removed most: who sees more changes sees all that others saw."""
        query = f"select digest from changes where kind = 'compact' and {self.seen}"
        done = [msgspec.json.decode(row[0], type=Compaction) for row in self.server.rows(query)]
        return max(done, key=lambda each: each.changes, default=None)

    def _check_category(self, name: str) -> None:
        if name not in self._added:
            raise no_category(name, self._added)


def find_database(address: Address, name: str) -> ClickHouse | None:
    """The index in a database, finished or not, open for writing; None where there is none."""
    server = Server(address)
    try:
        there = "from system.tables where database = currentDatabase() and name = 'meta'"
        if not server.value(f"select count() {there}"):
            return None
        if not server.value("select count() from meta"):
            return None
    finally:
        server.close()
    return ClickHouse(address, name, read_only=False)


def open_database(address: Address, name: str, *, read_only: bool = True) -> ClickHouse:
    """A finished index in ClickHouse.

    address: of the server and the database.
    name: of the index.
    read_only: whether nothing may change.
    Raises UnavailableError where the server does not answer, and DataError where the database has
    no index of this name, or its building has not finished.
    """
    engine = ClickHouse(address, name, read_only=read_only)
    if not engine.finished():
        engine.close()
        raise DataError(
            f"building {name} in {address} has not finished; rerun the command that built it"
        )
    return engine


def quoted(text: str) -> str:
    """A text as a literal of SQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _seen(version: int, gaps: Sequence[int]) -> str:
    """The condition for rows of a change that a snapshot sees."""
    listed = f" and version not in ({', '.join(map(str, gaps))})" if gaps else ""
    return f"version <= {version}{listed}"


def _code_columns(bits: int) -> list[str]:
    return [f"code{word}" for word in range(-(-bits // 64))]


def _distance(code: np.ndarray) -> str:
    """The Hamming distance to a code u8[d/8]."""
    parts = [
        f"bitCount(bitXor(code{number}, toUInt64({word})))"
        for number, word in enumerate(words(code[None])[0].tolist())
    ]
    return " + ".join(parts) if len(parts) == 1 else f"({' + '.join(parts)})"


def _columns(items: Items, version: int) -> dict[str, tuple[str, list[Any]]]:
    """Types and values of the columns of `sketches`."""
    codes = words(items.codes)
    content, ends = items.points.tobytes(), (items.offsets * 3).tolist()
    return {
        "id": ("Int64", items.ids.tolist()),
        "version": ("UInt64", [version] * len(items)),
        "key_id": ("UInt64", items.key_ids.tolist()),
        "category": ("LowCardinality(String)", [*items.categories]),
        "source": ("LowCardinality(String)", [*items.sources]),
        "place": ("Int64", np.asarray(items.places).tolist()),
        **{f"code{word}": ("UInt64", codes[:, word].tolist()) for word in range(codes.shape[1])},
        "features": ("Array(UInt8)", items.features.tolist()),
        "points": ("String", [content[start:end] for start, end in pairwise(ends)]),
    }


def _digest(items: Items) -> str:
    """The sha256 of items with their ids."""
    found = hashlib.sha256()
    arrays = (
        items.ids, items.codes, items.features, items.key_ids, np.asarray(items.places, np.int64),
        items.points, items.offsets - items.offsets[0],
    )  # fmt: skip
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    found.update(msgspec.json.encode([[*items.categories], [*items.sources]]))
    if any(items.thumbnails):
        found.update(msgspec.json.encode([*items.thumbnails]))
    return found.hexdigest()
