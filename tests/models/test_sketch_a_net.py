"""Sketch-a-Net: the published sizes, XLA's plain layers as oracle, the smallest picture."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_layers import count, plain_alexnet, random_variables, sizes_of

from sketchjax.models.alexnet import AlexNet
from sketchjax.models.sketch_a_net import SketchANet

TINY = {"width": 0.1, "stem_stride": 1}
COUNT, SIZE = 4, 40
PADDINGS = (0, 0, 1, 1, 1)  # of the convolutions


def variables_of(network):
    return random_variables(sizes_of(network, SIZE)[0])


def pictures():
    return np.random.default_rng(0).random((COUNT, SIZE, SIZE, 1)).astype(np.float32)


def test_published_sizes_at_225_px():
    """Yu et al., BMVC 2015, table 1: outputs 71, 35, 31, 15, 15, 15, 15, 7, and 512 twice."""
    variables, out, kept = sizes_of(SketchANet(batch_norm=False), 225)
    sides = {name: kept[name]["__call__"][0].shape for name in kept if name.startswith("conv")}
    assert sides == {
        "conv1": (1, 71, 71, 64),
        "conv2": (1, 31, 31, 128),
        "conv3": (1, 15, 15, 256),
        "conv4": (1, 15, 15, 256),
        "conv5": (1, 15, 15, 256),
    }
    assert out.shape == (1, 512)
    assert out.dtype == jnp.float32
    by_hand = (
        (15 * 15 * 1 * 64 + 64)
        + (5 * 5 * 64 * 128 + 128)
        + (3 * 3 * 128 * 256 + 256)
        + 2 * (3 * 3 * 256 * 256 + 256)
        + (7 * 7 * 256 * 512 + 512)
        + (512 * 512 + 512)
    )
    assert count(variables["params"]) == by_hand
    # With six input channels and 250 classes, as published: 8.6 million.
    assert by_hand + 5 * 15 * 15 * 64 + (512 * 250 + 250) == 8_580_666
    assert list(variables) == ["params"]


def test_batch_normalisation_replaces_the_bias():
    channels = (64, 128, 256, 256, 256, 512, 512)
    plain, normed = (sizes_of(SketchANet(batch_norm=norm), 225)[0] for norm in (False, True))
    assert count(normed["params"]) - count(plain["params"]) == sum(channels)
    assert count(normed["batch_stats"]) == 2 * sum(channels)


@pytest.mark.parametrize("dense_features, dense", [(None, 128), (10, 10)])
def test_dense_layers_cover_the_last_map(dense_features, dense):
    network = SketchANet(width=0.25, stem_stride=1, dense_features=dense_features)
    variables, out, _ = sizes_of(network, 48)
    # 48 -> 34 -> 16 -> 12 -> 5 -> 2.
    assert variables["params"]["dense6"]["dense"]["kernel"].shape == (2 * 2 * 64, dense)
    assert out.shape == (1, dense)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_features_equal_those_of_plain_layers(batch_norm):
    network = SketchANet(**TINY, batch_norm=batch_norm)
    variables, images = variables_of(network), pictures()
    keys = jax.random.split(jax.random.key(3), COUNT)
    # Keys change nothing in evaluation.
    out = jax.jit(network.apply)(variables, images, keys=keys)
    expected = jax.jit(plain_alexnet, static_argnums=(2, 3))(variables, images, 1, PADDINGS)
    assert out.shape == (COUNT, 51)
    assert np.count_nonzero(expected) > COUNT * 10
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)


def test_gradients_equal_those_of_plain_layers():
    network = SketchANet(**TINY, batch_norm=False, dropout=0.0)
    variables, images = variables_of(network), pictures()
    pairs = [
        jax.jit(jax.grad(lambda v, x, f=f: jnp.sin(f(v, x)).sum()))(variables, images)
        for f in (
            lambda v, x: network.apply(v, x, train=True),
            lambda v, x: plain_alexnet(v, x, 1, PADDINGS),
        )
    ]
    for a, b in zip(*map(jax.tree.leaves, pairs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * np.abs(b).max())


def test_dropout_follows_the_sketch():
    network = SketchANet(**TINY)
    variables, images = variables_of(network), pictures()
    keys = jax.random.split(jax.random.key(3), COUNT)
    out, _ = jax.jit(
        lambda v, x, k: network.apply(v, x, train=True, keys=k, mutable=["batch_stats"])
    )(variables, images, keys)
    kept = np.stack([jax.random.bernoulli(jax.random.fold_in(key, 1), 0.5, (51,)) for key in keys])
    assert not np.asarray(out)[~kept].any()
    assert np.asarray(out)[kept].any()


@pytest.mark.parametrize("encoder", [AlexNet, SketchANet])
@pytest.mark.parametrize("stem_stride", [1, 2, 3, 4])
def test_the_smallest_picture_leaves_one_position(encoder, stem_stride):
    smallest = encoder.smallest_size(stem_stride)
    network = encoder(width=0.1, stem_stride=stem_stride)
    kernel = sizes_of(network, smallest)[0]["params"]["dense6"]["dense"]["kernel"]
    assert kernel.shape[0] == 26  # 256 channels times a tenth, at one position


@pytest.mark.parametrize("stem_stride, smallest", [(1, 37), (3, 81)])
def test_a_smaller_picture_is_refused(stem_stride, smallest):
    network = SketchANet(width=0.1, stem_stride=stem_stride)
    with pytest.raises(ValueError, match=f"stem_stride={stem_stride}; draw it at {smallest} px or"):
        sizes_of(network, smallest - 1)
    sizes_of(network, smallest)


def test_bfloat16_keeps_float32_parameters():
    variables, out, kept = sizes_of(SketchANet(**TINY, dtype=jnp.bfloat16), SIZE)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert kept["conv3"]["__call__"][0].dtype == jnp.bfloat16
    assert out.dtype == jnp.float32
