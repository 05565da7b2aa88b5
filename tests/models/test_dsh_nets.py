"""Deep Sketch Hashing's nets: published sizes, layers by loops, and the kernels of both sides."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_layers import count, random_variables

from sketchjax.config import (
    architecture,
    default,
    encoder,
    set_encoders,
    set_photo_encoders,
    set_stages,
    stage,
)
from sketchjax.models.dsh import C2_NET, Convolution, DSHPhoto, DSHSketch, response_norm
from sketchjax.models.network import build

TINY = {"width": 0.05, "pooled": True}
BITS = 64


def shapes_of(net, *sides):
    inputs = [jnp.zeros((1, side, side, channels)) for side, channels in sides]
    return jax.eval_shape(net.init, jax.random.key(0), *inputs)


def test_parameters_at_the_published_size():
    sketch = shapes_of(DSHSketch(), (200, 1))["params"]
    photo = shapes_of(DSHPhoto(), (227, 3), (227, 1))["params"]
    convolutions = ((14, 1, 64), (3, 64, 128), (3, 128, 128), (3, 128, 256), (3, 256, 256))
    shared = sum(size**2 * before * after + after for size, before, after in convolutions)
    scales = 2 * (64 + 128 + 128 + 256 + 256)
    c1 = (
        (11 * 11 * 3 * 96 + 96)
        + (5 * 5 * 48 * 256 + 256)
        + (3 * 3 * 256 * 384 + 384)
        + (3 * 3 * 192 * 384 + 384)
        + (3 * 3 * 192 * 256 + 256)
    )
    of_map = 7 * 7 * 256
    sketch_dense = (of_map + 1) * 4096 + (4096 + 1) * 1024
    photo_dense = 2 * ((2 * of_map + 1) * 4096 + (2 * 4096 + 1) * 1024)
    assert count(sketch) == shared + scales + sketch_dense
    assert count(photo) == shared + scales + c1 + photo_dense
    hashes = (1024 + 1) * BITS + (2048 + 1) * BITS
    # The deploy file gives sketches in three equal channels; ours have one.
    as_published = count(sketch | photo) + hashes + 2 * 14 * 14 * 64
    assert as_published == shared + 2 * scales + c1 + sketch_dense + photo_dense + hashes + 25_088
    assert as_published == 281_566_528  # 281.6 million


def test_maps_at_the_published_size():
    def run(key, photo, contour):
        net = DSHPhoto()
        variables = net.init(key, photo, contour)
        return net.apply(variables, photo, contour, capture_intermediates=True)

    out, kept = jax.eval_shape(
        run, jax.random.key(0), jnp.zeros((1, 227, 227, 3)), jnp.zeros((1, 227, 227, 1))
    )
    kept = kept["intermediates"]
    sides = {name: kept[name]["__call__"][0].shape[1:] for name in kept if "conv" in name}
    assert {name: sides[name] for name in C2_NET} == {
        "conv1": (63, 63, 64),
        "conv2_1": (31, 31, 128),
        "conv2_2": (31, 31, 128),
        "conv3_1": (15, 15, 256),
        "conv3_2": (15, 15, 256),
    }
    assert [sides[f"photo_conv{n}"] for n in range(1, 6)] == [
        (55, 55, 96), (27, 27, 256), (13, 13, 384), (13, 13, 384), (13, 13, 256),
    ]  # fmt: skip
    assert out.shape == (1, 2048)


def test_a_grouped_convolution_by_its_definition():
    random = np.random.default_rng(0)
    images = random.normal(size=(2, 5, 5, 4)).astype(np.float32)
    layer = Convolution(6, 3, padding=1, groups=2, first_bias=0.5)
    variables = jax.jit(layer.init)(jax.random.key(0), images)
    kernel = np.asarray(variables["params"]["kernel"])
    assert kernel.shape == (3, 3, 2, 6)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = np.full((2, 5, 5, 6), 0.5)
    for y, x, o in np.ndindex(5, 5, 6):
        group = slice(0, 2) if o < 3 else slice(2, 4)
        window = padded[:, y : y + 3, x : x + 3, group]
        expected[:, y, x, o] += (window * kernel[..., o]).sum((1, 2, 3))
    np.testing.assert_allclose(jax.jit(layer.apply)(variables, images), expected, atol=1e-5)


def test_response_normalisation_by_its_formula():
    images = 50 * np.random.default_rng(0).normal(size=(1, 2, 2, 7)).astype(np.float32)
    expected = np.empty_like(images)
    for c in range(7):
        squares = [images[..., i] ** 2 for i in range(max(c - 2, 0), min(c + 3, 7))]
        expected[..., c] = images[..., c] / (1 + 1e-4 / 5 * sum(squares)) ** 0.75
    np.testing.assert_allclose(jax.jit(response_norm)(images), expected, rtol=1e-5)


def test_fresh_values_are_those_of_the_deploy_files():
    inputs = jnp.zeros((1, 63, 63, 3)), jnp.zeros((1, 63, 63, 1))
    variables = jax.jit(DSHPhoto(width=0.1, pooled=True).init)(jax.random.key(0), *inputs)
    params = jax.device_get(variables["params"])
    biases = {name: float(own["bias"].max()) for name, own in params.items() if "kernel" in own}
    assert {name for name, bias in biases.items() if bias == 0} == {"photo_conv1", "photo_conv3"}
    assert {biases[name] for name in biases if name not in ("photo_conv1", "photo_conv3")} == {1}
    for name, own in params.items():
        if "kernel" in own:
            deviation = 0.005 if "dense" in name else 0.01
            np.testing.assert_allclose(own["kernel"].std(), deviation, rtol=0.15)


def test_fusion_joins_both_branches_twice():
    shapes = shapes_of(DSHPhoto(), (227, 3), (227, 1))["params"]
    for branch in ("token", "photo"):
        assert shapes[f"{branch}_dense_a"]["kernel"].shape == (2 * 7 * 7 * 256, 4096)
        assert shapes[f"{branch}_dense_b"]["kernel"].shape == (2 * 4096, 1024)
    pooled = shapes_of(DSHPhoto(pooled=True), (227, 3), (227, 1))["params"]
    assert pooled["token_dense_a"]["kernel"].shape == (512, 4096)


def test_dropout_has_a_rate_of_its_own_for_each_branch():
    picture, contour = jnp.ones((4, 63, 63, 3)) / 2, jnp.zeros((4, 63, 63, 1))
    keys = jax.random.split(jax.random.key(0), 4)
    rates = {f"{b}_dropout_{layer}": 0.0 for b in ("token", "photo") for layer in "ab"}

    plain = DSHPhoto(width=0.25, pooled=True, **rates)
    variables = jax.jit(plain.init)(jax.random.key(1), picture, contour)

    def zeros(**changed):
        net = plain.clone(**changed)
        out, _ = jax.jit(partial(net.apply, train=True, mutable=["batch_stats"]))(
            variables, picture, contour, keys=keys
        )
        tokens, photos = np.split(np.asarray(out), 2, 1)
        return (tokens == 0).mean(), (photos == 0).mean()

    assert zeros() == (0, 0)
    tokens, photos = zeros(token_dropout_b=0.25, photo_dropout_b=0.75)
    assert 0.2 < tokens < 0.3
    assert 0.7 < photos < 0.8


def both_sides(shares):
    config = default()
    set_encoders(config, drawn=encoder("dsh_sketch", **TINY))
    set_photo_encoders(config, seen=encoder("dsh_photo", shares=shares, **TINY))
    trains = ("encoders", "head", "photo_encoders", "photo_head")
    set_stages(config, stage("both", trains=trains, inputs=("sketch", "photo")))
    config.drawing.size, config.data.points, config.photos.size = 64, 5, 64
    return build(architecture(config, ["cat", "dog"], 20.0))


@pytest.mark.parametrize("shares", ["", "drawn"])
def test_the_sides_share_kernels_but_no_statistics(shares):
    network = both_sides(shares)
    shapes = network.shapes()
    parts = network.layers.parts_of(("drawn", "seen", "head", "photo_head"), "head")
    encoders = ("drawn",) if shares else ("drawn", "seen")
    assert parts == (*encoders, "hash", "photo_hash", "classifier")
    assert {*parts} <= {*shapes["params"]}
    drawn = shapes["params"]["drawn"]
    assert {*C2_NET} <= {*drawn}
    assert "sketch_conv1_norm" in drawn
    assert ("token_conv1_norm" in drawn) == bool(shares)
    assert ("seen" in shapes["params"]) == (not shares)
    norms = {name for name in shapes["batch_stats"]["drawn"] if name.endswith("_norm")}
    assert len(norms) == (10 if shares else 5)


def test_both_sides_move_the_shared_kernels():
    network = both_sides("drawn")
    variables = random_variables(network.shapes())
    random = np.random.default_rng(0)

    def gradient(side, output):
        inputs = jax.tree.map(
            lambda leaf: random.integers(1, 5, (3, *leaf.shape[1:])).astype(leaf.dtype),
            network.blank(side),
        )

        def loss(params):
            out = network.apply({**variables, "params": params}, inputs, output)
            return (out.features**2).sum()

        return jax.device_get(jax.jit(jax.grad(loss))(variables["params"])["drawn"])

    sketch, photo = gradient("sketch", "head"), gradient("photo", "photo_head")
    for own in (sketch, photo):
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(own))
        assert np.abs(own["conv1"]["kernel"]).max() > 0
    assert np.abs(sketch["token_conv1_norm"]["scale"]).max() == 0
    assert np.abs(photo["sketch_conv1_norm"]["scale"]).max() == 0


@pytest.mark.parametrize("net, side", [(DSHSketch, 56), (DSHPhoto, 63)])
def test_the_smallest_picture_leaves_one_position(net, side):
    assert net.smallest_size(1) == side

    inputs = [(side, 1)] if net is DSHSketch else [(side, 3), (side, 1)]
    shapes = shapes_of(net(width=0.25), *inputs)["params"]
    branch, maps = ("sketch", 1) if net is DSHSketch else ("token", 2)
    # One position with 64 channels in each map.
    assert shapes[f"{branch}_dense_a"]["kernel"].shape[0] == maps * 64
