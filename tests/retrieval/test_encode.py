"""Encoding a whole split: exact on any number of devices, padding left out."""

import math
from functools import cache

import jax
import numpy as np
import pytest

from sketchjax.config import default
from sketchjax.data.feed.batch import Batch
from sketchjax.models.network import build
from sketchjax.retrieval.encode import Encoder, binarize, concatenate

COUNT, BATCH, POINTS, BITS, CLASSES = 103, 16, 5, 8, 7


@cache
def network():
    config = default()
    config.update_from_flattened_dict(
        {
            "model.bits": BITS,
            "model.cnn.width": 0.05,
            "model.cnn.stem_stride": 2,
            "model.cnn.dense_features": 6,
            "model.cnn.batch_norm": False,
            "model.rnn.hidden": 4,
            "model.rnn.implementation": "fused",
            "drawing.size": 36,
        }
    )
    return build(config, classes=CLASSES, offset_scale=40.0, axis_name="devices")


@cache
def variables():
    """Random, and large in the last layers: the sketches get different codes and classes."""
    shapes = jax.eval_shape(lambda key: network().initialise(key, POINTS), jax.random.key(0))
    random = np.random.default_rng(1)

    def fill(path, leaf):
        noise = random.normal(size=leaf.shape)
        if path[-1].key == "bias":
            return (0.1 * noise).astype(np.float32)
        gain = 6.0 if path[1].key not in ("cnn", "rnn") else 1.5
        return (gain * noise / math.sqrt(math.prod(leaf.shape[:-1]))).astype(np.float32)

    return jax.tree_util.tree_map_with_path(fill, shapes)


@cache
def sketches():
    random = np.random.default_rng(2)
    points = random.integers(0, 256, (COUNT, POINTS, 3)).astype(np.uint8)
    length = random.integers(1, POINTS + 1, COUNT).astype(np.int32)
    points[:, :, 2] = np.arange(POINTS) == length[:, None] - 1
    points[np.arange(POINTS) >= length[:, None]] = 0
    label = random.integers(0, CLASSES, COUNT).astype(np.int32)
    return Batch(points, length, label, np.arange(1000, 1000 + COUNT, dtype=np.int32))


def batches(filler):
    """All sketches in steps of 16; the last one is filled up with `filler`, masked out."""
    for first in range(0, COUNT, BATCH):
        wanted = np.arange(first, first + BATCH)
        places = np.where(wanted < COUNT, wanted, filler)
        yield Batch(*(column[places] for column in sketches())), wanted < COUNT


@cache
def expected(branch):
    """All 103 at once, on one device."""
    kept = variables()
    apply = jax.jit(lambda points, length: network().apply(kept, points, length, branch))
    output = apply(sketches().points, sketches().length)
    return output.features, np.asarray(output.logits).argmax(-1)


def encode(devices, monkeypatch, branch="whole", filler=COUNT - 1):
    monkeypatch.setattr(jax, "local_device_count", lambda: devices)
    encoder = Encoder(network(), branch)
    return list(encoder.stream(variables(), batches(filler)))


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_103_sketches_are_the_same_on_any_number_of_devices(devices, monkeypatch):
    predictions = concatenate(encode(devices, monkeypatch, branch="rnn")).predictions
    np.testing.assert_array_equal(predictions, expected("rnn")[1])
    assert len(predictions) == COUNT


def test_features_and_predictions_of_the_whole_network_on_four_devices(monkeypatch):
    parts = encode(4, monkeypatch)
    assert [len(part.labels) for part in parts] == [16] * 6 + [7]
    whole = concatenate(parts)
    features, predictions = expected("whole")
    assert len(np.unique(predictions)) > 2
    assert len(np.unique(binarize(np.asarray(features)), axis=0)) > 20
    np.testing.assert_array_equal(whole.predictions, predictions)
    np.testing.assert_allclose(whole.features, features, atol=1e-5)
    np.testing.assert_array_equal(whole.labels, sketches().label)
    np.testing.assert_array_equal(whole.index, np.arange(1000, 1000 + COUNT))
    assert whole.features.dtype == np.float32
    assert whole.features.shape == (COUNT, BITS)


def test_one_branch_has_predictions_and_no_features(monkeypatch):
    whole = concatenate(encode(2, monkeypatch, branch="rnn"))
    features, predictions = expected("rnn")
    assert features is None
    assert whole.features.shape == (COUNT, 0)
    np.testing.assert_array_equal(whole.predictions, predictions)
    assert len(np.unique(predictions)) > 2


def test_what_fills_up_the_last_batch_changes_nothing(monkeypatch):
    first, second = (
        concatenate(encode(2, monkeypatch, branch="rnn", filler=filler))
        for filler in (COUNT - 1, 0)
    )
    for name in ("predictions", "labels", "index"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_a_mask_may_leave_out_any_place(monkeypatch):
    monkeypatch.setattr(jax, "local_device_count", lambda: 4)
    mask = np.random.default_rng(3).random(BATCH) < 0.5
    batch = Batch(*(column[:BATCH] for column in sketches()))
    (part,) = Encoder(network(), "rnn").stream(variables(), [(batch, mask)])
    np.testing.assert_array_equal(part.predictions, expected("rnn")[1][:BATCH][mask])
    np.testing.assert_array_equal(part.labels, batch.label[mask])
    np.testing.assert_array_equal(part.index, batch.index[mask])


def test_the_device_works_one_batch_ahead(monkeypatch):
    monkeypatch.setattr(jax, "local_device_count", lambda: 1)
    read = []

    def reading():
        for number, pair in enumerate(batches(0)):
            read.append(number)
            yield pair

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
