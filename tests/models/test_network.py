"""From points to output: drawing, augmentation in training alone, and what a config builds."""

import math
from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from sketchjax.config import default
from sketchjax.config.rules import broken_rules
from sketchjax.models.network import ENCODERS, build
from sketchjax.ops.draw import rasterize, sequence

POINTS, CLASSES, SCALE = 6, 3, 20.0


def tiny(**fields):
    """A config of a network that compiles in a second or two."""
    config = default()
    changes = {
        "model.bits": 8,
        "model.cnn.width": 0.05,
        "model.cnn.stem_stride": 2,
        "model.cnn.dense_features": 6,
        "model.cnn.dropout": 0.0,
        "model.rnn.hidden": 4,
        "model.rnn.implementation": "fused",
        "drawing.size": 40,
        "data.points": POINTS,
    }
    config.update_from_flattened_dict(changes | fields)
    return config


@cache
def network(**fields):
    return build(tiny(**fields), classes=CLASSES, offset_scale=SCALE, axis_name=None)


@cache
def variables():
    """Shapes as `initialise` makes them, values of our own: its QRs take seconds to compile."""
    shapes = jax.eval_shape(lambda key: network().initialise(key, POINTS), jax.random.key(0))
    random = np.random.default_rng(1)

    def fill(path, leaf):
        noise = random.normal(size=leaf.shape)
        if path[-1].key == "kernel":
            return (noise * math.sqrt(2 / math.prod(leaf.shape[:-1]))).astype(np.float32)
        usual = path[-1].key in ("scale", "var")
        return np.abs(usual + 0.2 * noise).astype(np.float32)

    return jax.tree_util.tree_map_with_path(fill, shapes)


def sketches(count=4):
    random = np.random.default_rng(0)
    points = random.integers(0, 256, (count, POINTS, 3)).astype(np.uint8)
    length = np.array([6, 2, 4, 5][:count], np.int32)
    points[:, :, 2] = np.arange(POINTS) == length[:, None] - 1
    points[0, 2, 2] = 1  # two strokes
    points[np.arange(POINTS) >= length[:, None]] = 0
    return points, length


def keys(count=4, seed=5):
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), jnp.arange(count))


@cache
def evaluating(branch):
    kept = variables()
    return jax.jit(lambda *inputs: network().apply(kept, *inputs, branch))


@cache
def training(branch, **fields):
    kept = variables()

    def apply(points, length, keys):
        return network(**fields).apply_in_training(kept, points, length, branch, keys)

    return jax.jit(apply)


class Spy:
    """In the model's place: remembers what it was given."""

    cnn = rnn = True  # it has both branches

    def apply(self, variables, raster, sequence, length, *, keys, **_):
        self.raster, self.sequence, self.length, self.keys = raster, sequence, length, keys
        return None, {}


def test_a_config_builds_what_it_says():
    config = tiny(
        **{
            "model.dtype": "bfloat16",
            "model.fusion_features": 5,
            "model.cnn.batch_norm": False,
            "model.cnn.dropout": 0.25,
            "model.rnn.layers": 3,
            "model.rnn.dropout": 0.125,
            "model.rnn.implementation": "linen",
            "drawing.stroke_width": 2.5,
            "augmentation.flip": 0.3,
        }
    )
    built = build(config, classes=7, offset_scale=3.5, axis_name="devices")
    model = built.model
    assert (model.bits, model.classes, model.fusion_features) == (8, 7, 5)
    cnn, rnn = model.cnn, model.rnn
    assert (cnn.width, cnn.stem_stride, cnn.dense_features) == (0.05, 2, 6)
    assert (cnn.batch_norm, cnn.dropout, cnn.axis_name) == (False, 0.25, "devices")
    assert (rnn.hidden, rnn.layers, rnn.dropout, rnn.implementation) == (4, 3, 0.125, "linen")
    assert cnn.dtype == rnn.dtype == jnp.bfloat16
    assert (built.size, built.stroke_width, built.offset_scale) == (40, 2.5, 3.5)
    assert built.augmentation == config.augmentation.to_dict()
    assert built.augmentation["flip"] == 0.3
    published = build(default(), classes=7, offset_scale=1.0, axis_name=None).model.cnn
    assert published.dense_features is None  # 0 in the config: as the width says


