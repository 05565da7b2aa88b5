"""AlexNet: the published sizes, XLA's plain layers as oracle, and the batch statistics."""

import math
import re
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from plain_layers import count, plain_alexnet, random_variables, sizes_of

from sketchjax.models.alexnet import AlexNet
from sketchjax.models.layers import Conv, Dense
from sketchjax.parallel import AXIS, SPLIT, WHOLE, over_devices, split

SIZE = 48
TINY = {"width": 0.05, "stem_stride": 2, "dense_features": 16}
COUNT = 8
PADDINGS = (2, 2, 1, 1, 1)  # of the convolutions


def pictures():
    return np.random.default_rng(0).random((COUNT, SIZE, SIZE, 1)).astype(np.float32)


def keys(seed=3):
    return jax.random.split(jax.random.key(seed), COUNT)


def variables_of(network, size=SIZE):
    return random_variables(sizes_of(network, size)[0])


@cache
def evaluating(network):
    return jax.jit(network.apply)


@cache
def training(network):
    def apply(variables, images, keys):
        return network.apply(variables, images, train=True, keys=keys, mutable=["batch_stats"])

    return jax.jit(apply)


def test_published_sizes_at_224_px():
    network = AlexNet(batch_norm=False)
    variables, out, kept = sizes_of(network, 224)
    sides = {name: kept[name]["__call__"][0].shape for name in kept if name.startswith("conv")}
    assert sides == {
        "conv1": (1, 55, 55, 96),
        "conv2": (1, 27, 27, 256),
        "conv3": (1, 13, 13, 384),
        "conv4": (1, 13, 13, 384),
        "conv5": (1, 13, 13, 256),
    }
    assert out.shape == (1, 4096)
    parameters = variables["params"]
    assert parameters["dense6"]["dense"]["kernel"].shape == (6 * 6 * 256, 4096)
    # One tower, no groups, one input channel; a bias for each channel.
    by_hand = (
        (11 * 11 * 1 * 96 + 96)
        + (5 * 5 * 96 * 256 + 256)
        + (3 * 3 * 256 * 384 + 384)
        + (3 * 3 * 384 * 384 + 384)
        + (3 * 3 * 384 * 256 + 256)
        + (6 * 6 * 256 * 4096 + 4096)
        + (4096 * 4096 + 4096)
    )
    # With three input channels and 1,000 classes this is the figure often quoted.
    assert by_hand + 2 * 11 * 11 * 96 + (4096 * 1000 + 1000) == 62_378_344
    assert count(parameters) == by_hand
    assert list(variables) == ["params"]


def test_batch_normalisation_replaces_the_bias():
    channels = (96, 256, 384, 384, 256, 4096, 4096)
    images = jnp.zeros((1, 224, 224, 1))
    shapes = [
        jax.eval_shape(AlexNet(batch_norm=norm).init, jax.random.key(0), images)
        for norm in (False, True)
    ]
    # A scale and an offset instead of a bias, and two statistics per channel.
    assert count(shapes[1]["params"]) - count(shapes[0]["params"]) == sum(channels)
    assert count(shapes[1]["batch_stats"]) == 2 * sum(channels)


def test_width_multiplies_all_channels():
    shapes = jax.eval_shape(
        AlexNet(width=0.25).init, jax.random.key(0), jnp.zeros((1, 224, 224, 1))
    )["params"]
    widths = [shapes[f"conv{n}"]["kernel"].shape[-1] for n in range(1, 6)]
    assert widths == [24, 64, 96, 96, 64]
    assert shapes["dense7"]["dense"]["kernel"].shape == (1024, 1024)
    named = AlexNet(width=0.25, dense_features=10)
    shapes = jax.eval_shape(named.init, jax.random.key(0), jnp.zeros((1, 224, 224, 1)))["params"]
    assert shapes["dense6"]["dense"]["kernel"].shape == (6 * 6 * 64, 10)
    assert shapes["dense7"]["dense"]["kernel"].shape == (10, 10)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_features_equal_those_of_plain_layers(batch_norm):
    network = AlexNet(**TINY, batch_norm=batch_norm)
    variables, images = variables_of(network), pictures()
    # Keys change nothing in evaluation.
    out = evaluating(network)(variables, images, keys=keys())
    expected = jax.jit(plain_alexnet, static_argnums=(2, 3))(variables, images, 2, PADDINGS)
    assert out.shape == (COUNT, 16)
    assert np.count_nonzero(expected) > 16
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "layer, inputs",
    [
        (Conv(48, 11), (jnp.zeros((1, 11, 11, 1)), False)),
        (Conv(24, 5), (jnp.zeros((1, 5, 5, 16)), False)),
        (Dense(64, 0.5, True), (jnp.zeros((1, 128)), False, None)),
    ],
)
def test_fresh_kernels_keep_the_variance(layer, inputs):
    # He's rule before a ReLU: variance 2 / fan-in, also with one input channel.
    flat = traverse_util.flatten_dict(layer.init(jax.random.key(0), *inputs)["params"])
    (kernel,) = (leaf for path, leaf in flat.items() if path[-1] == "kernel")
    assert float(kernel.var()) * math.prod(kernel.shape[:-1]) == pytest.approx(2, rel=0.1)


