"""The bytes of a record against Python's struct, random access, and damage that must be named."""

import itertools
import pickle
import shutil
import struct
from pathlib import Path

import numpy as np
import orjson
import pytest
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter
from hypothesis import given
from hypothesis import strategies as st

from sketchjax.data import shards, synthetic
from sketchjax.data.conversion.convert import convert
from sketchjax.data.manifest import Manifest
from sketchjax.data.shards import Shards, decode, encode
from sketchjax.data.verify import verify
from sketchjax.errors import DataError
from sketchjax.files import sha256


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


def rewrite(folder: Path, split: str, number: int, change) -> str:
    """Write a shard anew with `change(records)`, and its new size and sha256 to the manifest."""
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    line = manifest["shards"][split][number]
    path = folder / line["name"]
    reader = ArrayRecordReader(str(path))
    records = [reader.read([i])[0] for i in range(reader.num_records())]
    change(records)
    writer = ArrayRecordWriter(str(path), "group_size:1,uncompressed")
    for record in records:
        writer.write(record)
    writer.close()
    line["records"] = len(records)
    line["bytes"], line["sha256"] = path.stat().st_size, sha256(path)
    (folder / "manifest.json").write_bytes(orjson.dumps(manifest))
    return line["name"]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**64 - 1),
            st.integers(0, 2**16 - 1),
            st.floats(0, 1, width=32),
            st.lists(st.lists(st.integers(0, 255), min_size=3, max_size=3), max_size=9),
        ),
        max_size=20,
    )
)
def test_encode_and_decode_against_struct(sketches):
    lengths = [len(points) for *_, points in sketches]
    whole, starts = encode(
        np.array([row for *_, points in sketches for row in points], np.uint8).reshape(-1, 3),
        np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
        np.array([label for _, label, _, _ in sketches], np.int64),
        np.array([key_id for key_id, *_ in sketches], np.uint64),
        np.array([entropy for _, _, entropy, _ in sketches], np.float32),
    )
    blobs = [whole[a:b] for a, b in itertools.pairwise(starts)]
    assert [plain_decode(blob) for blob in blobs] == sketches
    records = decode(blobs)
    assert records.key_ids.tolist() == [key_id for key_id, *_ in sketches]
    assert records.labels.tolist() == [label for _, label, _, _ in sketches]
    assert records.entropies.tolist() == [entropy for _, _, entropy, _ in sketches]
    for index, (*_, points) in enumerate(sketches):
        own = records.points[records.offsets[index] : records.offsets[index + 1]]
        assert own.tolist() == points


@pytest.mark.parametrize(
    "blob, message",
    [(b"short", "record 1 has 5 bytes"), (bytes(18), "record 1 has 18 bytes but states 0")],
)
def test_what_is_not_a_record(blob, message):
    sound = struct.pack("<QHHf", 1, 2, 1, 0.5) + bytes(3)
    with pytest.raises(DataError, match=message):
        decode([sound, blob])


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


def test_verify_finds_nothing_in_a_sound_folder(folder):
    seen = []
    manifest = verify(folder, progress=seen.append)
    assert manifest == Manifest.load(folder)
    assert sorted(seen) == sorted(path.name for path in folder.glob("*.arrayrecord"))


@pytest.mark.parametrize("where", [0.1, 0.5, 0.9])
def test_verify_names_the_shard_with_a_flipped_bit(copy, where):
    path = sorted(copy.glob("train-*"))[1]
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 4
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{path.name}: its sha256"):
        verify(copy)


def test_a_flipped_bit_in_a_record_is_named_by_verify_and_stops_a_read(copy):
    path = sorted(copy.glob("train-*"))[0]
    content = bytearray(path.read_bytes())
    blob = plain_records(copy, "train")[7]
    content[content.index(blob) + 20] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{path.name}, record 7 cannot be read"):
        verify(copy)
    with Shards(copy, "train") as opened:
        with pytest.raises(DataError, match=f"{path.name} cannot be read"):
            opened.read(np.array([7]))
        assert len(opened.read(np.array([6])).labels) == 1


def patched(blob: bytes, form: str, place: int, value) -> bytes:
    changed = bytearray(blob)
    struct.pack_into(form, changed, place, value)
    return bytes(changed)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda blob: patched(blob, "<H", 8, 3), "record 4: label 3, there are 3 categories"),
        (lambda blob: patched(blob, "<f", 12, 1.5), "record 4: image entropy 1.5"),
        (lambda blob: patched(blob, "<f", 12, float("nan")), "record 4: image entropy nan"),
        (lambda blob: patched(blob[:16], "<H", 10, 0), "record 4: it has no point"),
        (lambda blob: patched(blob, "<B", len(blob) - 1, 0), "record 4: its last point"),
        (lambda blob: patched(blob, "<B", 18, 2), "record 4: a mark"),
        (lambda blob: blob[:-1], "record 4 has .* bytes but states"),
        (lambda blob: blob[:5], "record 4 has 5 bytes"),
    ],
)
def test_verify_names_the_record_that_is_wrong(copy, change, message):
    name = rewrite(copy, "gallery", 0, lambda records: records.insert(4, change(records.pop(4))))
    with pytest.raises(DataError, match=f"{name}, {message}") as found:
        verify(copy)
    assert str(found.value).count("\n") == 1


def test_verify_compares_the_totals_and_finds_repeated_keys(copy):
    def swap(records):
        records[2] = records[3]

    rewrite(copy, "gallery", 0, swap)
    key_id = plain_decode(plain_records(copy, "gallery")[2])[0]
    with pytest.raises(DataError, match=f"key_id {key_id} occurs more than once"):
        verify(copy)
    rewrite(copy, "gallery", 0, lambda records: records.pop())
    with pytest.raises(DataError, match=r"gallery sketches of \w+, the manifest says"):
        verify(copy)
