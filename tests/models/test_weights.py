"""Model files: back as they were, whole or not at all, and any damage is an error that helps."""

import hashlib
import subprocess
import sys

import jax.numpy as jnp
import msgspec
import numpy as np
import pytest
from flax import traverse_util
from safetensors import safe_open
from safetensors.numpy import save_file

from sketchjax.errors import CheckpointError
from sketchjax.models import weights
from sketchjax.models.architecture import Architecture, Drawing
from sketchjax.models.weights import FORMAT, Card, fingerprint, load_weights, save_weights
from sketchjax.tensors import save_tensors

ARCHITECTURE = Architecture(
    encoders={"cnn": {"kind": "alexnet", "width": 0.5}, "rnn": {"kind": "bigru", "hidden": 4}},
    head="hash",
    width=8,
    fusion_features=0,
    dtype="float32",
    drawing=Drawing(48, 1.5, 20.0),
    points=32,
    categories=["cat", "größer", "sun"],
)
CARD = Card(
    ARCHITECTURE, "joint", "head", ("cnn", "hash"), "0f" * 32, {"sketchjax": "1", "jax": "2"}
)


def variables():
    random = np.random.default_rng(0)
    return {
        "params": {
            "cnn": {"conv1": {"kernel": jnp.asarray(random.normal(size=(3, 3, 1, 2)), "float32")}},
            "hash": {"bias": jnp.zeros((8,)), "kernel": jnp.ones((4, 8), jnp.bfloat16)},
            "scale": jnp.float32(3.0),
        },
        "batch_stats": {"cnn": {"mean": np.asfortranarray(random.normal(size=(2, 3)))}},
    }


@pytest.fixture
def path(tmp_path):
    """A model file."""
    save_weights(tmp_path / "w.safetensors", variables(), CARD)
    return tmp_path / "w.safetensors"


def test_a_model_file_comes_back_as_it_was(tmp_path):
    path = tmp_path / "not" / "there" / "joint.safetensors"
    save_weights(path, variables(), CARD)
    loaded, card = load_weights(path)
    assert card == CARD
    loaded, expected = (traverse_util.flatten_dict(tree) for tree in (loaded, variables()))
    assert loaded.keys() == expected.keys()
    for name, array in expected.items():
        assert loaded[name].dtype == array.dtype
        assert loaded[name].shape == array.shape
        np.testing.assert_array_equal(loaded[name], np.asarray(array))
    assert [file.name for file in path.parent.iterdir()] == ["joint.safetensors"]


def test_a_file_that_says_less_is_read(tmp_path):
    """As before cards said which categories were kept out of training."""
    arrays = {"params/scale": np.ones(3, np.float32)}
    older = {name: value for name, value in msgspec.structs.asdict(CARD).items() if value}
    Older = msgspec.defstruct("Older", [name for name in older if name != "unseen"])
    save_tensors(tmp_path / "older", arrays, Older(**older), format=FORMAT)
    assert load_weights(tmp_path / "older")[1] == CARD


def test_a_file_that_says_more_is_read(tmp_path):
    newer = msgspec.structs.asdict(CARD) | {"later": [1]}
    Newer = msgspec.defstruct("Newer", list(newer))
    save_tensors(tmp_path / "newer", {"params/scale": np.ones(3)}, Newer(**newer), format=FORMAT)
    assert load_weights(tmp_path / "newer")[1] == CARD


SAVE = """
import hashlib, sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from test_weights import CARD, save_weights, variables
path = Path(sys.argv[1])
for _ in range(4):
    save_weights(path, variables(), CARD)
    print(hashlib.sha256(path.read_bytes()).hexdigest())
"""


def test_the_same_model_gives_the_same_bytes_in_any_process(path, tmp_path):
    """Metadata come in an order of their own from each process, where there are several."""
    command = [sys.executable, "-c", SAVE, str(tmp_path / "other"), *sys.path]
    command.append(str(__file__).rpartition("/")[0])
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert len(found) == 4
    assert {*found} == {hashlib.sha256(path.read_bytes()).hexdigest()}


def test_other_programs_read_the_arrays_by_name(path):
    with safe_open(path, "numpy") as file:
        assert sorted(file.keys()) == [
            "batch_stats/cnn/mean",
            "params/cnn/conv1/kernel",
            "params/hash/bias",
            "params/hash/kernel",
            "params/scale",
        ]
        about = msgspec.json.decode(file.metadata()["sketchjax"])
    assert about["format"] == "sketchjax model 1"
    assert about["about"]["architecture"]["categories"] == ["cat", "größer", "sun"]


