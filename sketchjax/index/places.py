"""Where an index is: a folder, or a database of ClickHouse. The commands know only this."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Protocol

from sketchjax.index import build, opening
from sketchjax.index.clickhouse import open_database
from sketchjax.index.engine import Description, Engine
from sketchjax.index.server import Address
from sketchjax.index.sources import Note, Source, Task
from sketchjax.index.store import MODEL
from sketchjax.retrieval.outputs import Encoder


class Place(Protocol):
    """An index that may not be there yet. Raises as the functions of its engine do."""

    def open(self, *, read_only: bool = True) -> Engine:
        """The finished index."""
        ...

    def model(self) -> AbstractContextManager[Path]:
        """The model of the index: a file, or a folder that has it, until the context ends."""
        ...

    def build(
        self,
        sources: Sequence[Source],
        encoder: Encoder,
        *,
        save_model: Callable[[Path], object],
        task: Task,
        note: Note,
    ) -> None:
        """Make the index; see `build.build`."""
        ...

    def add(self, sources: Sequence[Source], encoder: Encoder, *, task: Task, note: Note) -> int:
        """Add drawings; see `build.add`."""
        ...

    def verify(self) -> Description:
        """Check everything in the index against what was written; returns what it holds."""
        ...


class Folder:
    """An index in a folder."""

    def __init__(self, path: Path):
        self._path = path

    def open(self, *, read_only: bool = True) -> Engine:
        """See `Place`."""
        return opening.open_index(self._path, read_only=read_only)

    @contextmanager
    def model(self) -> Iterator[Path]:
        """See `Place`."""
        yield self._path / MODEL

    def build(
        self,
        sources: Sequence[Source],
        encoder: Encoder,
        *,
        save_model: Callable[[Path], object],
        task: Task,
        note: Note,
    ) -> None:
        """See `Place`."""
        build.build(self._path, sources, encoder, save_model=save_model, task=task, note=note)

    def add(self, sources: Sequence[Source], encoder: Encoder, *, task: Task, note: Note) -> int:
        """See `Place`."""
        return build.add(self._path, sources, encoder, task=task, note=note)

    def verify(self) -> Description:
        """See `Place`."""
        return opening.verify(self._path)


class Database:
    """An index in a database of ClickHouse.

    address: of the database.
    name: of the index.
    """

    def __init__(self, address: Address, name: str):
        self._address, self._name = address, name

    def open(self, *, read_only: bool = True) -> Engine:
        """See `Place`."""
        return open_database(self._address, self._name, read_only=read_only)

    @contextmanager
    def model(self) -> Iterator[Path]:
        """See `Place`."""
        engine = open_database(self._address, self._name)
        with closing(engine), engine.model() as path:
            yield path

    def build(
        self,
        sources: Sequence[Source],
        encoder: Encoder,
        *,
        save_model: Callable[[Path], object],
        task: Task,
        note: Note,
    ) -> None:
        """See `Place`."""
        build.build_in(
            self._address, self._name, sources, encoder,
            save_model=save_model, task=task, note=note,
        )  # fmt: skip

    def add(self, sources: Sequence[Source], encoder: Encoder, *, task: Task, note: Note) -> int:
        """See `Place`."""
        with closing(open_database(self._address, self._name, read_only=False)) as engine:
            return build.add_to(engine, sources, encoder, task=task, note=note)

    def verify(self) -> Description:
        """See `Place`."""
        with closing(open_database(self._address, self._name)) as engine:
            return engine.verify()


def place_of(index: Path, engine: str | None) -> Place:
    """The place that a command line names.

    index: a folder; with an engine, the name of the index.
    engine: clickhouse://HOST:PORT/DATABASE; None: the folder.
    Raises ConfigError where the engine is no such address.
    """
    return Folder(index) if engine is None else Database(Address.of(engine), index.name)
