"""A model as a file: it encodes drawings anywhere, and refuses what it cannot."""

import math
import pickle
import subprocess
import sys
from functools import cache

import jax
import msgspec
import numpy as np
import pytest
from flax import traverse_util

import sketchjax
from sketchjax.config import architecture, default
from sketchjax.data.inputs import Strokes
from sketchjax.data.sketch import Sketches, strokes
from sketchjax.errors import CheckpointError, DataError
from sketchjax.models.network import build
from sketchjax.models.weights import Card, save_weights
from sketchjax.ops.hamming import unpack_codes
from sketchjax.retrieval import model as model_module
from sketchjax.retrieval.codes import Codes
from sketchjax.retrieval.model import load

POINTS, BITS = 8, 16
NAMES = ["cat", "clock", "sun"]


@cache
def network(**fields):
    config = default()
    config.update_from_flattened_dict(
        {
            "model.bits": BITS,
            "model.encoders.cnn.width": 0.05,
            "model.encoders.cnn.stem_stride": 2,
            "model.encoders.cnn.dense_features": 6,
            "model.encoders.rnn.hidden": 4,
            "model.encoders.rnn.layers": 1,
            "model.encoders.rnn.implementation": "fused",
            "drawing.size": 40,
            "data.points": POINTS,
        }
        | fields
    )
    return build(architecture(config, NAMES, 20.0))


@cache
def variables(**fields):
    """Random, and large in the last layers: the drawings get different codes."""
    random = np.random.default_rng(1)

    def fill(path, leaf):
        noise = random.normal(size=leaf.shape)
        if len(leaf.shape) < 2:
            return np.abs((path[-1].key in ("scale", "var")) + 0.1 * noise).astype(np.float32)
        gain = 1.5 if path[1].key in ("cnn", "rnn") else 6.0
        return (gain * noise / math.sqrt(math.prod(leaf.shape[:-1]))).astype(np.float32)

    return jax.tree_util.tree_map_with_path(fill, network(**fields).shapes())


RNN = {"model.branches": ("rnn",)}


