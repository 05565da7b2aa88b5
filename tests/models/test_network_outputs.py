"""The layers of a network with two encoders: what each output reads, uses and gives."""

from functools import cache, partial

import flax.linen as nn
import jax
import numpy as np
import pytest

from sketchjax.models.bigru import BiGRU
from sketchjax.models.network import Layers

BITS, CLASSES, SIZE, STEPS = 8, 3, 35, 5
LENGTHS = np.array([5, 1, 3], np.int32)
FUSION = 7
OUTPUTS = ("cnn", "rnn", "head")


class Pooled(nn.Module):
    """In AlexNet's place: this file is about what is around it, and compiles in no time."""

    @nn.compact
    def __call__(self, raster, *, train=False, keys=None):
        return nn.Dense(6)(raster.mean(2)[:, :, 0])


ENCODERS = {
    "cnn": ("cnn", "picture", Pooled),
    "rnn": ("rnn", "sequence", partial(BiGRU, hidden=4, layers=1, implementation="fused")),
}


@cache
def layers(names=("cnn", "rnn"), fusion_features=0, head="hash", width=BITS):
    return Layers(tuple(ENCODERS[name] for name in names), head, width, CLASSES, fusion_features)


def views():
    random = np.random.default_rng(0)
    raster = random.random((3, SIZE, SIZE, 1)).astype(np.float32)
    sequence = random.normal(size=(3, STEPS, 4)) * (np.arange(STEPS) < LENGTHS[:, None])[..., None]
    return {"picture": (raster,), "sequence": (sequence.astype(np.float32), LENGTHS)}


@cache
def variables(*kind):
    """Shapes as the layers make them, values of our own: orthogonal kernels compile slowly."""
    one = layers(*kind)

    def everything(bound):
        for output in (*(name for name, _, _ in one.encoders), "head"):
            bound(views(), output)

    random = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: (0.3 * random.normal(size=leaf.shape)).astype(np.float32),
        jax.eval_shape(nn.init(everything, one), jax.random.key(0)),
    )


def encoded(name, own):
    """What an encoder gives, from its own module. own: the parameters of all parts."""
    _, view, make = ENCODERS[name]
    return jax.jit(make().apply)({"params": own[name]}, *views()[view])


def dense(part, x):
    """A dense layer in numpy."""
    return np.asarray(x, np.float64) @ part["kernel"] + part["bias"]


@cache
def outputs(fusion_features, output):
    """An output, and the largest gradient of its logits in each part."""
    one = layers(("cnn", "rnn"), fusion_features)
    kept = variables(("cnn", "rnn"), fusion_features)

    def loss(parameters):
        found = one.apply({"params": parameters}, views(), output)
        # Not the plain sum: shares of an output that add up to a constant would vanish.
        return (found.logits * np.arange(1.0, CLASSES + 1, dtype=np.float32)[None]).sum(), found

    gradient, found = jax.jit(jax.grad(loss, has_aux=True))(kept["params"])
    return found, {
        part: max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(tree))
        for part, tree in gradient.items()
    }


PARTS = {
    "cnn": {"cnn", "cnn_classifier"},
    "rnn": {"rnn", "rnn_classifier"},
    "head": {"cnn", "rnn", "fusion", "hash", "classifier"},
}


@pytest.mark.parametrize("output", OUTPUTS)
def test_each_output_uses_exactly_its_parts(output):
    _, gradients = outputs(FUSION, output)
    assert set(gradients) == set.union(*PARTS.values())
    assert {part for part, largest in gradients.items() if largest > 0} == PARTS[output]
    trained = ("cnn", "rnn", "head") if output == "head" else (output,)
    parts = layers(("cnn", "rnn"), FUSION).parts_of(trained, output)
    assert len(parts) == len(PARTS[output])
    assert {*parts} == PARTS[output]


def test_a_stage_may_train_some_of_the_parts():
    plain, fused = layers(), layers(("cnn", "rnn"), FUSION)
    assert plain.parts_of(("head",), "head") == plain.head_parts() == ("hash", "classifier")
    assert fused.head_parts() == ("fusion", "hash", "classifier")
    assert plain.parts_of(("rnn", "head"), "head") == ("rnn", "hash", "classifier")


def test_without_a_fusion_layer_the_head_reads_the_encoders():
    _, gradients = outputs(0, "head")
    used = {part for part, largest in gradients.items() if largest > 0}
    assert used == PARTS["head"] - {"fusion"}
    own = variables()["params"]
    assert "fusion" not in own
    assert own["hash"]["kernel"].shape == (6 + 2 * 4, BITS)
    own = variables(("cnn", "rnn"), FUSION)["params"]
    assert own["fusion"]["kernel"].shape == (6 + 2 * 4, FUSION)
    assert own["hash"]["kernel"].shape == (FUSION, BITS)


@pytest.mark.parametrize("output", ["cnn", "rnn"])
def test_an_output_of_one_encoder_needs_only_its_own_view(output):
    view = ENCODERS[output][1]
    own = {view: views()[view]}
    apply = jax.jit(lambda own: layers().apply(variables(), own, output))
    found, expected = apply(own), outputs(0, output)[0]
    assert found.features is found.activations is None
    np.testing.assert_allclose(found.logits, expected.logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("fusion_features", [0, FUSION])
def test_features_and_logits_follow_from_the_encoders(fusion_features):
    found, _ = outputs(fusion_features, "head")
    own = variables(("cnn", "rnn"), fusion_features)["params"]
    joined = np.concatenate([encoded("cnn", own), encoded("rnn", own)], 1)
    if fusion_features:
        joined = np.maximum(dense(own["fusion"], joined), 0)
    features = 1 / (1 + np.exp(-dense(own["hash"], joined)))
    logits = dense(own["classifier"], features)
    np.testing.assert_allclose(found.features, features, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.logits, logits, rtol=1e-4, atol=1e-5)
    assert found.features.shape == (3, BITS)
    assert 0 < np.min(found.features) < np.max(found.features) < 1


def test_the_head_reads_the_encoders_in_their_order():
    """The same parameters under another order are another network."""
    turned = layers(("rnn", "cnn"))
    own = variables()
    found = jax.jit(lambda: turned.apply(own, views()))()
    params = own["params"]
    joined = np.concatenate([encoded("rnn", params), encoded("cnn", params)], 1)
    np.testing.assert_allclose(found.activations, dense(params["hash"], joined), rtol=1e-4)
    assert np.abs(found.activations - outputs(0, "head")[0].activations).max() > 0.1


@pytest.mark.parametrize("output", ["cnn", "rnn"])
def test_the_classifier_of_an_encoder_reads_that_encoder(output):
    own = variables()["params"]
    expected = dense(own[f"{output}_classifier"], encoded(output, own))
    np.testing.assert_allclose(outputs(0, output)[0].logits, expected, rtol=1e-4, atol=1e-5)
    assert expected.shape == (3, CLASSES)


def test_a_missing_view_is_an_error():
    own = views()
    for view, output in (("picture", "head"), ("sequence", "rnn")):
        with pytest.raises(KeyError, match=view):
            layers().apply(variables(), {k: v for k, v in own.items() if k != view}, output)