def test_statistics_change_only_in_training():
    network = AlexNet(**TINY)
    variables, images = variables_of(network), pictures()
    before = traverse_util.flatten_dict(variables["batch_stats"])
    # No `mutable` here: flax would refuse a change.
    evaluated = evaluating(network)(variables, images)
    out, changed = training(network)(variables, images, keys())
    after = traverse_util.flatten_dict(changed["batch_stats"])
    assert all(np.abs(after[path] - before[path]).max() > 0 for path in before)
    # By hand for the first layer: a tenth of the batch's mean and variance.
    stem = jax.lax.conv_general_dilated(
        images, variables["params"]["conv1"]["kernel"], (2, 2), [(2, 2)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    for name, seen in (("mean", stem.mean((0, 1, 2))), ("var", stem.var((0, 1, 2)))):
        path = ("conv1", "norm", name)
        np.testing.assert_allclose(after[path], 0.9 * before[path] + 0.1 * seen, rtol=1e-4)
    # Training uses the batch's own statistics, evaluation the stored ones.
    assert np.abs(out - evaluated).max() > 1e-3


def test_four_devices_share_the_batch_statistics():
    variables, images = variables_of(AlexNet(**TINY)), pictures()
    out, changed = training(AlexNet(**TINY))(variables, images, keys())

    def train(variables, images, numbers):
        network = AlexNet(**TINY, axis_name=AXIS)
        own = keys()[numbers]
        return network.apply(variables, images, train=True, keys=own, mutable=["batch_stats"])

    on_four = over_devices(train, inputs=(WHOLE, SPLIT, SPLIT), outputs=(SPLIT, WHOLE))
    parts, changed_on_four = on_four(variables, *split((images, np.arange(COUNT)), 4))
    np.testing.assert_allclose(np.reshape(parts, out.shape), out, rtol=1e-3, atol=1e-4)
    for a, b in zip(jax.tree.leaves(changed), jax.tree.leaves(changed_on_four), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_dropout_follows_the_sketch():
    network = AlexNet(**TINY)
    variables, images = variables_of(network), pictures()
    train = training(network)
    dropped = np.asarray(train(variables, images, keys())[0])
    # A sketch's output depends on its key and picture, wherever it is in the batch.
    order = np.random.default_rng(0).permutation(COUNT)
    turned = train(variables, images[order], keys()[order])[0]
    np.testing.assert_allclose(turned, dropped[order], atol=1e-4)
    assert np.abs(train(variables, images, keys(seed=4))[0] - dropped).max() > 0.01
    # Both layers drop half of their features, with different masks from the sketch's key.
    masks = [
        np.stack(
            [jax.random.bernoulli(jax.random.fold_in(key, layer), 0.5, (16,)) for key in keys()]
        )
        for layer in (0, 1)
    ]
    assert (masks[0] != masks[1]).any(1).all()
    assert not dropped[~masks[1]].any()
    assert dropped[masks[1]].any()


def test_bfloat16_keeps_float32_parameters():
    network = AlexNet(**TINY, dtype=jnp.bfloat16)
    fresh = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, SIZE, SIZE, 1)))
    assert {leaf.dtype for leaf in jax.tree.leaves(fresh)} == {jnp.dtype("float32")}
    variables, images = variables_of(network), pictures()
    _, kept = jax.eval_shape(
        lambda *inputs: network.apply(*inputs, capture_intermediates=True), variables, images
    )
    assert kept["intermediates"]["conv3"]["__call__"][0].dtype == jnp.bfloat16
    assert kept["intermediates"]["dense6"]["__call__"][0].dtype == jnp.bfloat16
    lowered = jax.jit(network.apply).lower(variables, images).as_text().splitlines()
    layers = [line for line in lowered if re.search(r"stablehlo\.(convolution|dot_general)", line)]
    # Five convolutions and two dense layers; a float32 kernel would make its layer slow.
    assert len(layers) == 7
    for layer in layers:
        assert re.findall(r"tensor<[0-9x]*x(\w+)>", layer) == ["bf16"] * 3
    out = evaluating(network)(variables, images)
    assert out.dtype == jnp.float32
    exact = evaluating(AlexNet(**TINY))(variables, images)
    assert np.abs(out - exact).max() < 0.05 * np.abs(exact).max()
    assert np.abs(out - exact).max() > 0
