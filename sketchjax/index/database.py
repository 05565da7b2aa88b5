"""The DuckDB file of an index: its tables, who may write it, and what its errors mean."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sketchjax.errors import BrokenIndexError, DataError, DiskError, InUseError, MovedError, on_disk
from sketchjax.files import take_lock
from sketchjax.index.duck import duckdb

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DATABASE, LOCK = "index.duckdb", ".lock"
REMEDY = "restore it from a copy, or build it again with `sketchjax index`"
# Memory that DuckDB may take. Most of the file is read once. What it keeps: a change that is not
# committed, and what it has looked at of the key of `sketches`, 8 bytes an item.
_BUFFERS, _BUFFERS_OF_WRITER, _KEY_BYTES = 64 << 20, 256 << 20, 10
_RERUN = "rerun `sketchjax index`"
_IN_USE = "wait until that has finished, or stop it"
_SCHEMA = """
create table meta(value varchar not null);
create table categories(label usmallint not null, name varchar not null);
create table sources(source uinteger not null, name varchar not null);
create table sketches(
  id bigint primary key, key_id ubigint not null, label usmallint not null,
  source uinteger not null, place bigint not null, code ubigint[{words}] not null,
  features ubigint[{feature_words}] not null, points blob not null);
create table blocks(
  first bigint not null, last bigint not null,
  searched varchar not null, details varchar not null);
create table deleted(id bigint not null);
create table progress(path varchar not null, bytes bigint not null, modified bigint not null,
  count bigint not null, done bigint not null, digest varchar default '');
create view drawings as
  select id, key_id, categories.name as category, sources.name as source, place, code, points
  from sketches join categories using (label) join sources using (source)
  where id not in (from deleted);
