"""From strokes to output: views, augmentation only in training, and what a config builds."""

import math
from dataclasses import replace
from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sketchjax.config import architecture, default, encoder, set_encoders
from sketchjax.data.inputs import Strokes
from sketchjax.models.network import build
from sketchjax.models.table import ENCODERS
from sketchjax.models.views import VIEWS
from sketchjax.ops.draw import rasterize, sequence

POINTS, SCALE = 6, 20.0
NAMES = ["cat", "clock", "sun"]
CLASSES = len(NAMES)


def tiny(**fields):
    """A config of a network that compiles in a second or two."""
    config = default()
    changes = {
        "model.bits": 8,
        "model.encoders.cnn.width": 0.05,
        "model.encoders.cnn.stem_stride": 2,
        "model.encoders.cnn.dense_features": 6,
        "model.encoders.cnn.dropout": 0.0,
        "model.encoders.rnn.hidden": 4,
        "model.encoders.rnn.layers": 1,
        "model.encoders.rnn.implementation": "fused",
        "drawing.size": 40,
        "data.points": POINTS,
    }
    config.update_from_flattened_dict(changes | fields)
    return config


def built(config, axis_name=None):
    return build(
        architecture(config, NAMES, SCALE),
        axis_name=axis_name,
        augmentation=config.augmentation.to_dict(),
    )


@cache
def network(**fields):
    return built(tiny(**fields))


@cache
def variables():
    """Shapes as `initialise` makes them, values of our own: its QRs take seconds to compile."""
    random = np.random.default_rng(1)

    def fill(path, leaf):
        noise = random.normal(size=leaf.shape)
        if path[-1].key == "kernel":
            return (noise * math.sqrt(2 / math.prod(leaf.shape[:-1]))).astype(np.float32)
        usual = path[-1].key in ("scale", "var")
        return np.abs(usual + 0.2 * noise).astype(np.float32)

    return jax.tree_util.tree_map_with_path(fill, network().shapes())


def sketches():
    random = np.random.default_rng(0)
    points = random.integers(0, 256, (4, POINTS, 3)).astype(np.uint8)
    length = np.array([6, 2, 4, 5], np.int32)
    points[:, :, 2] = np.arange(POINTS) == length[:, None] - 1
    points[0, 2, 2] = 1  # two strokes
    points[np.arange(POINTS) >= length[:, None]] = 0
    return Strokes.of(points, length)


def in_order(strokes, order):
    return jax.tree.map(lambda leaf: leaf[order], strokes)


def keys(seed=5):
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), jnp.arange(4))


@cache
def evaluating(output):
    kept = variables()
    return jax.jit(lambda strokes: network().apply(kept, strokes, output))


@cache
def training(output, **fields):
    kept = variables()

    def apply(strokes, keys):
        return network(**fields).apply_in_training(kept, strokes, output, keys)

    return jax.jit(apply)


class Spy:
    """In the layers' place: remembers what they were given."""

    def __init__(self):
        layers = network().layers
        self.side_of, self.encoders_of = layers.side_of, layers.encoders_of

    def apply(self, variables, views, output, *, keys, **_):
        self.views, self.keys = views, keys
        return None, {}


def test_a_config_builds_what_it_says():
    config = tiny(
        **{
            "model.dtype": "bfloat16",
            "model.fusion_features": 5,
            "model.encoders.cnn.batch_norm": False,
            "model.encoders.cnn.dropout": 0.25,
            "model.encoders.rnn.layers": 3,
            "model.encoders.rnn.dropout": 0.125,
            "model.encoders.rnn.implementation": "linen",
            "drawing.stroke_width": 2.5,
            "augmentation.flip": 0.3,
        }
    )
    found = built(config, axis_name="devices")
    layers = found.layers
    assert (layers.head, layers.width, layers.classes, layers.fusion_features) == ("hash", 8, 3, 5)
    assert [(name, view) for name, view, _ in layers.encoders] == [
        ("cnn", "picture"),
        ("rnn", "sequence"),
    ]
    cnn, rnn = (make(name=name) for name, _, make in layers.encoders)
    assert (cnn.width, cnn.stem_stride, cnn.dense_features) == (0.05, 2, 6)
    assert (cnn.batch_norm, cnn.dropout, cnn.axis_name) == (False, 0.25, "devices")
    assert (rnn.hidden, rnn.layers, rnn.dropout, rnn.implementation) == (4, 3, 0.125, "linen")
    assert cnn.dtype == rnn.dtype == jnp.bfloat16
    drawing = found.architecture.drawing
    assert (drawing.size, drawing.stroke_width, drawing.offset_scale) == (40, 2.5, SCALE)
    assert (found.architecture.points, found.architecture.categories) == (POINTS, NAMES)
    assert found.augmentation == config.augmentation.to_dict()
    assert found.augmentation["flip"] == 0.3


