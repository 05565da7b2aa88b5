"""Weights on disk: back as they were, whole or not at all, and an error that tells what to do."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from safetensors import safe_open

from sketchjax.errors import CheckpointError
from sketchjax.models import weights
from sketchjax.models.weights import load_weights, save_weights


def variables():
    random = np.random.default_rng(0)
    return {
        "params": {
            "cnn": {"conv1": {"kernel": jnp.asarray(random.normal(size=(3, 3, 1, 2)), "float32")}},
            "hash": {"bias": jnp.zeros((8,)), "kernel": jnp.ones((4, 8), jnp.bfloat16)},
        },
        "batch_stats": {"cnn": {"mean": np.asfortranarray(random.normal(size=(2, 3)))}},
    }


def test_they_come_back_as_they_were(tmp_path):
    path = tmp_path / "not" / "there" / "joint.safetensors"
    save_weights(path, variables())
    loaded = traverse_util.flatten_dict(load_weights(path))
    expected = traverse_util.flatten_dict(variables())
    assert loaded.keys() == expected.keys()
    for name, array in expected.items():
        assert loaded[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded[name], np.asarray(array))
    assert [file.name for file in path.parent.iterdir()] == ["joint.safetensors"]


def test_other_programs_read_them_by_name(tmp_path):
    save_weights(tmp_path / "w.safetensors", variables())
    with safe_open(tmp_path / "w.safetensors", "numpy") as file:
        assert sorted(file.keys()) == [
            "batch_stats/cnn/mean",
            "params/cnn/conv1/kernel",
            "params/hash/bias",
            "params/hash/kernel",
        ]


def test_a_save_that_breaks_off_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    save_weights(path, {"a": np.ones(3)})

    def full_disk(arrays, target):
        target.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(weights, "save_file", full_disk)
    with pytest.raises(OSError, match="no space"):
        save_weights(path, {"a": np.zeros(3)})
    np.testing.assert_array_equal(load_weights(path)["a"], np.ones(3))


def test_a_later_save_replaces_the_file(tmp_path):
    path = tmp_path / "w.safetensors"
    for value in (1.0, 2.0):
        save_weights(path, {"a": {"b": np.full(3, value)}})
    np.testing.assert_array_equal(load_weights(path)["a"]["b"], np.full(3, 2.0))


@pytest.mark.parametrize("content", [b"", b"not a file of weights at all", b"\x00" * 64])
def test_a_file_of_another_kind(tmp_path, content):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"w\.safetensors is no file of weights"):
        load_weights(path)


def test_a_file_cut_short(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, variables())
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match="is no file of weights"):
        load_weights(path)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(CheckpointError, match=r"joint\.safetensors is not there"):
        load_weights(tmp_path / "joint.safetensors")
    with pytest.raises(CheckpointError):
        load_weights(tmp_path)
