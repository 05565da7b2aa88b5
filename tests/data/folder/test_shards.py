"""The bytes of a record against Python's struct, random access, and damage that must be named."""

import pickle
import shutil
import struct
from pathlib import Path

import numpy as np
import orjson
import pytest
from array_record.python.array_record_module import ArrayRecordReader

from sketchjax.data.folder import shards
from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.shards import Shards
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


def plain_records(folder: Path, split: str) -> list[bytes]:
    """All records of a split, read file by file and one by one."""
    found = []
    for path in sorted(folder.glob(f"{split}-*.arrayrecord")):
        reader = ArrayRecordReader(str(path))
        found += [reader.read([i])[0] for i in range(reader.num_records())]
    return found


def plain_decode(blob: bytes) -> tuple[int, int, float, list[list[int]]]:
    key_id, label, length, entropy = struct.unpack_from("<QHHf", blob)
    points = [list(blob[16 + 3 * i : 19 + 3 * i]) for i in range(length)]
    assert len(blob) == 16 + 3 * length
    return key_id, label, entropy, points


def test_random_access_in_any_order_and_number(folder):
    expected = [plain_decode(blob) for blob in plain_records(folder, "train")]
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
            with pytest.raises(IndexError, match=f"of {len(expected)} asked"):
                opened.read(np.array([0, wrong]))


def test_an_empty_split_and_a_wrong_one(folder):
    assert len(Shards(folder, "validation")) == 0
    with pytest.raises(DataError, match="'test' is not a split"):
        Shards(folder, "test")


def test_pickle_and_close(folder):
    opened = Shards(folder, "query")
    before = opened.read(np.arange(5))
    for again in (pickle.loads(pickle.dumps(opened)), opened):
        again.close()
        np.testing.assert_array_equal(again.read(np.arange(5)).points, before.points)
        again.close()


def test_nothing_is_opened_before_it_is_read(folder, monkeypatch):
    opened = Shards(folder, "train")
    monkeypatch.setattr(shards, "open_shard", lambda path: pytest.fail(f"{path} opened"))
    pickle.dumps(opened)


def test_folders_that_cannot_be_read(copy, tmp_path):
    with pytest.raises(DataError, match=r"no manifest\.json"):
        Shards(tmp_path, "train")
    manifest = (copy / "manifest.json").read_bytes()
    (copy / "manifest.json").write_bytes(manifest[:100])
    with pytest.raises(DataError, match="cannot be read as a manifest"):
        Shards(copy, "train")
    (copy / "manifest.json").write_bytes(manifest.replace(b'"version": 1', b'"version": 99'))
    with pytest.raises(DataError, match="version 99"):
        Shards(copy, "train")
    content = orjson.loads(manifest)
    del content["shards"]
    (copy / "manifest.json").write_bytes(orjson.dumps(content))
    with pytest.raises(DataError, match="is damaged"):
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