def test_a_config_builds_the_encoders_that_it_names():
    found = built(tiny(**{"model.branches": ("cnn",)}))
    assert [name for name, _, _ in found.layers.encoders] == ["cnn"]
    config = tiny(**{"model.branches": ("rnn",), "model.head": "features", "model.features": 9})
    found = built(config)
    assert (found.layers.width, network().layers.width) == (9, 8)
    assert set(found.shapes()["params"]) == {"rnn", "rnn_classifier", "features", "classifier"}


def test_encoders_of_any_names_and_number_are_built():
    config = tiny()
    set_encoders(
        config,
        pen=encoder("bigru", hidden=4, layers=1),
        eye=encoder("alexnet", width=0.05, dense_features=6, stem_stride=1),
        hand=encoder("bigru", hidden=2, layers=1),
    )
    found = built(config)
    params = found.shapes()["params"]
    assert set(params) == {
        *("pen", "eye", "hand", "pen_classifier", "eye_classifier", "hand_classifier"),
        *("hash", "classifier"),
    }
    assert params["hash"]["kernel"].shape == (2 * 4 + 6 + 2 * 2, 8)
    assert seen_by(found, "hand") == {"sequence"}


@pytest.mark.parametrize("kind", ENCODERS)
def test_every_kind_of_encoder_can_be_built(kind):
    """With the settings of its row, all of which are fields of its module."""
    config = tiny(**{"drawing.size": 64})
    set_encoders(config, only=encoder(kind))
    ((name, view, make),) = built(config).layers.encoders
    assert (name, view) == ("only", ENCODERS[kind].view)
    assert view in VIEWS
    module = make(name=name)
    assert type(module).__name__ == ENCODERS[kind].module.split(":")[1]
    for setting, field in ENCODERS[kind].settings.items():
        assert getattr(module, setting) == field.default, setting


def test_the_fused_features_are_those_of_the_drawing():
    """The hash layer on them, in numpy, gives the features."""
    kept = variables()
    read = jax.jit(network().fused)(kept, sketches())
    hash_layer = kept["params"]["hash"]
    features = 1 / (1 + np.exp(-(np.asarray(read) @ hash_layer["kernel"] + hash_layer["bias"])))
    np.testing.assert_allclose(evaluating("head")(sketches()).features, features, atol=1e-5)


def test_all_parts_are_made_at_once():
    shapes = network().shapes()
    assert set(shapes["params"]) == {
        "cnn", "rnn", "cnn_classifier", "rnn_classifier", "hash", "classifier",
    }  # fmt: skip
    assert set(shapes["batch_stats"]) == {"cnn"}
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}


def seen_by(own, output):
    """The views of an output."""
    return {*jax.eval_shape(lambda strokes: own.views(strokes, output), sketches())}


def test_each_encoder_gets_its_view_and_nothing_else_is_drawn():
    strokes = sketches()
    views = jax.jit(network().views, static_argnums=1)(strokes, "head")
    assert set(views) == {"picture", "sequence"}
    picture = jax.jit(partial(rasterize, size=40, stroke_width=1.5))(strokes)
    np.testing.assert_array_equal(views["picture"][0], picture)
    found = jax.jit(partial(sequence, scale=SCALE))(strokes)
    np.testing.assert_array_equal(views["sequence"][0], found)
    np.testing.assert_array_equal(views["sequence"][1], strokes.length)
    assert seen_by(network(), "cnn") == {"picture"}
    assert seen_by(network(), "rnn") == {"sequence"}
    # What the network lacks is not drawn either.
    for branch, view in (("cnn", "picture"), ("rnn", "sequence")):
        own = built(tiny(**{"model.branches": (branch,)}))
        assert seen_by(own, "head") == {view}


def test_inputs_of_another_kind_are_refused():
    with pytest.raises(TypeError, match="the view picture reads Strokes or Pictures, not ndarray"):
        network().views(np.zeros((2, 3, 3)), "cnn")


def test_evaluation_is_deterministic_and_sketch_by_sketch():
    output, again = evaluating("head")(sketches()), evaluating("head")(sketches())
    np.testing.assert_array_equal(output.logits, again.logits)
    assert output.features.shape == (4, 8)
    assert output.logits.shape == (4, CLASSES)
    order = np.array([2, 0, 3, 1])
    turned = evaluating("head")(in_order(sketches(), order))
    np.testing.assert_allclose(turned.features, output.features[order], atol=1e-6)
    assert 0 < np.min(output.features) < np.max(output.features) < 1


