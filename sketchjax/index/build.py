"""From drawings to an index: encoded part by part, resumed where a part ended, whole or absent."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol

import numpy as np
from msgspec.structs import replace

from sketchjax.data.sketch import Sketches
from sketchjax.errors import DataError, on_disk
from sketchjax.files import sole_writer, sync_folder
from sketchjax.index.clickhouse import ClickHouse, find_database
from sketchjax.index.clickhouse_tables import Content
from sketchjax.index.database import DATABASE
from sketchjax.index.engine import Items, Scale, TooManyCategories
from sketchjax.index.known import begun, records_of
from sketchjax.index.opening import open_store
from sketchjax.index.records import FORMAT, Meta, Progress
from sketchjax.index.search import check_model
from sketchjax.index.server import Address
from sketchjax.index.sources import Note, Source, Task
from sketchjax.index.store import MODEL, Store
from sketchjax.retrieval.outputs import Encoder, Outputs
from sketchjax.wording import counted


def build(
    folder: Path,
    sources: Sequence[Source],
    encoder: Encoder,
    *,
    save_model: Callable[[Path], object],
    task: Task,
    note: Note,
) -> None:
    """Make an index of drawings. What a stopped process has encoded is used again.

    folder: of the index. An index of the same sources and model there is left as it is.
    sources: of the drawings.
    encoder: the model.
    save_model: writes the model to a path.
    task: shows progress.
    note: gets what was decided, line by line.
    Raises DataError where there is another index or something else, a source cannot be read, or the
    model makes no codes; InUseError where another process builds it; and DiskError.
    """
    _check_makes_codes(encoder)
    if folder.exists():
        _check_same(folder, sources, encoder)
        note(f"{folder} already holds these drawings: nothing to do")
        return
    partial = folder.with_name(f".{folder.name}.part")
    with on_disk(f"{folder} cannot be written"), sole_writer(folder):
        store = _left_in(partial, folder, sources, encoder, note)
        if store is None:
            meta, files = _begin(sources, encoder, task)
            partial.mkdir(parents=True)
            store = Store(partial, read_only=False, meta=meta, files=files, building=folder)
        try:
            with closing(store):
                _resume(store, sources, encoder, task, note)
                store.finish()
        except TooManyCategories:  # there is nothing to resume
            shutil.rmtree(partial, ignore_errors=True)
            raise
        (partial / MODEL).mkdir(exist_ok=True)
        save_model(partial / MODEL / "model.safetensors")
        partial.rename(folder)
        sync_folder(folder.parent)


def add(
    folder: Path, sources: Sequence[Source], encoder: Encoder, *, task: Task, note: Note
) -> int:
    """Add drawings to an index; returns how many. A file that is there already is passed over.

    folder: of the index.
    sources: of the drawings. One that a stopped process has begun is resumed.
    encoder: the index's model.
    task: shows progress.
    note: gets what was decided, line by line.
    Raises as `build` and `opening.open_index` do.
    """
    with closing(open_store(folder, read_only=False)) as store:
        return add_to(store, sources, encoder, task=task, note=note)


def add_to(
    store: Growing, sources: Sequence[Source], encoder: Encoder, *, task: Task, note: Note
) -> int:
    """The same for an index that is open."""
    check_model(encoder.fingerprint, store.meta.model)
    wanted, files = [], []
    for source, file in zip(sources, records_of(sources, store.progress()), strict=True):
        if file is not None and file.done == file.count:
            note(f"{source.name} is in the index already: passed over")
            continue
        wanted.append(source)
        files.append(file or begun(source))
    _append(store, wanted, files, encoder, task)
    return sum(file.count - file.done for file in files)


def build_in(
    address: Address,
    name: str,
    sources: Sequence[Source],
    encoder: Encoder,
    *,
    save_model: Callable[[Path], object],
    task: Task,
    note: Note,
) -> None:
    """`build`, in a database of ClickHouse. Nobody can search it before it is complete.

    address: of the database, which is empty, or has the tables of launch/clickhouse/cluster.sql.
    name: of the index.
    Raises as `build` does, and UnavailableError.
    """
    _check_makes_codes(encoder)
    engine = find_database(address, name)
    if engine is None:
        content = Content(name, *_begin(sources, encoder, task))
        engine = ClickHouse(address, name, read_only=False, content=content)
    with closing(engine):
        if not _is_of(engine, sources, encoder):
            raise DataError(
                f"{address} holds an index of other drawings or of another model; add to it with "
                f"`sketchjax index add`, name another database, or drop that one first"
            )
        if engine.finished():
            note(f"{address} already holds these drawings: nothing to do")
            return
        _resume(engine, sources, encoder, task, note)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            save_model(path)
            engine.save_model(path)
        engine.finish()


class Growing(Protocol):
    """An index to which drawings are added with the progress of their files."""

    @property
    def meta(self) -> Meta: ...

    @property
    def next_id(self) -> int: ...

    def progress(self) -> list[Progress]: ...

    def add(self, items: Items, progress: Progress | None = None) -> object: ...


def _check_makes_codes(encoder: Encoder) -> None:
    if encoder.bits is None:
        raise DataError(
            "this model makes no codes, so it cannot make an index; use a model whose last stage "
            "trained a head with codes"
        )


def _left_in(
    partial: Path, folder: Path, sources: Sequence[Source], encoder: Encoder, note: Note
) -> Store | None:
    """The unfinished index that a stopped process left for a folder, if of these drawings.

    One that is not is removed.
    """
    if (partial / DATABASE).is_file():
        try:
            store = Store(partial, read_only=False, building=folder)
        except DataError:
            note("what a stopped process left cannot be read: starting over")
        else:
            if _is_of(store, sources, encoder):
                return store
            note("what a stopped process left is of other drawings or another model: starting over")
            store.close()
    shutil.rmtree(partial, ignore_errors=True)
    return None


def _begin(sources: Sequence[Source], encoder: Encoder, task: Task) -> tuple[Meta, list[Progress]]:
    """What a new index says about itself and the sources that it will hold."""
    files = _counted(sources, task)
    source = next(s for s, file in zip(sources, files, strict=True) if file.count)
    outputs = next(source.parts(encoder, 0))[1]
    meta = Meta(
        format=FORMAT,
        model=outputs.codes.model,
        bits=outputs.codes.bits,
        features=outputs.features.shape[1],
        scale=Scale.of(outputs.features),
    )
    return meta, files


def _resume(
    store: Growing, sources: Sequence[Source], encoder: Encoder, task: Task, note: Note
) -> None:
    """Encode and keep what an unfinished index of these sources does not have yet."""
    files = [file for file in records_of(sources, store.progress()) if file is not None]
    if done := sum(file.done for file in files):
        note(f"resuming after {counted(done, 'drawing')}")
    _append(store, sources, files, encoder, task)


def _append(
    store: Growing,
    sources: Sequence[Source],
    files: Sequence[Progress],
    encoder: Encoder,
    task: Task,
) -> None:
    """Encode and keep the drawings of sources from where their files' progress ended."""
    total, done = sum(file.count for file in files), sum(file.done for file in files)
    with task("encoding", total) as advance:
        advance(done)
        for source, file in zip(sources, files, strict=True):
            if file.done == file.count:
                continue
            for sketches, outputs in source.parts(encoder, file.done):
                file = replace(file, done=file.done + len(sketches))
                store.add(_items(store, source, sketches, outputs), file)
                advance(len(sketches))


