"""The index as a folder: everything comes back, changes are durable, and damage is refused."""

import dataclasses
import mmap
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import numpy as np
import pytest
from drawings_and_codes import MODEL, SCALE, items_of, same

from sketchjax.errors import DataError, DiskError, DoubtfulError, InUseError
from sketchjax.index import blocks, columns, opening
from sketchjax.index import store as stores
from sketchjax.index.database import DATABASE, LOCK
from sketchjax.index.opening import open_index, open_store, verify
from sketchjax.index.records import FORMAT, Meta
from sketchjax.index.store import VERSION, Store

HERE = Path(__file__).parent


def index_of(folder, items, *, complete=True) -> Path:
    """The folder of an index of these items."""
    folder.mkdir()
    meta = Meta(FORMAT, MODEL, items.codes.shape[1] * 8, items.features.shape[1], SCALE)
    own = Store(folder, read_only=False, meta=meta)
    half = len(items) // 2
    for low, high in ((0, half), (half, len(items))):
        own.add(numbered(items)[range(low, high)])
    if complete:
        own.finish()
    own.close()
    return folder


def numbered(items):
    """Items with ids."""
    return items.with_ids(np.arange(len(items)))


@pytest.mark.parametrize("bits", [8, 16, 24, 64, 72, 256])
@pytest.mark.parametrize("in_memory", [True, False])
def test_items_come_back_as_they_were_given(tmp_path, bits, in_memory, monkeypatch):
    monkeypatch.setattr(opening, "_SHARE_OF_MEMORY", 0.25 if in_memory else 0)
    items = items_of(90, bits, 7)
    engine = open_index(index_of(tmp_path / "index", items))
    snapshot = engine.snapshot()
    same(snapshot.get(range(90)), numbered(items))
    same(snapshot.get([80, 3, 3]), numbered(items)[[80, 3, 3]])
    state = snapshot.describe()
    assert (state.name, state.model, state.scale, state.count) == ("index", MODEL, SCALE, 90)
    assert state.bits == bits
    engine.close()


def test_items_in_the_file_are_looked_up_by_their_key(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "_SHARE_OF_MEMORY", 0)
    items = items_of(9_000, 64, 7)
    with closing(open_index(index_of(tmp_path / "index", items))) as engine:
        snapshot = engine.snapshot()
        same(snapshot.get([8_000, 3, 3]), numbered(items)[[8_000, 3, 3]])
        same(snapshot.get([]), numbered(items)[[]])
        with engine._storage._database.connection.cursor() as cursor:
            plan = cursor.execute(
                "explain analyze select points from sketches where id in (3, 8000)"
            )
            assert "Index Scan" in plan.fetchall()[0][1]


def test_changes_are_there_when_it_is_opened_again(tmp_path):
    folder, items, more = tmp_path / "index", items_of(), items_of(30, seed=1)
    engine = open_index(index_of(folder, items), read_only=False)
    ids = engine.add(more)
    assert engine.delete([3, int(ids[0])]) == 2
    del engine._storage._database.connection  # no orderly end: the journal is all there is
    os.close(engine._storage._database._lock)
    engine = open_index(folder)
    assert engine.snapshot().describe().count == 78
    same(engine.snapshot().get(ids[1:].tolist()), more.with_ids(ids)[range(1, 30)])
    with pytest.raises(DataError, match="no drawing 3 "):
        engine.snapshot().get([3])
    engine.close()
    engine = open_index(folder, read_only=False)
    assert engine.add(more)[0] == 80
    engine.close()
    assert verify(folder).count == 108


def test_an_older_snapshot_finds_deleted_points_in_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "_SHARE_OF_MEMORY", 0)
    items = items_of()
    engine = open_index(index_of(tmp_path / "index", items), read_only=False)
    before = engine.snapshot()
    engine.delete(range(50))
    same(before.get(range(50)), numbered(items))
    engine.close()


@pytest.mark.parametrize("in_memory", [True, False])
def test_compaction_removes_what_is_deleted_and_joins_blocks(tmp_path, in_memory, monkeypatch):
    monkeypatch.setattr(opening, "_SHARE_OF_MEMORY", 0.25 if in_memory else 0)
    monkeypatch.setattr(blocks, "SIZE", 300)
    folder, items = tmp_path / "index", items_of(200, 72, 9)
    pieces = [items_of(20, 72, 9, seed=seed) for seed in range(1, 11)]
    engine = open_index(index_of(folder, items), read_only=False)
    for piece in pieces:
        engine.add(piece)
    gone = [*range(100), 137, 399]
    engine.delete(gone)
    before = {n: engine.snapshot().get([n]) for n in (101, 136, 138, 215, 398)}
    number = engine.snapshot().describe().snapshot
    assert engine.compact() == 102
    assert engine._storage.blocks() == 2  # of 100 + 2 × 100, and of the other 200
    for check in (engine, None):
        if check is None:
            engine.close()
            engine = open_index(folder, read_only=False)
        state = engine.snapshot().describe()
        assert (state.count, state.snapshot) == (298, number + 1)
        for n, item in before.items():
            same(engine.snapshot().get([n]), item)
        with pytest.raises(DataError, match="no drawing 137"):
            engine.snapshot().get([137])
    assert engine.add(pieces[0])[0] == 400
    assert engine.compact() == 0
    engine.close()
    assert verify(folder).count == 318