def test_training_without_augmentation_or_dropout_is_evaluation():
    still = {f"augmentation.{name}": 0.0 for name in default().augmentation}
    output, statistics = training("rnn", **still)(sketches(), keys())
    expected = evaluating("rnn")(sketches())
    np.testing.assert_allclose(output.logits, expected.logits, atol=1e-6)
    # The RNN has no statistics to change; those of the CNN come back as they were, if ever.
    for a, b in zip(
        jax.tree.leaves(statistics), jax.tree.leaves(variables()["batch_stats"]), strict=False
    ):
        np.testing.assert_array_equal(a, b)


def test_training_augments_by_the_key_of_the_sketch():
    strokes, train = sketches(), training("rnn")
    output = train(strokes, keys())[0].logits
    assert np.abs(output - evaluating("rnn")(strokes).logits).max() > 1e-3
    np.testing.assert_array_equal(train(strokes, keys())[0].logits, output)
    order = np.array([2, 0, 3, 1])
    turned = train(in_order(strokes, order), keys()[order])[0].logits
    np.testing.assert_allclose(turned, output[order], atol=1e-6)
    # Other sketches in the batch change nothing; another key does.
    same = train(in_order(strokes, np.zeros(4, int)), keys())[0].logits
    np.testing.assert_allclose(same[0], output[0], atol=1e-6)
    assert np.abs(train(strokes, keys(seed=6))[0].logits - output).max() > 1e-3


def test_training_gives_new_statistics_of_the_cnn():
    output, statistics = training("cnn")(sketches(), keys())
    assert output.features is None
    before = jax.tree.leaves(variables()["batch_stats"])
    after = jax.tree.leaves(statistics)
    assert [leaf.shape for leaf in after] == [leaf.shape for leaf in before]
    assert all(np.abs(a - b).max() > 0 for a, b in zip(after, before, strict=True))


def middle(pictures):
    """Where the ink's middle lies, in pixels from the left."""
    ink = np.asarray(pictures)[..., 0].sum(1)
    return (ink * np.arange(40)).sum(1) / ink.sum(1)


def test_a_shift_is_seen_in_training():
    # The picture is centred on the drawing before augmentation: else a shift would be undone.
    only_shift = {f"augmentation.{name}": 0.0 for name in default().augmentation}
    spy, strokes = Spy(), sketches()
    shifting = replace(network(**only_shift | {"augmentation.shift": 0.2}), layers=spy)
    shifting.apply_in_training({}, strokes, "head", keys())
    still = rasterize(strokes, size=40, stroke_width=1.5)
    assert np.abs(middle(spy.views["picture"][0]) - middle(still)).max() > 1.0
    # The sequence knows no place: a shift is nothing to it.
    expected = sequence(strokes, scale=SCALE)
    np.testing.assert_allclose(spy.views["sequence"][0], expected, atol=1e-4)


def test_dropout_and_augmentation_have_keys_of_their_own():
    # With the same stream for both, a sketch's mask and its distortion would be tied together.
    spy = Spy()
    replace(network(), layers=spy).apply_in_training({}, sketches(), "cnn", keys())
    assert set(spy.views) == {"picture"}
    data, fold = jax.random.key_data, jax.vmap(jax.random.fold_in, (0, None))
    assert spy.keys.shape == (4,)
    assert len(np.unique(data(spy.keys), axis=0)) == 4
    for other in (keys(), fold(keys(), 0)):
        assert (data(spy.keys) != data(other)).any(1).all()


def test_training_drops_features_in_front_of_the_head():
    """Each half that is kept counts double; evaluation drops none."""
    layers = replace(network().layers, encoders=(), dropout=0.5)
    seen = []

    def look(next_call, args, kwargs, context):
        if context.module.name == "hash" and context.method_name == "__call__":
            seen.append(np.asarray(args[0]))
        return next_call(*args, **kwargs)

    features = jnp.ones((64, 40))

    class Given(nn.Module):
        def __call__(self, values, train=False, keys=None):
            return values

    layers = replace(layers, encoders=(("given", "given", Given),))
    views = {"given": (features,)}
    variables = layers.init(jax.random.key(0), views)
    own = jax.random.split(jax.random.key(1), 64)
    with nn.intercept_methods(look):
        layers.apply(variables, views)
        layers.apply(variables, views, train=True, keys=own)
    np.testing.assert_array_equal(seen[0], 1)
    trained = seen[-1]
    assert set(np.unique(trained)) == {0.0, 2.0}
    assert 0.4 < (trained == 0).mean() < 0.6
    assert len(np.unique(trained, axis=0)) == 64