def test_a_config_builds_the_branches_that_it_names():
    alone = build(tiny(**{"model.branches": "cnn"}), classes=7, offset_scale=1.0, axis_name=None)
    assert alone.model.rnn is None
    assert alone.model.cnn is not None
    fields = {"model.branches": "rnn", "model.recognition_features": 9}
    alone = build(tiny(**fields), classes=7, offset_scale=1.0, axis_name=None)
    assert alone.model.cnn is None
    assert alone.model.rnn is not None
    assert (alone.model.width, network().model.width) == (9, 8)
    shapes = jax.eval_shape(lambda key: alone.initialise(key, POINTS), jax.random.key(0))
    assert set(shapes["params"]) == {"rnn", "rnn_classifier", "recognition", "classifier"}


def test_every_encoder_that_a_config_may_name_can_be_built():
    (told,) = broken_rules({"model.cnn.encoder": "nosuch"}, 1)
    assert told.split("choose one of ")[1].split(", ") == list(ENCODERS)
    for name, encoder in ENCODERS.items():
        fields = {"model.cnn.encoder": name, "drawing.size": 64}
        built = build(tiny(**fields), classes=7, offset_scale=1.0, axis_name=None)
        assert type(built.model.cnn) is encoder


def test_the_fusion_layer_reads_the_drawing():
    """The hash layer of it, in numpy, gives the features."""
    points, length = sketches()
    kept = variables()
    read = jax.jit(network().fusion_layer)(kept, points, length)
    hash_layer = kept["params"]["hash"]
    features = 1 / (1 + np.exp(-(np.asarray(read) @ hash_layer["kernel"] + hash_layer["bias"])))
    np.testing.assert_allclose(evaluating("whole")(points, length).features, features, atol=1e-5)


def test_a_branch_that_a_network_lacks_is_not_drawn():
    points, length = sketches()
    alone = build(tiny(**{"model.branches": "rnn"}), classes=7, offset_scale=SCALE, axis_name=None)
    raster, steps, _ = alone.inputs(points, length, "whole")
    assert raster is None
    np.testing.assert_array_equal(steps, sequence(points, length, scale=SCALE))
    alone = build(tiny(**{"model.branches": "cnn"}), classes=7, offset_scale=SCALE, axis_name=None)
    raster, steps, _ = alone.inputs(points, length, "whole")
    assert steps is None
    np.testing.assert_array_equal(raster, rasterize(points, length, size=40, stroke_width=1.5))


def test_all_parts_are_made_at_once():
    shapes = jax.eval_shape(lambda key: network().initialise(key, POINTS), jax.random.key(0))
    assert set(shapes["params"]) == {
        "cnn", "rnn", "cnn_classifier", "rnn_classifier", "hash", "classifier",
    }  # fmt: skip
    assert set(shapes["batch_stats"]) == {"cnn"}
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}


def test_each_branch_is_drawn_what_it_reads():
    points, length = sketches()
    raster, steps, same = network().inputs(points, length, "whole")
    np.testing.assert_array_equal(raster, rasterize(points, length, size=40, stroke_width=1.5))
    np.testing.assert_array_equal(steps, sequence(points, length, scale=SCALE))
    np.testing.assert_array_equal(same, length)
    assert network().inputs(points, length, "cnn")[1] is None
    assert network().inputs(points, length, "rnn")[0] is None


