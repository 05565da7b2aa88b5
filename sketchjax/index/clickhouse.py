"""The index in ClickHouse: the engine beyond one machine, with the answers of the file's.

Everything is only appended, as in the file. A change has a number, its *version*, which a writer
takes by creating the table `taken_VERSION`: creating a table is what one of several writers can do
only once, on one node as in a database with the engine Replicated. Its comment reserves ids. The
rows come next, and the row of `changes` last: until then nobody sees any of them, and where a
writer was killed nobody ever will. A snapshot is the greatest version with the gaps below it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from sketchjax.errors import BrokenIndexError, DataError, DiskError, UnavailableError
from sketchjax.index.clickhouse_snapshot import ClickHouseSnapshot
from sketchjax.index.clickhouse_tables import (
    Change,
    Compaction,
    Content,
    columns_of,
    digest_of,
    statements,
    typed,
)
from sketchjax.index.engine import Description, Items, check_widths
from sketchjax.index.records import FORMAT, Meta, Progress
from sketchjax.index.server import Address, Server

_CHUNK = 1 << 20  # bytes of the model in a row
_SKETCHES = "from system.tables where database = currentDatabase() and name = 'sketches'"


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
            self.content = content
            for statement in statements(self.meta.bits):
                self._server.command(statement)
            self._insert("meta", {"value": [msgspec.json.encode(content).decode()]})
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
            self._insert("sketches", columns_of(items, version))
            if photos := [row for row, content in enumerate(items.thumbnails) if content]:
                columns = {
                    "id": items.ids[photos].tolist(),
                    "version": [version] * len(photos),
                    "thumbnail": [items.thumbnails[row] for row in photos],
                }
                self._insert("photos", columns)
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
                digest_of(items),
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
                "id": [*there],
                "category": [*there.values()],
                "version": [version] * len(there),
            }
            self._insert("deleted", columns)
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
        digests = {}
        for start, items, deleted in snapshot.additions():
            if deleted:
                rows = np.flatnonzero(~np.isin(items.ids, deleted))
                digests[str(start)] = digest_of(items[rows])
        done = Compaction(snapshot.version, snapshot.gaps, snapshot.changes, digests)
        text = msgspec.json.encode(done).decode()
        self._commit(Change(version, "compact", first, digest=text))
        gone = f"id in ({snapshot.deleted})"
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
                self._insert("model", {"part": [part], "bytes": [content]})

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

        Raises BrokenIndexError where something differs.
        """
        snapshot = self.snapshot()
        for _ in snapshot.additions():
            pass
        return snapshot.describe()

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    def _insert(self, table: str, columns: Mapping[str, list[Any]]) -> None:
        """Insert rows. columns: values by name."""
        self._server.insert(table, typed(table, columns, self.meta.bits))

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
        row = msgspec.structs.asdict(change)
        self._insert("changes", {name: [value] for name, value in row.items()})
        with suppress(UnavailableError, BrokenIndexError):  # a table that remains does no harm
            self._server.command(f"drop table taken_{change.version}")


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
