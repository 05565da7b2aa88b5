"""Encoding a whole split: exact on any number of devices, with padding left out."""

import math
from functools import cache

import jax
import numpy as np
import pytest

from sketchjax.config import architecture, default
from sketchjax.data.feed.batch import Batch, Scan
from sketchjax.data.inputs import Strokes
from sketchjax.models.network import build
from sketchjax.ops.hamming import unpack_codes
from sketchjax.retrieval.encode import Encoder, binarize, concatenate

COUNT, BATCH, POINTS, BITS, CLASSES = 103, 16, 5, 8, 7
NAMES = [f"class {number}" for number in range(CLASSES)]


@cache
def network():
    config = default()
    config.update_from_flattened_dict(
        {
            "model.bits": BITS,
            "model.encoders.cnn.width": 0.05,
            "model.encoders.cnn.stem_stride": 2,
            "model.encoders.cnn.dense_features": 6,
            "model.encoders.cnn.batch_norm": False,
            "model.encoders.rnn.hidden": 4,
            "model.encoders.rnn.implementation": "fused",
            "drawing.size": 36,
            "data.points": POINTS,
        }
    )
    return build(architecture(config, NAMES, 40.0), axis_name="devices")


@cache
def variables():
    """Random, and large in the last layers: the sketches get different codes and classes."""
    random = np.random.default_rng(1)

    def fill(path, leaf):
        noise = random.normal(size=leaf.shape)
        if path[-1].key == "bias":
            return (0.1 * noise).astype(np.float32)
        gain = 6.0 if path[1].key not in ("cnn", "rnn") else 1.5
        return (gain * noise / math.sqrt(math.prod(leaf.shape[:-1]))).astype(np.float32)

    return jax.tree_util.tree_map_with_path(fill, network().shapes())


@cache
def sketches() -> Scan:
    """All of them in one step."""
    random = np.random.default_rng(2)
    points = random.integers(0, 256, (COUNT, POINTS, 3)).astype(np.uint8)
    length = random.integers(1, POINTS + 1, COUNT).astype(np.int32)
    points[:, :, 2] = np.arange(POINTS) == length[:, None] - 1
    points[np.arange(POINTS) >= length[:, None]] = 0
    label = random.integers(0, CLASSES, COUNT).astype(np.int32)
    batch = Batch(Strokes.of(points, length), label, np.arange(1000, 1000 + COUNT, dtype=np.int32))
    entropy = random.random(COUNT).astype(np.float32)
    key_id = random.integers(0, 2**64, COUNT, np.uint64)
    return Scan(batch, entropy, key_id, np.ones(COUNT, bool), np.arange(COUNT))


def scans(filler):
    """All sketches in steps of 16; the last one is filled up with `filler`, masked out."""
    for first in range(0, COUNT, BATCH):
        wanted = np.arange(first, first + BATCH)
        places = np.where(wanted < COUNT, wanted, filler)
        scan = jax.tree.map(lambda column, places=places: column[places], sketches())
        yield scan._replace(mask=wanted < COUNT)


@cache
def expected(output):
    """Features and predictions of all 103 at once, on one device."""
    kept = variables()
    apply = jax.jit(lambda inputs: network().apply(kept, inputs, output))
    found = apply(sketches().batch.inputs)
    return found.features, np.asarray(found.logits).argmax(-1)


def encode(devices, monkeypatch, output="head", filler=COUNT - 1):
    monkeypatch.setattr(jax, "local_device_count", lambda: devices)
    encoder = Encoder(network(), output)
    return list(encoder.stream(variables(), scans(filler)))


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_103_sketches_are_the_same_on_any_number_of_devices(devices, monkeypatch):
    predictions = concatenate(encode(devices, monkeypatch, "rnn")).predictions
    np.testing.assert_array_equal(predictions, expected("rnn")[1])
    assert len(predictions) == COUNT