def test_a_save_that_fails_leaves_the_old_file(path, monkeypatch):
    before = path.read_bytes()

    def full_disk(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("sketchjax.files.os.fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        save_weights(path, {"params": {"a": np.zeros(3)}}, CARD)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_later_save_replaces_the_file(path):
    save_weights(path, {"params": {"b": np.full(3, 2.0)}}, CARD)
    np.testing.assert_array_equal(load_weights(path)[0]["params"]["b"], np.full(3, 2.0))


# --- damage ----------------------------------------------------------------------------------


def refused(path) -> str:
    """What is said of a file that is no model."""
    with pytest.raises(CheckpointError) as caught:
        load_weights(path)
    assert caught.value.exit_code == 66
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_flipped_bit_anywhere_is_refused(path):
    """Every byte of the header, and each 7th of the arrays."""
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    places = [*range(end), *range(end, len(content), 7)]
    assert end > 900
    assert len(places) > end + 20
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        line = refused(path)
        assert line.startswith(str(path)), place
        assert "copy it again" in line or "give a file" in line, line
    path.write_bytes(content)
    load_weights(path)


@pytest.mark.parametrize("kept", [0, 7, 8, 100, -5])
def test_a_file_cut_short_is_refused(path, kept):
    path.write_bytes(path.read_bytes()[:kept])
    assert "is not a readable model file" in refused(path)


@pytest.mark.parametrize("content", [b"", b"not a file of weights at all", b"\x00" * 64])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    assert refused(path).startswith(f"{path} is not a readable model file")


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"format": "pt"},
        {"sketchjax": "not json"},
        {"sketchjax": "[1]"},
        {"sketchjax": '{"format": "sketchjax codes 1", "sha256": "", "about": {}}'},
        {"sketchjax": '{"format": "sketchjax model 1", "sha256": "", "about": {}}'},
    ],
)
def test_a_safetensors_file_of_others_is_refused(tmp_path, metadata):
    path = tmp_path / "w.safetensors"
    save_file({"a": np.ones(3)}, path, metadata)
    line = refused(path)
    assert "is not a model file of this version of sketchjax" in line
    assert "give a file that a run or Model.save wrote" in line


def test_a_model_of_a_later_format_is_refused(path, monkeypatch):
    monkeypatch.setattr(weights, "FORMAT", "sketchjax model 9")
    save_weights(path, variables(), CARD)
    monkeypatch.undo()
    assert "its format is 'sketchjax model 9'" in refused(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert "there is no model file" in refused(tmp_path / "joint.safetensors")
    assert "is not a readable model file" in refused(tmp_path)


# --- fingerprints ----------------------------------------------------------------------------


def changed(name, change):
    flat = traverse_util.flatten_dict(variables(), sep="/")
    flat[name] = change(np.asarray(flat[name]))
    return traverse_util.unflatten_dict(flat, sep="/")


def test_a_fingerprint_changes_with_anything_that_changes_a_code():
    def nudged(array):
        array = np.array(array, order="C")
        array.reshape(-1)[0] = np.nextafter(array.reshape(-1)[0], np.float32(9))
        return array

    own = fingerprint(variables(), ARCHITECTURE)
    encoders = dict(reversed(ARCHITECTURE.encoders.items()))
    replace = msgspec.structs.replace
    others = [
        fingerprint(changed("params/cnn/conv1/kernel", nudged), ARCHITECTURE),
        fingerprint(changed("batch_stats/cnn/mean", nudged), ARCHITECTURE),
        fingerprint(changed("params/hash/bias", lambda a: a.reshape(2, 4)), ARCHITECTURE),
        fingerprint(changed("params/hash/bias", lambda a: a.astype(np.int32)), ARCHITECTURE),
        # The order of the encoders is that in which the head reads them.
        fingerprint(variables(), replace(ARCHITECTURE, encoders=encoders)),
        fingerprint(variables(), replace(ARCHITECTURE, points=31)),
        fingerprint(variables(), replace(ARCHITECTURE, drawing=Drawing(48, 1.25, 20.0))),
    ]
    assert len({own, *others}) == 8
    assert own == fingerprint(variables(), ARCHITECTURE)


def test_a_fingerprint_is_that_of_the_file(path):
    loaded, card = load_weights(path)
    assert fingerprint(loaded, card.architecture) == fingerprint(variables(), ARCHITECTURE)


def test_whole_numbers_of_a_config_are_the_floats_of_a_file(path):
    whole = msgspec.structs.replace(ARCHITECTURE, drawing=Drawing(48, 2, 20))
    save_weights(path, variables(), Card(whole))
    loaded, card = load_weights(path)
    assert card.architecture == whole
    assert fingerprint(loaded, card.architecture) == fingerprint(variables(), whole)
