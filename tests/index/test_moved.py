"""An index whose folder is moved while it is open: nothing is written where it was."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest
from drawings_and_codes import items_of
from test_store import index_of

from sketchjax.errors import DoubtfulError, MovedError
from sketchjax.index import store as stores
from sketchjax.index.opening import open_index, verify

CHANGES = {
    "add": lambda engine: engine.add(items_of(5)),
    "delete": lambda engine: engine.delete([1]),
    "compact": lambda engine: engine.compact(),
}


def leave_nothing(old: Path) -> None:
    """Nothing is in its place."""


def leave_a_copy(old: Path) -> None:
    """The same index as it was before, as a backup has it."""
    shutil.copytree(old.with_name("backup"), old)


def leave_another(old: Path) -> None:
    """Another index, with acknowledged changes in its journal."""
    other = index_of(old.with_name("other"), items_of(30, seed=3))
    with closing(open_index(other, read_only=False)) as engine:
        engine.add(items_of(7))
        shutil.copytree(other, old)
    assert (old / "index.duckdb.wal").stat().st_size


def content_of(folder: Path) -> dict[str, bytes] | None:
    return {file.name: file.read_bytes() for file in folder.iterdir()} if folder.exists() else None


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("leave", [leave_nothing, leave_a_copy, leave_another])
def test_what_lies_at_the_old_path_is_left_as_it_is(tmp_path, leave, change):
    folder, moved = index_of(tmp_path / "index", items_of()), tmp_path / "moved"
    shutil.copytree(folder, tmp_path / "backup")
    engine = open_index(folder, read_only=False)
    engine.add(items_of(4))
    folder.rename(moved)
    leave(folder)
    before = content_of(folder)
    with pytest.raises(MovedError, match=r"index was moved, .* move it back, or open it again"):
        CHANGES[change](engine)
    assert engine.snapshot().describe().count == 54
    engine.close()
    assert content_of(folder) == before
    assert verify(moved).count == 54
    if before is not None:
        assert verify(folder).count == (50 if leave is leave_a_copy else 37)


def test_another_database_under_the_same_lock(tmp_path):
    folder = index_of(tmp_path / "index", items_of())
    engine = open_index(folder, read_only=False)
    shutil.copytree(folder, tmp_path / "backup")
    (folder / "index.duckdb").rename(tmp_path / "old.duckdb")
    shutil.copy(tmp_path / "backup" / "index.duckdb", folder)
    with pytest.raises(MovedError):
        engine.add(items_of(5))
    engine.close()
    assert verify(folder).count == 50


def test_a_folder_that_is_moved_back_can_be_changed(tmp_path):
    folder = index_of(tmp_path / "index", items_of())
    engine = open_index(folder, read_only=False)
    folder.rename(tmp_path / "moved")
    with pytest.raises(MovedError):
        engine.delete([1])
    (tmp_path / "moved").rename(folder)
    engine.delete([1])
    engine.close()
    assert verify(folder).count == 49


def test_a_move_during_a_change_is_not_acknowledged(tmp_path, monkeypatch):
    folder = index_of(tmp_path / "index", items_of())
    shutil.copytree(folder, tmp_path / "backup")
    engine = open_index(folder, read_only=False)
    engine.add(items_of(4))  # the journal is open
    seal = stores.Store.seal

    def move_first(self):
        folder.rename(tmp_path / "moved")
        leave_a_copy(folder)
        seal(self)

    monkeypatch.setattr(stores.Store, "seal", move_first)
    with pytest.raises(DoubtfulError, match="was moved"):
        engine.add(items_of(5))
    engine.close()
    assert content_of(folder) == content_of(tmp_path / "backup")
    assert verify(tmp_path / "moved").count in (54, 59)


def test_a_build_whose_folder_is_moved(tmp_path):
    folder = index_of(tmp_path / "index", items_of(), complete=False)
    with closing(stores.Store(folder, read_only=False)) as store:
        folder.rename(tmp_path / "moved")
        with pytest.raises(MovedError):
            store.finish()
    assert not folder.exists()
