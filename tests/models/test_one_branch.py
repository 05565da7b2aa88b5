"""Networks of one branch, and those that recognise in place of hashing, in numpy."""

from functools import cache

import jax
import numpy as np
import pytest
from test_two_branch import BITS, CLASSES, FUSION, Pooled, inputs

from sketchjax.models.bigru import BiGRU
from sketchjax.models.two_branch import TwoBranch

RECOGNITION = 10


@cache
def model(branches, fusion_features=0, recognition_features=0):
    return TwoBranch(
        BITS,
        CLASSES,
        None if branches == "rnn" else Pooled(),
        None if branches == "cnn" else BiGRU(hidden=4, implementation="fused"),
        fusion_features,
        recognition_features,
    )


def given(branches):
    """What a network of these branches reads; the rest is not drawn."""
    raster, sequence, length = inputs()
    return (
        None if branches == "rnn" else raster,
        None if branches == "cnn" else sequence,
        length,
    )


@cache
def variables(*kind):
    """Shapes as `all_branches` makes them, values of our own."""
    one = model(*kind)
    init = lambda key: one.init(key, *inputs(), method="all_branches")  # noqa: E731
    random = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: (0.3 * random.normal(size=leaf.shape)).astype(np.float32),
        jax.eval_shape(init, jax.random.key(0)),
    )


def apply(kind, method=None, **settings):
    """Compiled, with the variables of that kind."""

    def run(variables, *inputs):
        return model(*kind).apply(variables, *inputs, method=method, **settings)

    return jax.jit(run)(variables(*kind), *given(kind[0]))


def dense(part, x):
    return np.asarray(x, np.float64) @ part["kernel"] + part["bias"]


def branch_features(kind) -> np.ndarray:
    """What the branches give, from their own modules."""
    own, (raster, sequence, length), parts = variables(*kind)["params"], given(kind[0]), []
    one = model(*kind)
    if one.cnn is not None:
        parts.append(one.cnn.clone(parent=None).apply({"params": own["cnn"]}, raster))
    if one.rnn is not None:
        rnn = jax.jit(one.rnn.clone(parent=None).apply)
        parts.append(rnn({"params": own["rnn"]}, sequence, length))
    return np.concatenate(parts, 1)


def fused(kind) -> np.ndarray:
    joined = branch_features(kind)
    if not kind[1]:
        return joined
    return np.maximum(dense(variables(*kind)["params"]["fusion"], joined), 0)


PARTS = {
    ("cnn", 0, 0): {"cnn", "cnn_classifier", "hash", "classifier"},
    ("rnn", FUSION, 0): {"rnn", "rnn_classifier", "fusion", "hash", "classifier"},
    ("cnn", FUSION, RECOGNITION): {"cnn", "cnn_classifier", "fusion", "recognition", "classifier"},
    ("rnn", 0, RECOGNITION): {"rnn", "rnn_classifier", "recognition", "classifier"},
    ("both", 0, RECOGNITION): {
        *("cnn", "cnn_classifier", "rnn", "rnn_classifier", "recognition", "classifier")
    },
}
KINDS = pytest.mark.parametrize("kind", PARTS, ids=lambda kind: "-".join(map(str, kind)))


@KINDS
def test_a_network_has_the_parts_that_it_uses(kind):
    assert set(variables(*kind)["params"]) == PARTS[kind]
    width = kind[2] or BITS
    assert model(*kind).width == width
    assert variables(*kind)["params"]["classifier"]["kernel"].shape == (width, CLASSES)


@KINDS
def test_the_whole_network_reads_the_branches_that_it_has(kind):
    own = variables(*kind)["params"]
    activations = dense(own["recognition" if kind[2] else "hash"], fused(kind))
    features = np.maximum(activations, 0) if kind[2] else 1 / (1 + np.exp(-activations))
    output = apply(kind, branch="whole")
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(output.activations, activations, **close)
    np.testing.assert_allclose(output.features, features, **close)
    np.testing.assert_allclose(output.logits, dense(own["classifier"], features), **close)
    # Not all on one side, where a rectifier and a sigmoid would be hard to tell from others.
    assert activations.min() < -0.1 < 0.1 < activations.max()


@KINDS
def test_the_fusion_layer_is_what_the_hash_layer_reads(kind):
    np.testing.assert_allclose(
        apply(kind, method="fusion_layer"), fused(kind), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("branch", ["cnn", "rnn"])
def test_a_network_of_one_branch_can_train_it_alone(branch):
    kind = (branch, 0, 0)
    output = apply(kind, branch=branch)
    assert output.features is output.activations is None
    own = variables(*kind)["params"][f"{branch}_classifier"]
    wanted = dense(own, branch_features(kind))
    np.testing.assert_allclose(output.logits, wanted, rtol=1e-4, atol=1e-5)