def test_features_and_predictions_of_the_whole_network_on_four_devices(monkeypatch):
    parts = encode(4, monkeypatch)
    assert [len(part.labels) for part in parts] == [16] * 6 + [7]
    whole = concatenate(parts)
    features, predictions = expected("head")
    assert len(np.unique(predictions)) > 2
    assert len(np.unique(binarize(np.asarray(features)), axis=0)) > 20
    np.testing.assert_array_equal(whole.predictions, predictions)
    np.testing.assert_allclose(whole.features, features, atol=1e-5)
    np.testing.assert_array_equal(whole.labels, sketches().batch.label)
    np.testing.assert_array_equal(whole.places, np.arange(1000, 1000 + COUNT))
    np.testing.assert_array_equal(whole.key_ids, sketches().key_id)
    np.testing.assert_array_equal(whole.entropy, sketches().entropy)
    assert whole.features.dtype == np.float32
    assert whole.features.shape == (COUNT, BITS)


def test_one_encoder_has_predictions_and_no_features(monkeypatch):
    whole = concatenate(encode(2, monkeypatch, "rnn"))
    features, predictions = expected("rnn")
    assert features is None
    assert whole.features.shape == (COUNT, 0)
    np.testing.assert_array_equal(whole.predictions, predictions)
    assert len(np.unique(predictions)) > 2


def test_what_fills_up_the_last_batch_changes_nothing(monkeypatch):
    first, second = (
        concatenate(encode(2, monkeypatch, "rnn", filler)) for filler in (COUNT - 1, 0)
    )
    for name in ("predictions", "labels", "places", "key_ids", "entropy"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_a_mask_may_leave_out_any_place(monkeypatch):
    monkeypatch.setattr(jax, "local_device_count", lambda: 4)
    mask = np.random.default_rng(3).random(BATCH) < 0.5
    scan = jax.tree.map(lambda column: column[:BATCH], sketches())._replace(mask=mask)
    (part,) = Encoder(network(), "rnn").stream(variables(), [scan])
    np.testing.assert_array_equal(part.predictions, expected("rnn")[1][:BATCH][mask])
    np.testing.assert_array_equal(part.labels, scan.batch.label[mask])
    np.testing.assert_array_equal(part.places, scan.batch.index[mask])
    np.testing.assert_array_equal(part.key_ids, scan.key_id[mask])


def test_the_device_works_one_step_ahead(monkeypatch):
    monkeypatch.setattr(jax, "local_device_count", lambda: 1)
    read = []

    def reading():
        for number, scan in enumerate(scans(0)):
            read.append(number)
            yield scan

    stream = Encoder(network(), "rnn").stream(variables(), reading())
    next(stream)
    assert read == [0, 1]
    assert len(list(stream)) == 6
    assert list(Encoder(network(), "rnn").stream(variables(), [])) == []


def test_bits_are_features_above_one_half():
    features = np.array([[0.5, np.nextafter(np.float32(0.5), np.float32(1)), 0.0, 1.0]], np.float32)
    bits = binarize(features)
    assert bits.tolist() == [[False, True, False, True]]
    assert bits.dtype == bool


def test_codes_are_the_bits_of_the_features_with_all_else(monkeypatch):
    whole = concatenate(encode(4, monkeypatch))
    some = whole[np.array([5, 3, 99])]
    codes = some.codes(0.5, split="gallery", categories=NAMES, model="abc")
    features = np.asarray(expected("head")[0])[[5, 3, 99]]
    np.testing.assert_array_equal(unpack_codes(codes.packed), features > 0.5)
    np.testing.assert_array_equal(codes.labels, sketches().batch.label[[5, 3, 99]])
    np.testing.assert_array_equal(codes.key_ids, sketches().key_id[[5, 3, 99]])
    assert codes.places.tolist() == [1005, 1003, 1099]
    assert (codes.split, codes.categories, codes.model) == ("gallery", tuple(NAMES), "abc")
    assert len(whole[whole.labels == 2].labels) == (sketches().batch.label == 2).sum()