def write(path, output="head", **fields):
    """A model file of this network."""
    own = network(**fields)
    parts = own.layers.parts_of((*own.architecture.encoders, "head"), "head")
    save_weights(path, variables(**fields), Card(own.architecture, "joint", output, parts))
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The workdir of a finished run, of which nothing is left but the model."""
    return write(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture(scope="module")
def model(path):
    return load(path)


@cache
def drawings() -> list[np.ndarray]:
    """Points of eleven drawings in simplified form, three of them longer than the model reads."""
    random = np.random.default_rng(0)
    found = []
    for length in (2, 8, 5, 12, 3, 20, 7, 9, 4, 6, 8):
        points = random.integers(0, 256, (length, 3)).astype(np.uint8)
        points[:, 2] = 0
        points[length // 2, 2] = points[-1, 2] = 1
        points[0, :2], points[-1, :2] = (0, 255), (255, 0)
        found.append(points)
    return found


@cache
def expected():
    """Features and logits of all drawings at once, from the network itself."""
    padded, length = np.zeros((11, POINTS, 3), np.uint8), np.zeros(11, np.int32)
    for row, points in enumerate(drawings()):
        length[row] = min(len(points), POINTS)
        padded[row, : length[row]] = points[:POINTS]
        padded[row, length[row] - 1, 2] = 1
    own = variables()
    output = jax.jit(lambda inputs: network().apply(own, inputs))(Strokes.of(padded, length))
    return np.asarray(output.features), np.asarray(output.logits)


def test_loading_is_the_public_way(path):
    assert sketchjax.load is load
    assert sketchjax.Model is type(load(path))


def test_a_workdir_and_its_file_are_one_model(path, model):
    for name in (path, str(path), path.parent, str(path.parent)):
        found = load(name)
        assert found.card == model.card
        assert found.fingerprint == model.fingerprint
    assert [file.name for file in path.parent.iterdir()] == ["model.safetensors"]
    assert (model.bits, model.categories, model.output) == (BITS, NAMES, "head")
    assert model.architecture == network().architecture


def test_a_saved_model_is_the_same_file_and_the_same_model(path, model, tmp_path):
    again = model.save(tmp_path / "not" / "there" / "model.safetensors")
    assert again.read_bytes() == path.read_bytes()
    other = load(again.parent)
    assert other.encode(drawings()[:1]) == model.encode(drawings()[:1])


def test_codes_are_the_bits_of_the_features(model, monkeypatch):
    """Whatever the batches: eleven drawings in three of four."""
    monkeypatch.setattr(model_module, "_BATCH", 4)
    features, _ = expected()
    codes = model.encode(drawings())
    np.testing.assert_array_equal(unpack_codes(codes.packed), features > 0.5)
    assert len(np.unique(codes.packed, axis=0)) > 5
    assert codes.labels.tolist() == [-1] * 11
    assert codes.key_ids.tolist() == [0] * 11
    assert codes.places.tolist() == list(range(11))
    assert (codes.split, codes.categories, codes.model) == ("", tuple(NAMES), model.fingerprint)
    np.testing.assert_allclose(model.features(drawings()), features, atol=1e-5)


def test_one_drawing_has_the_code_it_has_among_others(model, monkeypatch):
    monkeypatch.setattr(model_module, "_BATCH", 4)
    every = model.encode(drawings())
    for number in (0, 5, 10):
        own = model.encode(drawings()[number])
        np.testing.assert_array_equal(own.packed, every.packed[[number]])
    distances, places = every.nearest(own, 1)
    assert distances.tolist() == [[0]]
    np.testing.assert_array_equal(every.packed[places[0]], own.packed)


def test_strokes_and_points_of_a_drawing_have_one_code(model):
    points = drawings()[2]
    listed = [stroke.T.tolist() for stroke in strokes(points)]
    assert model.encode(listed) == model.encode(points)


def test_sketches_keep_their_keys_and_get_labels_by_name(model):
    some = drawings()[:4]
    sketches = Sketches(
        points=np.concatenate(some),
        offsets=np.cumsum([0, *map(len, some)]),
        categories=["sun", "dog", "cat", ""],
        key_ids=np.array([7, 2**63, 5, 0], np.uint64),
        recognized=np.ones(4, np.int8),
        places=np.arange(50, 54),
    )
    codes = model.encode(sketches)
    np.testing.assert_array_equal(codes.packed, model.encode(some).packed)
    assert codes.labels.tolist() == [2, -1, 0, -1]
    assert codes.key_ids.tolist() == [7, 2**63, 5, 0]
    assert codes.places.tolist() == [0, 1, 2, 3]


def test_predictions_are_probabilities_of_the_logits(model, monkeypatch):
    monkeypatch.setattr(model_module, "_BATCH", 4)
    found, logits = model.predict(drawings()), expected()[1]
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(found, shifted / shifted.sum(1, keepdims=True), atol=1e-5)
    assert found.shape == (11, len(NAMES))


def test_a_wrong_drawing_is_an_error(model):
    for encode in (model.encode, model.features, model.predict):
        with pytest.raises(DataError, match=r"drawing 1: .*is no drawing"):
            encode([drawings()[0], drawings()[1][:, :2]])


# --- models of other kinds -------------------------------------------------------------------


def test_the_codes_of_an_embedding_are_its_signs(tmp_path):
    model = load(write(tmp_path / "m.safetensors", **RNN, **{"model.head": "embedding"}))
    some = drawings()[:2]
    features = model.features(some)
    assert features.min() < 0 < features.max()
    np.testing.assert_array_equal(model.encode(some).unpacked(), features > 0)
    assert model.bits == BITS


def test_a_model_that_recognises_makes_no_codes(tmp_path):
    fields = RNN | {"model.head": "features", "model.features": 12}
    model = load(write(tmp_path / "m.safetensors", **fields))
    assert model.bits is None
    with pytest.raises(DataError, match="a model with the head features makes no codes"):
        model.encode(drawings())
    assert model.features(drawings()[:2]).shape == (2, 12)
    np.testing.assert_allclose(model.predict(drawings()[:2]).sum(1), 1, rtol=1e-5)


def test_a_model_of_one_encoder_predicts_with_its_own_classifier(tmp_path):
    """Its head is as it was initialised: nothing may be made of it."""
    model = load(write(tmp_path / "rnn.safetensors", "rnn", **RNN))
    assert (model.output, model.bits) == ("rnn", None)
    with pytest.raises(DataError, match="trained up to its encoder rnn, makes no codes"):
        model.encode(drawings())
    with pytest.raises(DataError, match="its last stage trained rnn"):
        model.features(drawings())
    other = load(write(tmp_path / "head.safetensors", **RNN))
    found = model.predict(drawings()[:2])
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    assert np.abs(found - other.predict(drawings()[:2])).max() > 1e-3


# --- what is refused -------------------------------------------------------------------------


def refused(path) -> str:
    """What is said of a file that is no model of this version."""
    with pytest.raises(CheckpointError) as caught:
        load(path)
    assert caught.value.exit_code == 66
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_workdir_without_a_model_is_refused(tmp_path):
    (tmp_path / "config.json").touch()
    assert "has no model.safetensors: a run writes it when it finishes" in refused(tmp_path)
    assert "there is no model file" in refused(tmp_path / "m.safetensors")


def test_codes_are_no_model(model, tmp_path):
    path = model.encode(drawings()[:1]).save(tmp_path / "codes")
    assert "is not a model file of this version of sketchjax" in refused(path)
    with pytest.raises(DataError, match="is not a file of codes"):
        Codes.load(write(tmp_path / "m.safetensors"))


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"encoders": {"rnn": {"kind": "vit"}}},
            "the encoder rnn of kind 'vit' (there are alexnet",
        ),
        ({"encoders": {"rnn": {}}}, "the encoder rnn of kind None"),
        ({"head": "simplex"}, "the head 'simplex' (there are hash"),
        (
            {"encoders": {"rnn": {"kind": "bigru", "heads": 8}}},
            "the setting 'heads' of the encoder rnn",
        ),
    ],
)
def test_what_this_version_cannot_build_is_refused(tmp_path, change, message):
    own = msgspec.structs.replace(network(**RNN).architecture, **change)
    save_weights(tmp_path / "m.safetensors", variables(**RNN), Card(own))
    line = refused(tmp_path / "m.safetensors")
    assert "needs what this version of sketchjax does not have: " in line
    assert message in line
    assert line.endswith("use the version that wrote it, or a newer one")


@pytest.mark.parametrize("change", ["missing", "extra", "wider", "other type"])
def test_arrays_of_another_network_are_refused(tmp_path, change):
    """As of a version whose layers had other names or shapes."""
    flat = dict(traverse_util.flatten_dict(variables(**RNN), sep="/"))
    name = "params/hash/bias"
    if change == "missing":
        del flat[name]
    elif change == "extra":
        name = "params/hash/scale"
        flat[name] = np.ones(BITS, np.float32)
    elif change == "wider":
        flat[name] = np.ones(BITS + 8, np.float32)
    else:
        flat[name] = flat[name].astype(np.int32)  # float16 is a way to store float32
    own = traverse_util.unflatten_dict(flat, sep="/")
    save_weights(tmp_path / "m.safetensors", own, Card(network(**RNN).architecture))
    line = refused(tmp_path / "m.safetensors")
    assert "does not hold the arrays that its architecture has" in line
    assert name in line


def test_damage_is_refused(tmp_path):
    path = write(tmp_path / "model.safetensors", **RNN)
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(content)
    assert "is damaged" in refused(tmp_path)


ALONE = """
import sys
import numpy as np
import sketchjax
assert "jax" not in sys.modules, "files are read without jax"
codes = sketchjax.load(sys.argv[1]).encode([[[0, 255], [10, 0]], [[30], [7]]])
loaded = {*sys.modules}
assert not loaded & {"optax", "orbax", "grain"}, loaded & {"optax", "orbax", "grain"}
print(codes.model, codes.packed.tobytes().hex())
"""


def test_a_model_needs_nothing_of_training(path, model, tmp_path):
    """In a fresh process somewhere else, with the file of it and no library of training."""
    (tmp_path / "model.safetensors").write_bytes(path.read_bytes())
    found = subprocess.run(
        [sys.executable, "-c", ALONE, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert found.returncode == 0, found.stderr
    codes = model.encode([[[0, 255], [10, 0]], [[30], [7]]])
    assert found.stdout.split() == [codes.model, codes.packed.tobytes().hex()]
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_model_is_the_same_where_jax_has_64_bits(path):
    expected = load(path).outputs(drawings())
    jax.config.update("jax_enable_x64", True)
    try:
        found = load(path).outputs(drawings())
        assert jax.config.read("jax_enable_x64"), "the caller's setting stays"
    finally:
        jax.config.update("jax_enable_x64", False)
    assert found.codes == expected.codes
    for name in ("features", "probabilities"):
        own, wanted = getattr(found, name), getattr(expected, name)
        assert own.dtype == np.float32
        assert (own == wanted).all()


def test_a_model_that_has_encoded_can_be_pickled(path):
    own = load(path)
    expected = own.encode(drawings())
    assert pickle.loads(pickle.dumps(own)).encode(drawings()) == expected
