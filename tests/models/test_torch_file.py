"""Files of PyTorch tensors: both formats, and files made to do harm."""

import pickle
import struct
import zipfile

import numpy as np
import pytest
from torch_files import Call, Global, Storage, pickled, tensor, write_rows, write_zip

from sketchjax.errors import ConfigError
from sketchjax.models import torch_file
from sketchjax.models.torch_file import read_torch_file

REBUILD = Global("torch._utils", "_rebuild_tensor_v2")
ONE = {"a": np.arange(4, dtype=np.float32)}


def arrays():
    random = np.random.default_rng(0)
    return {
        "layer.weight": random.normal(size=(4, 3, 2, 2)).astype(np.float32),
        "layer.bias": random.normal(size=4).astype(np.float32),
        "double": random.normal(size=(2, 5)),
        "half": random.normal(size=3).astype(np.float16),
        "count": np.array(7, np.int64),
        "empty": np.zeros((0, 3), np.float32),
    }


@pytest.mark.parametrize("write", [write_zip, write_rows])
def test_both_formats_give_the_tensors_back(write, tmp_path):
    found = read_torch_file(write(tmp_path / "f.pth", arrays()))
    assert list(found) == list(arrays())
    for name, array in arrays().items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


@pytest.mark.parametrize("new_format", [True, False])
def test_files_of_pytorch_itself(new_format, tmp_path):
    torch = pytest.importorskip("torch")
    whole = torch.arange(24.0).reshape(2, 3, 4)
    wanted = {
        "turned": whole.permute(2, 0, 1),
        "part": whole[:, 1:, ::2],
        "parameter": torch.nn.Parameter(torch.ones(2, 2)),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "flag": torch.tensor([True, False]),
    }
    torch.save(wanted, tmp_path / "f.pth", _use_new_zipfile_serialization=new_format)
    found = read_torch_file(tmp_path / "f.pth")
    for name, array in wanted.items():
        expected = array.detach().float().numpy()
        np.testing.assert_array_equal(found[name].astype(np.float32), expected)


def refused(path, *words):
    with pytest.raises(ConfigError) as error:
        read_torch_file(path)
    for word in (path.name, *words):
        assert word in str(error.value)


class Harm:
    """Unpickled by pickle, it would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_call_in_a_pickle_is_not_made(protocol, tmp_path):
    evil, made = tmp_path / "evil.pth", tmp_path / "made"
    evil.write_bytes(pickle.dumps(Harm(made), protocol=protocol))
    refused(evil)
    with zipfile.ZipFile(evil, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"a": Harm(made)}, protocol=protocol))
    refused(evil)
    assert not made.exists()


@pytest.mark.parametrize("name", ["os system", "builtins eval", "torch load", "torch._utils x"])
def test_other_names_are_refused_by_name(name, tmp_path):
    value = {"a": Call(Global(*name.split()), "true")}
    refused(write_zip(tmp_path / "f.pth", {}, value), name.replace(" ", "."), "torch.save")


def sized(size, stride, offset=0, storage=None):
    storage = storage or Storage("FloatStorage", "0", 4)
    return {"a": Call(REBUILD, storage, offset, size, stride, False, {})}


@pytest.mark.parametrize(
    "value, word",
    [
        (sized((5,), (1,)), "larger than its storage"),
        (sized((2,), (1,), offset=3), "larger than its storage"),
        (sized((2,), (4,)), "larger than its storage"),
        (sized((2**31, 2**31), (0, 0)), "larger than its storage"),
        (sized((-1,), (1,)), "-1"),
        (sized((2,), (-1,), offset=3), "-1"),
        (sized((2.0,), (1,)), "BINFLOAT"),
        (sized((2**70,), (1,)), "118059"),
        (sized((2,), (1, 1)), "shape"),
        (sized((2,), (1,), storage=Storage("FloatStorage", "0", 2**20)), "16 bytes"),
        (sized((2,), (1,), storage=Storage("FloatStorage", "../9", 4)), "../9"),
        (sized((2,), (1,), storage=Storage("QuadStorage", "0", 4)), "QuadStorage"),
        (sized((2,), (1,), storage="FloatStorage"), "no storage"),
        ({"a": 3}, "'a' is not a tensor"),
        ({1: tensor(ONE["a"], "0")}, "'1' is not a tensor"),
        ({"a": {"b": tensor(ONE["a"], "0")}}, "'a' is not a tensor"),
        ([tensor(ONE["a"], "0")], "no dictionary"),
        ({"a": Call(Global("torch", "FloatStorage"), 3)}, "it calls torch.FloatStorage"),
        ({"a": Call(Global("collections", "OrderedDict"), [1])}, "a dictionary from something"),
        (REBUILD, "no dictionary"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(value, word, tmp_path):
    refused(write_zip(tmp_path / "f.pth", ONE, value), word)


def test_compressed_entries_are_refused(tmp_path):
    refused(write_zip(tmp_path / "f.pth", ONE, compression=zipfile.ZIP_DEFLATED), "compressed")


def test_overlapping_entries_are_refused(tmp_path):
    path = write_zip(tmp_path / "f.pth", {"a": np.zeros(5000, np.float32)})
    content = bytearray(path.read_bytes())
    # The directory at the end says that the small entry `version` has as many bytes as the storage.
    place = content.rindex(b"archive/version") - 46
    content[place + 20 : place + 28] = struct.pack("<II", 20_000, 20_000)
    path.write_bytes(content)
    refused(path)


def test_too_large_a_file_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_file, "LARGEST_FILE", 100)
    refused(write_zip(tmp_path / "f.pth", ONE), "more than 100")


def test_a_pickle_without_end_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_file, "MOST_INSTRUCTIONS", 10)
    refused(write_zip(tmp_path / "f.pth", arrays()), "more than 10 instructions")


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04", b"\x80\x02.", b"\x80\x02}", b"{}"])
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "f.pth"
    path.write_bytes(content)
    refused(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    refused(tmp_path / "none.pth", "No such file")
    refused(tmp_path, "directory")


@pytest.mark.parametrize("write", [write_zip, write_rows])
def test_cut_and_changed_files_raise_nothing_else(write, tmp_path):
    path, random = write(tmp_path / "f.pth", arrays()), np.random.default_rng(0)
    whole = path.read_bytes()
    for attempt in range(150):
        content = bytearray(whole)
        if attempt % 3 == 0:
            content = content[: random.integers(len(whole))]
        for place in random.integers(0, max(len(content), 1), attempt % 5 + 1):
            if len(content):
                content[place] = random.integers(256)
        path.write_bytes(content)
        try:
            read_torch_file(path)
        except ConfigError:
            continue


def test_many_marks_take_no_long_time(tmp_path):
    path = tmp_path / "f.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + b"(" * 20_000 + b"t" * 20_000 + b".")
    refused(path)
    assert pickled(1).startswith(b"\x80\x02")