def test_compaction_starts_by_itself(tmp_path):
    """A quarter and a thousand deletions start it; searches of before are not disturbed."""
    folder, items = index_of(tmp_path / "index", items_of(20_000)), items_of(20_000)
    engine = open_index(folder, read_only=False)
    before = engine.snapshot()
    engine.delete(range(0, 20_000, 2))
    engine.delete(range(1, 15_000, 2))
    same(before.get([0, 1, 19_999]), numbered(items)[[0, 1, 19_999]])
    engine.close()  # waits for it
    assert rows_of(folder) < 15_000  # deleted or not
    engine = open_index(folder)
    assert engine.snapshot().describe().count == 2_500
    same(engine.snapshot().get([19_999]), numbered(items)[[19_999]])
    engine.close()
    engine = open_index(folder, read_only=False)
    engine.compact()
    engine.close()
    assert rows_of(folder) == 2_500


def rows_of(folder) -> int:
    """Rows in the file."""
    import duckdb

    with duckdb.connect(str(folder / DATABASE), read_only=True) as connection:
        return connection.execute("select count(*) from sketches").fetchall()[0][0]


@pytest.mark.parametrize("in_memory", [True, False])
def test_large_arrays_are_mapped_files(tmp_path, in_memory, monkeypatch):
    """Whatever an array is kept in, answers and changes are the same."""
    monkeypatch.setattr(opening, "_SHARE_OF_MEMORY", 0.25 if in_memory else 0)
    monkeypatch.setattr(columns, "_MAPPED", 100)
    monkeypatch.setattr(blocks, "PART", 30)
    items, more = items_of(90, 72, 9), items_of(200, 72, 9, seed=1)
    engine = open_index(index_of(tmp_path / "index", items), read_only=False)
    assert isinstance(engine.snapshot().features.base.base.obj, mmap.mmap)
    before = engine.snapshot()
    ids = engine.add(more)
    engine.delete([3, 80, int(ids[7])])
    same(before.get(range(90)), numbered(items))
    engine.compact()
    kept = [row for row in range(200) if row != 7]
    same(engine.snapshot().get(ids[kept].tolist()), more.with_ids(ids)[kept])
    same(before.get(range(90)) if in_memory else before.get([4]),
         numbered(items) if in_memory else numbered(items)[[4]])  # fmt: skip
    engine.close()
    assert verify(tmp_path / "index").count == 287


