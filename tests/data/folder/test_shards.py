"""Records read by random access, against Python's struct; damage is named."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import orjson
import pytest
from plain_records import plain_decode, records_of

from sketchjax.data.folder import shards
from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.shards import Shards, same_drawings
from sketchjax.data.folder.splits import SPLITS
from sketchjax.data.sources import doodles as synthetic
from sketchjax.errors import DataError


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A data folder of 240 doodles."""
    home = tmp_path_factory.mktemp("data")
    synthetic.write(home / "in", per_category=80, seed=3, categories=["cat", "clock", "face"])
    splits = {"train": 0.7, "validation": 0.0, "gallery": 0.2, "query": 0.1}
    convert([home / "in"], home / "out", splits=splits, shards=3, workers=1, progress=False)
    return home / "out"


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    """A copy of the data folder to damage."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_random_access_in_any_order_and_number(folder):
    paths = sorted(folder.glob("train-*.arrayrecord"))
    expected = [plain_decode(blob) for path in paths for blob in records_of(path)]
    rng = np.random.default_rng(0)
    with Shards(folder, "train") as opened:
        assert len(opened) == len(expected) > 100
        for size in (1, 7, len(expected)):
            indices = rng.choice(len(expected), size)
            records = opened.read(indices)
            np.testing.assert_array_equal(records.index, indices)
            for place, index in enumerate(indices.tolist()):
                points = records.points[records.offsets[place] : records.offsets[place + 1]]
                found = (
                    records.key_ids[place],
                    records.labels[place],
                    records.entropies[place],
                    points.tolist(),
                )
                assert found == expected[index]
        assert len(opened.read(np.zeros(0, np.int64)).labels) == 0
        for wrong in (-1, len(expected)):
            with pytest.raises(IndexError, match=f"of {len(expected)} asked for"):
                opened.read(np.array([0, wrong]))


def test_empty_and_unknown_splits(folder):
    assert len(Shards(folder, "validation")) == 0
    with pytest.raises(DataError, match="'test' is not a split"):
        Shards(folder, "test")


def test_the_same_drawings_in_another_order_are_the_same(folder, tmp_path):
    """Conversions by one split file; then by one that moves a drawing of each of two splits."""
    rows = [[str(key), split] for split in SPLITS for key in all_of(folder, split).key_ids.tolist()]
    moved = [row.copy() for row in rows]
    train, query = (next(row for row in moved if row[1] == split) for split in ("train", "query"))
    train[1], query[1] = "query", "train"
    found = {}
    for name, content, seed in [("one", rows, 1), ("two", rows, 2), ("moved", moved, 1)]:
        csv = tmp_path / f"{name}.csv"
        csv.write_text("\n".join(["key_id,split", *map(",".join, content)]))
        found[name] = tmp_path / name
        source = folder.parent / "in"
        convert([source], found[name], splits=csv, seed=seed, workers=1, progress=False)
    one, two = (all_of(found[name], "train").key_ids.tolist() for name in ("one", "two"))
    assert one != two
    assert sorted(one) == sorted(two)
    assert same_drawings(found["one"], found["two"])
    assert not same_drawings(found["one"], found["moved"])
    with pytest.raises(DataError, match="manifest"):
        same_drawings(found["one"], tmp_path / "nothing")


def all_of(folder, split):
    with Shards(folder, split) as opened:
        return opened.read(np.arange(len(opened)))


def test_pickle_and_close(folder):
    opened = Shards(folder, "query")
    before = opened.read(np.arange(5))
    for again in (pickle.loads(pickle.dumps(opened)), opened):
        again.close()
        np.testing.assert_array_equal(again.read(np.arange(5)).points, before.points)
        again.close()


def test_no_file_is_opened_before_a_read(folder, monkeypatch):
    opened = Shards(folder, "train")
    monkeypatch.setattr(shards, "open_shard", lambda path: pytest.fail(f"{path} opened"))
    pickle.dumps(opened)


def test_unusable_folders_are_refused(copy, tmp_path):
    with pytest.raises(DataError, match=r"no manifest\.json"):
        Shards(tmp_path, "train")
    manifest = (copy / "manifest.json").read_bytes()
    (copy / "manifest.json").write_bytes(manifest[:100])
    with pytest.raises(DataError, match="is not a valid manifest"):
        Shards(copy, "train")
    (copy / "manifest.json").write_bytes(manifest.replace(b'"version": 1', b'"version": 99'))
    with pytest.raises(DataError, match="version 99"):
        Shards(copy, "train")
    content = orjson.loads(manifest)
    del content["shards"]
    (copy / "manifest.json").write_bytes(orjson.dumps(content))
    with pytest.raises(DataError, match="missing required field `shards`"):
        Shards(copy, "train")
    (copy / "manifest.json").write_bytes(manifest)
    shard = copy / "train-00001-of-00003.arrayrecord"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"train-00001-of-00003.* bytes, the manifest says"):
        Shards(copy, "train")
    shard.unlink()
    with pytest.raises(DataError, match=r"train-00001-of-00003.* is missing"):
        Shards(copy, "train")