"""


class Database:
    """The open file of an index, and the lock that lets one process write and many read.

    folder: of the index.
    read_only: whether nothing may change; any number of processes can read.
    is_new: whether the file is to be made.
    building: the index that is built in this folder, which errors name in its place; None: this.
    Raises InUseError when another process holds the index, and BrokenIndexError when it is damaged.
    """

    def __init__(
        self,
        folder: Path,
        *,
        read_only: bool,
        is_new: bool = False,
        building: Path | None = None,
    ):
        self.folder, self.read_only, self._building = folder, read_only, building
        self._readers, self._changed = 0, threading.Condition()
        self._lock: int | None = _hold(folder, shared=read_only)
        try:
            with self.errors(writing=is_new):
                self.connection = self._connect()
            with on_disk(f"{folder} cannot be opened"):
                self._file = (folder / DATABASE).stat()
        except BaseException:
            self._release()
            raise

    def _connect(self) -> DuckDBPyConnection:
        # Loading is as fast with one thread, and a server's cores are for its requests.
        connection = duckdb().connect(
            str(self.folder / DATABASE), read_only=self.read_only, config={"threads": 1}
        )
        # It would delete the journal by its path, in whatever lies there by then.
        connection.execute("pragma disable_checkpoint_on_shutdown")
        return connection

    @contextmanager
    def cursor(self) -> Iterator[DuckDBPyConnection]:
        """A connection for one thread. One that is left open would keep the file from `reopen`."""
        with self._changed:
            cursor = self.connection.cursor()
            self._readers += 1
        try:
            with cursor:
                yield cursor
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    def reopen(self) -> None:
        """Open the file again, as it is on the disk; those who read it are waited for."""
        with self._changed:
            self._changed.wait_for(lambda: not self._readers)
            with suppress(duckdb().Error):  # it failed before
                self.connection.close()
            self.connection = self._connect()

    def create_tables(self, *, words: int, feature_words: int) -> None:
        """Make the tables of a new index. words, feature_words: of 64 bits, in a row."""
        for statement in _SCHEMA.format(words=words, feature_words=feature_words).split(";")[:-1]:
            self.connection.execute(statement)

    def has_photos(self, connection: DuckDBPyConnection) -> bool:
        """Whether there is a table of thumbnails. connection: or a cursor of it."""
        query = "select 1 from duckdb_tables() where table_name = 'photos'"
        return bool(connection.execute(query).fetchall())

    def fetch(self, query: str) -> dict[str, np.ndarray]:
        """The columns of a query's rows."""
        return self.connection.execute(query).fetchnumpy()  # pyright: ignore[reportReturnType]

    def names(self, table: str, number: str) -> list[str]:
        """The names that a table numbers from 0.  Raises ValueError where some are missing."""
        rows = self.connection.execute(f"from {table} order by {number}").fetchall()
        if [row[0] for row in rows] != list(range(len(rows))):
            raise ValueError(f"its table {table} is not complete")
        return [row[1] for row in rows]

    def make_room(self, items: int) -> None:
        """Let DuckDB have the memory that it needs with this many items."""
        buffers = _BUFFERS if self.read_only else _BUFFERS_OF_WRITER
        self.connection.execute(f"set memory_limit = '{buffers + items * _KEY_BYTES} bytes'")

    def checkpoint(self) -> None:
        """Write the journal into the file."""
        self.check_place()
        try:
            with self.errors(writing=True):
                self.connection.execute("checkpoint")
        except DiskError:
            with suppress(duckdb().Error):  # until then, nothing could be read
                self.reopen()
            raise

    def check_place(self) -> None:
        """Raise MovedError where the folder's path leads to something else than what was opened.

        DuckDB writes to the file that it opened, but finds its journal by the path.
        """
        assert self._lock is not None
        opened = {LOCK: os.fstat(self._lock), DATABASE: self._file}
        with on_disk(f"{self.folder} cannot be written"):
            try:
                if all(
                    os.path.samestat(own, (self.folder / name).stat())
                    for name, own in opened.items()
                ):
                    return
            except (FileNotFoundError, NotADirectoryError):
                pass
        if self._building is not None:
            raise MovedError(
                f"{self.folder}, where {self._building} is built, was moved, deleted or replaced; "
                f"move it back to resume, then {_RERUN}"
            )
        raise MovedError(
            f"{self.folder} was moved, deleted or replaced after it was opened, so it cannot be "
            "changed; move it back, or open it again where it is now"
        )

    def close(self) -> None:
        """Let go of the file and the lock."""
        if self._lock is not None:
            with suppress(Exception):  # a damaged or moved file may refuse its last checkpoint
                if not self.read_only:
                    self.checkpoint()
            with suppress(Exception):
                self.connection.close()
            self._release()

    @contextmanager
    def errors(self, *, writing: bool = False) -> Iterator[None]:
        """Turn what DuckDB raises, and what damaged content leads to, into one clear sentence."""
        path, remedy = self.folder / DATABASE, REMEDY
        shown, then = path, "try again: what was acknowledged is in it"
        if self._building is not None:
            shown, then = self._building, f"{_RERUN}, which resumes"
            remedy = f"delete {self.folder}, then {_RERUN}"
        try:
            yield
        except (DataError, DiskError, InUseError):
            raise
        except duckdb().Error as error:
            reason = str(error).splitlines()[0].replace(f"{self.folder}{os.sep}", "")[:200]
            if "Could not set lock" in reason:
                raise InUseError(
                    f"{self.folder} is in use by another process; {_IN_USE}"
                ) from error
            if isinstance(error, duckdb().OutOfMemoryException):
                raise DiskError(
                    f"{shown} needs more memory than there is ({reason}); stop other programs, "
                    f"then {then}"
                ) from error
            if writing:
                raise DiskError(
                    f"{shown} cannot be written ({reason}); check the disk, then {then}"
                ) from error
            is_closed = isinstance(error, duckdb().ConnectionException)  # `reopen` failed
            if is_closed or "has been invalidated" in reason:
                raise DiskError(
                    f"{path} cannot be read after an earlier error ({reason}); check the disk, "
                    "then open the index again"
                ) from error
            raise BrokenIndexError(f"{path} is damaged ({reason}); {remedy}") from error
        except (ValueError, KeyError, IndexError, TypeError, RuntimeError, MemoryError) as error:
            raise BrokenIndexError(f"{path} is damaged ({error}); {remedy}") from error

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _hold(folder: Path, *, shared: bool) -> int:
    """Take the lock of an index: its descriptor. Also two stores of one process exclude each other.

    Raises InUseError when another holds it.
    """
    with on_disk(f"{folder} cannot be opened"):
        flags = os.O_RDONLY if shared and not os.access(folder, os.W_OK) else os.O_RDWR | os.O_CREAT
        descriptor = os.open(folder / LOCK, flags, 0o666)
        try:
            if take_lock(descriptor, shared=shared):
                return descriptor
        except OSError:
            os.close(descriptor)
            raise
    os.close(descriptor)
    use = "is being changed by another process" if shared else "is in use by another process"
    raise InUseError(f"{folder} {use}; {_IN_USE}")
