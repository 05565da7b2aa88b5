"""The two-branch encoder: what each choice of branches reads, uses and gives."""

from functools import cache

import flax.linen as nn
import jax
import numpy as np
import pytest

from sketchjax.models.bigru import BiGRU
from sketchjax.models.two_branch import BRANCHES, PARTS, TwoBranch

BITS, CLASSES, SIZE, STEPS = 8, 3, 35, 5
LENGTHS = np.array([5, 1, 3], np.int32)
FUSION = 7


class Pooled(nn.Module):
    """In AlexNet's place: this file is about what stands around it, and compiles in no time."""

    @nn.compact
    def __call__(self, raster, *, train=False, keys=None):
        return nn.Dense(6)(raster.mean(2)[:, :, 0])


@cache
def model(fusion_features=0):
    return TwoBranch(
        BITS,
        CLASSES,
        Pooled(),
        BiGRU(hidden=4, implementation="fused"),
        fusion_features,
    )


def inputs():
    random = np.random.default_rng(0)
    raster = random.random((3, SIZE, SIZE, 1)).astype(np.float32)
    sequence = random.normal(size=(3, STEPS, 4)) * (np.arange(STEPS) < LENGTHS[:, None])[..., None]
    return raster, sequence.astype(np.float32), LENGTHS


@cache
def variables(fusion_features=0):
    one = model(fusion_features)
    raster, sequence, length = inputs()

    def init(key):
        return one.init(key, raster, sequence, length, method="all_branches")

    # Shapes as `init` makes them, values of our own: orthogonal kernels take seconds to compile.
    random = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: (0.3 * random.normal(size=leaf.shape)).astype(np.float32),
        jax.eval_shape(init, jax.random.key(0)),
    )


@cache
def outputs(fusion_features, branch):
    """Output and the gradient of its sum by part, of all parts."""
    one, (raster, sequence, length) = model(fusion_features), inputs()

    def loss(parameters):
        output = one.apply({"params": parameters}, raster, sequence, length, branch=branch)
        # Not the plain sum: shares of an output that add up to a constant would vanish.
        return (output.logits * np.arange(1.0, CLASSES + 1, dtype=np.float32)[None]).sum(), output

    gradient, output = jax.jit(jax.grad(loss, has_aux=True))(variables(fusion_features)["params"])
    return output, {
        part: max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(tree))
        for part, tree in gradient.items()
    }


@pytest.mark.parametrize("branch", BRANCHES)
def test_each_choice_uses_exactly_its_parts(branch):
    _, gradients = outputs(FUSION, branch)
    # All parts but the layer that stands in the hash layer's place where a network recognises.
    every = {part for parts in PARTS.values() for part in parts} - {"recognition"}
    assert set(gradients) == every
    used = {part for part, largest in gradients.items() if largest > 0}
    assert used == set(PARTS[branch]) & every


def test_without_a_fusion_layer():
    _, gradients = outputs(0, "whole")
    assert {part for part, largest in gradients.items() if largest > 0} == {
        "cnn",
        "rnn",
        "hash",
        "classifier",
    }
    parameters = variables()["params"]
    assert "fusion" not in parameters
    assert parameters["hash"]["kernel"].shape == (6 + 2 * 4, BITS)
    assert variables(FUSION)["params"]["fusion"]["kernel"].shape == (6 + 2 * 4, FUSION)
    assert variables(FUSION)["params"]["hash"]["kernel"].shape == (FUSION, BITS)


@pytest.mark.parametrize("branch", ["cnn", "rnn"])
def test_a_branch_alone_needs_only_its_own_input(branch):
    raster, sequence, length = inputs()
    given = (raster, None) if branch == "cnn" else (None, sequence)
    alone = jax.jit(lambda *given: model().apply(variables(), *given, length, branch=branch))(
        *given
    )
    assert alone.features is None
    output, _ = outputs(0, branch)
    np.testing.assert_allclose(alone.logits, output.logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("fusion_features", [0, FUSION])
def test_features_and_logits_follow_from_the_branches(fusion_features):
    output, _ = outputs(fusion_features, "whole")
    raster, sequence, length = inputs()
    own = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables(fusion_features))
    own = own["params"]
    cnn = jax.jit(model().cnn.clone(parent=None).apply)({"params": own["cnn"]}, raster)
    rnn = jax.jit(model().rnn.clone(parent=None).apply)({"params": own["rnn"]}, sequence, length)
    joined = np.concatenate([cnn, rnn], 1)
    if fusion_features:
        joined = np.maximum(joined @ own["fusion"]["kernel"] + own["fusion"]["bias"], 0)
    features = 1 / (1 + np.exp(-(joined @ own["hash"]["kernel"] + own["hash"]["bias"])))
    logits = features @ own["classifier"]["kernel"] + own["classifier"]["bias"]
    np.testing.assert_allclose(output.features, features, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(output.logits, logits, rtol=1e-4, atol=1e-5)
    assert output.features.shape == (3, BITS)
    assert 0 < np.min(output.features) < np.max(output.features) < 1


def test_the_branch_classifiers_read_their_own_branch():
    raster, _, _ = inputs()
    own = variables()["params"]
    cnn = jax.jit(model().cnn.clone(parent=None).apply)({"params": own["cnn"]}, raster)
    expected = cnn @ own["cnn_classifier"]["kernel"] + own["cnn_classifier"]["bias"]
    np.testing.assert_allclose(outputs(0, "cnn")[0].logits, expected, rtol=1e-4, atol=1e-5)
    assert expected.shape == (3, CLASSES)


def test_a_missing_input_is_told():
    raster, sequence, length = inputs()
    with pytest.raises(AssertionError, match="raster"):
        model().apply(variables(), None, sequence, length, branch="whole")
    with pytest.raises(AssertionError, match="sequence"):
        model().apply(variables(), raster, None, length, branch="rnn")