def test_an_array_that_no_disk_has_room_for_is_in_memory(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(columns, "_MAPPED", 100)
    monkeypatch.setattr(columns.os, "posix_fallocate", full)
    column = columns.Column(np.int64, room=50)
    for part in (range(50), range(50, 70)):
        column.append(np.array(part))
    np.testing.assert_array_equal(column.values, np.arange(70))
    assert column.values.base.base is None  # numpy's own memory


def test_people_can_ask_the_database(tmp_path):
    import duckdb

    items = items_of()
    engine = open_index(index_of(tmp_path / "index", items), read_only=False)
    engine.delete([items.categories.index("cat")])
    engine.close()
    with duckdb.connect(str(tmp_path / "index" / DATABASE), read_only=True) as connection:
        counted = dict(connection.execute(
            "select category, count(*) from drawings group by all").fetchall())  # fmt: skip
        code, key_id = connection.execute(
            "select code[1], key_id from drawings where id = 49").fetchall()[0]  # fmt: skip
    expected = {name: items.categories.count(name) for name in set(items.categories)}
    assert counted == expected | {"cat": expected["cat"] - 1}
    assert code == int.from_bytes(items.codes[49].tobytes(), "little")
    assert key_id == items.key_ids[49]


def test_readers_share_and_a_writer_excludes(tmp_path):
    folder = index_of(tmp_path / "index", items_of())
    readers = [open_index(folder), open_index(folder)]
    with pytest.raises(InUseError, match="in use by another process; wait until"):
        open_index(folder, read_only=False)
    for reader in readers:
        reader.close()
    writer = open_index(folder, read_only=False)
    with pytest.raises(InUseError, match="being changed by another process"):
        open_index(folder)
    (folder / LOCK).unlink()  # as where file systems share no such locks: DuckDB has one as well
    program = f"from sketchjax.index.opening import *; open_index(Path({str(folder)!r}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "InUseError" in done.stderr.splitlines()[-1]
    writer.close()


def test_a_folder_that_may_not_be_written_can_be_read(tmp_path):
    folder = index_of(tmp_path / "index", items_of())
    (folder / LOCK).chmod(0o400)
    folder.chmod(0o500)
    engine = open_index(folder)
    assert engine.snapshot().describe().count == 50
    engine.close()
    folder.chmod(0o700)


def test_what_is_no_index_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    unfinished = index_of(tmp_path / "unfinished", items_of(), complete=False)
    for path, message in (
        (tmp_path / "file", "is a file"),
        (tmp_path / "empty", f"has no {DATABASE}"),
        (tmp_path / "nothing", "is not there"),
        (unfinished, "has not finished; rerun"),
    ):
        with pytest.raises(DataError, match=message):
            open_index(path)


def test_a_database_behind_its_version_is_refused(tmp_path):
    folder = index_of(tmp_path / "index", items_of())
    before = (folder / DATABASE).read_bytes()
    engine = open_index(folder, read_only=False)
    engine.add(items_of(1))
    engine.close()
    (folder / DATABASE).write_bytes(before)
    with pytest.raises(DataError, match=r"database is at change 3 and .*version says 4"):
        open_index(folder)
    (folder / VERSION).unlink()
    with pytest.raises(DataError, match="version cannot be read"):
        open_index(folder)


def test_a_change_that_was_not_acknowledged_may_be_there(tmp_path):
    """A process killed between the database and the version leaves a sound index."""
    folder = index_of(tmp_path / "index", items_of())
    before = (folder / VERSION).read_bytes()
    engine = open_index(folder, read_only=False)
    engine.add(items_of(1))
    engine.close()
    (folder / VERSION).write_bytes(before)
    with closing(open_index(folder)) as engine:
        assert engine.snapshot().describe().count == 51
    open_index(folder, read_only=False).close()
    assert (folder / VERSION).read_bytes() != before


def test_a_change_in_doubt_is_shown_once_it_is_certain(tmp_path, monkeypatch):
    """The database has it, but its version could not be written: the next change ends the doubt."""
    folder, more = index_of(tmp_path / "index", items_of()), items_of(5, seed=1)
    engine = open_index(folder, read_only=False)

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stores, "write_whole", full)
    with pytest.raises(DoubtfulError, match="No space left"):
        engine.add(more)
    with pytest.raises(DiskError, match="No space left"):
        engine.delete([1])
    assert engine.snapshot().describe().count == 50
    monkeypatch.undo()
    assert engine.delete([1, 52]) == 2
    assert engine.snapshot().describe().count == 53
    same(engine.snapshot().get([50, 54]), more.with_ids(np.arange(50, 55))[[0, 4]])
    engine.close()
    assert verify(folder).count == 53


def test_a_store_that_failed_is_settled_before_it_changes(tmp_path, monkeypatch):
    with closing(open_store(index_of(tmp_path / "index", items_of()), read_only=False)) as store:
        monkeypatch.setattr(stores, "write_whole", lambda path, content: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.delete(np.array([1]))
        monkeypatch.undo()
        with pytest.raises(DiskError, match="could not be written before"):
            store.delete(np.array([2]))
        assert store.settle()
        store.delete(np.array([2]))
        assert store.deleted().tolist() == [1, 2]


def test_a_missing_duckdb_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(DataError, match=r"pip install 'sketchjax\[search\]'"):
        index_of(tmp_path / "index", items_of())


def run_script(name: str, *arguments: str) -> None:
    """Run a script of this folder; what it finds wrong is the message."""
    done = subprocess.run([sys.executable, HERE / name, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_acknowledged_is_lost_by_kill(tmp_path):
    run_script("killing_changes.py", tmp_path / "index", os.environ.get("SKETCHJAX_KILLS", "20"))


def test_a_flipped_byte_is_never_silently_wrong(tmp_path):
    run_script("flipping_bytes.py", tmp_path / "index", os.environ.get("SKETCHJAX_FLIPS", "40"))


def test_a_file_has_at_most_65535_categories(tmp_path):
    names = np.array([f"name {number}" for number in range(65_536)], object)
    items = dataclasses.replace(items_of(65_536), categories=[*names])
    numbers = np.arange(65_535)
    folder = index_of(tmp_path / "index", items[numbers])
    with closing(open_store(folder, read_only=False)) as store:
        with pytest.raises(DataError, match="at most 65,535 categories; divide the drawings"):
            store.add(items[[65_535]].with_ids(np.array([65_535])))
        store.add(items[[0]].with_ids(np.array([65_535])))
    assert verify(folder).count == 65_536
    with duckdb.connect(str(folder / "index.duckdb")) as connection:
        connection.execute("insert into categories values (65535, 'one more')")
    with pytest.raises(DataError, match="more than 65,535 categories"):
        open_index(folder)