def test_evaluation_is_deterministic_and_of_each_sketch_alone():
    points, length = sketches()
    output = evaluating("whole")(points, length)
    again = evaluating("whole")(points, length)
    np.testing.assert_array_equal(output.logits, again.logits)
    assert output.features.shape == (4, 8)
    assert output.logits.shape == (4, CLASSES)
    order = np.array([2, 0, 3, 1])
    turned = evaluating("whole")(points[order], length[order])
    np.testing.assert_allclose(turned.features, output.features[order], atol=1e-6)
    assert 0 < np.min(output.features) < np.max(output.features) < 1


def test_training_without_augmentation_or_dropout_is_evaluation():
    still = {f"augmentation.{name}": 0.0 for name in default().augmentation}
    points, length = sketches()
    output, statistics = training("rnn", **still)(points, length, keys())
    expected = evaluating("rnn")(points, length)
    np.testing.assert_allclose(output.logits, expected.logits, atol=1e-6)
    # The RNN branch has no statistics to change; those of the CNN come back as they were, if ever.
    for a, b in zip(
        jax.tree.leaves(statistics), jax.tree.leaves(variables()["batch_stats"]), strict=False
    ):
        np.testing.assert_array_equal(a, b)


def test_training_augments_by_the_key_of_the_sketch():
    points, length = sketches()
    train = training("rnn")
    output = train(points, length, keys())[0].logits
    assert np.abs(output - evaluating("rnn")(points, length).logits).max() > 1e-3
    np.testing.assert_array_equal(train(points, length, keys())[0].logits, output)
    order = np.array([2, 0, 3, 1])
    turned = train(points[order], length[order], keys()[order])[0].logits
    np.testing.assert_allclose(turned, output[order], atol=1e-6)
    # Another sketch beside it changes nothing; another key does.
    others = points.copy()
    others[1:] = points[0]
    beside = train(others, np.full(4, length[0]), keys())[0].logits
    np.testing.assert_allclose(beside[0], output[0], atol=1e-6)
    assert np.abs(train(points, length, keys(seed=6))[0].logits - output).max() > 1e-3


def test_training_gives_new_statistics_of_the_cnn():
    points, length = sketches()
    output, statistics = training("cnn")(points, length, keys())
    assert output.features is None
    before = jax.tree.leaves(variables()["batch_stats"])
    after = jax.tree.leaves(statistics)
    assert [leaf.shape for leaf in after] == [leaf.shape for leaf in before]
    assert all(np.abs(a - b).max() > 0 for a, b in zip(after, before, strict=True))


def middle(pictures):
    """Where the ink's middle lies, px from the left."""
    ink = np.asarray(pictures)[..., 0].sum(1)
    return (ink * np.arange(40)).sum(1) / ink.sum(1)


def test_a_shift_is_seen_in_training():
    # The raster is centred on the drawing before augmentation: else a shift would be undone.
    only_shift = {f"augmentation.{name}": 0.0 for name in default().augmentation}
    spy = Spy()
    shifting = replace(network(**only_shift | {"augmentation.shift": 0.2}), model=spy)
    points, length = sketches()
    shifting.apply_in_training({}, points, length, "whole", keys())
    still = rasterize(points, length, size=40, stroke_width=1.5)
    assert np.abs(middle(spy.raster) - middle(still)).max() > 1.0
    # The sequence knows no place: a shift is nothing to it.
    np.testing.assert_allclose(spy.sequence, sequence(points, length, scale=SCALE), atol=1e-4)


def test_dropout_and_augmentation_have_keys_of_their_own():
    # With the same stream for both, a sketch's mask and its distortion would be tied together.
    spy = Spy()
    points, length = sketches()
    replace(network(), model=spy).apply_in_training({}, points, length, "cnn", keys())
    assert spy.sequence is None
    data, fold = jax.random.key_data, jax.vmap(jax.random.fold_in, (0, None))
    assert spy.keys.shape == (4,)
    assert len(np.unique(data(spy.keys), axis=0)) == 4
    for other in (keys(), fold(keys(), 0)):
        assert (data(spy.keys) != data(other)).any(1).all()