def _items(store: Growing, source: Source, sketches: Sketches, outputs: Outputs) -> Items:
    items = Items.of(sketches, outputs, store.meta.scale, source.name)
    return items.with_ids(np.arange(store.next_id, store.next_id + len(sketches)))


def _counted(sources: Sequence[Source], task: Task) -> list[Progress]:
    """The sources with their numbers of drawings; bad ones end this before anything is encoded."""
    counted = []
    with task("reading", len(sources)) as advance:
        for source in sources:
            counted.append(begun(source))
            advance(1)
    if not sum(file.count for file in counted):
        raise DataError("there is no drawing to index")
    return counted


def _check_same(folder: Path, sources: Sequence[Source], encoder: Encoder) -> None:
    """Raise DataError where a folder is not a finished index of these drawings."""
    if folder.is_dir() and (folder / DATABASE).is_file():
        with closing(open_store(folder)) as store:
            if _is_of(store, sources, encoder):
                return
        raise DataError(
            f"{folder} is an index of other drawings or of another model; add to it with "
            f"`sketchjax index add`, name another folder, or delete it first"
        )
    raise DataError(f"{folder} exists and is not an index; name another folder")


def _is_of(store: Growing, sources: Sequence[Source], encoder: Encoder) -> bool:
    """Whether an index is of this model and these sources, and no others."""
    files = store.progress()
    if store.meta.model != encoder.fingerprint or len(files) != len(sources):
        return False
    try:
        return None not in records_of(sources, files)
    except DataError:  # one has changed
        return False
