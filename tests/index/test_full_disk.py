"""A disk without room: exit code 74, and an index that holds what was acknowledged."""

import itertools
import shutil
import threading
from contextlib import closing

import numpy as np
import pytest
from disk_limits import files_up_to
from drawings_and_codes import items_of, same
from projecting import Projecting
from test_build import add_to, build_of, doodles, encode_to, items_in  # noqa: F401
from test_store import index_of

from sketchjax.errors import DiskError, DoubtfulError
from sketchjax.index import opening
from sketchjax.index.opening import open_index, verify


def encode_it(folder):
    encode_to(folder / "new", [folder / "doodles"], Projecting())


def build_it(folder):
    build_of(folder / "new", [folder / "doodles"])


def add_it(folder):
    add_to(folder / "index", [folder / "doodles"])


def delete_it(folder):
    with closing(open_index(folder / "index", read_only=False)) as engine:
        engine.delete(range(20))


WORKS = [*itertools.product([encode_it, build_it, add_it, delete_it], [0, 3_000])]


@pytest.mark.parametrize(("work", "limit"), [*WORKS, (build_it, 40_000), (build_it, 1_000_000)])
def test_a_disk_without_room(doodles, tmp_path, work, limit):  # noqa: F811
    if work is delete_it:
        limit //= 1_000  # it writes little
    (tmp_path / "doodles").symlink_to(doodles)
    build_of(tmp_path / "index", [doodles / "cat.ndjson"])
    before = len(items_in(tmp_path / "index"))
    with files_up_to(limit), pytest.raises(DiskError) as caught:
        work(tmp_path)
    assert caught.value.exit_code == 74
    said = str(caught.value)
    assert "cannot be written" in said
    if work is build_it:
        assert said.startswith(f"{tmp_path / 'new'} cannot be written (")
        assert "rerun `sketchjax index`, which resumes" in said
        assert ".part" not in said
    assert not (tmp_path / "new").exists()
    assert len(items_in(tmp_path / "index")) == before


@pytest.mark.parametrize("limit", [0, 100, 3_000, 100_000])
@pytest.mark.parametrize("in_memory", [True, False])
def test_changes_work_again_once_there_is_room(tmp_path, monkeypatch, limit, in_memory):
    monkeypatch.setattr(opening, "_SHARE_OF_MEMORY", 0.25 if in_memory else 0)
    folder, items = index_of(tmp_path / "index", items_of()), items_of()
    engine = open_index(folder, read_only=False)
    engine.add(items_of(5, seed=1))
    with files_up_to(limit), pytest.raises(DoubtfulError, match="cannot be written"):
        engine.add(items_of(4_000, seed=2))
    same(engine.snapshot().get([3, 9]), items.with_ids(np.arange(50))[[3, 9]])
    engine.delete([1])
    more = items_of(7, seed=3)
    ids = engine.add(more)
    assert ids.tolist() == [*range(55, 62)]
    shutil.copytree(folder, tmp_path / "killed")  # what is on the disk without an orderly end
    engine.close()
    for each in (folder, tmp_path / "killed"):
        assert verify(each).count == 61
        with closing(open_index(each)) as engine:
            same(engine.snapshot().get(ids.tolist()), more.with_ids(ids))


def test_readers_of_the_file_do_not_notice(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "_SHARE_OF_MEMORY", 0)
    folder, items = index_of(tmp_path / "index", items_of()), items_of().with_ids(np.arange(50))
    engine = open_index(folder, read_only=False)
    ended, failures, reads = threading.Event(), [], []

    def read():
        try:
            while not ended.is_set():
                same(engine.snapshot().get([7, 8]), items[[7, 8]])
                reads.append(1)
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(5):
        with files_up_to(3_000), pytest.raises(DoubtfulError):
            engine.add(items_of(4_000))
        engine.add(items_of(1))
    ended.set()
    for reader in readers:
        reader.join()
    assert (failures, bool(reads)) == ([], True)
    engine.close()
    assert verify(folder).count == 55
