"""ResNet-50: the published sizes, and XLA's plain layers in torchvision's order as oracle."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from plain_layers import count, random_variables, sizes_of

from sketchjax.models import resnet
from sketchjax.models.resnet import Bottleneck, ResNet50
from sketchjax.parallel import AXIS, SPLIT, WHOLE, over_devices, split

TINY = {"width": 0.05}
STEM = 7 * 7 * 64


@pytest.fixture
def few_blocks(monkeypatch):
    """Blocks of each sort, but none that are alike: 4 of 16 to compile."""
    monkeypatch.setattr(resnet, "STAGES", ((2, 64), (2, 128)))


def variables_of(module, images):
    shapes = jax.eval_shape(partial(module.init, train=False), jax.random.key(0), images)
    return random_variables(shapes, gain=1.0)


def pictures(count=4, size=40):
    return np.random.default_rng(0).random((count, size, size, 1)).astype(np.float32)


def plain_conv(variables, name, images, stride, padding, train):
    """XLA's convolution, then batch normalisation from its formula."""
    own = variables["params"][name]
    images = lax.conv_general_dilated(
        images, own["kernel"], (stride, stride), [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"), precision=lax.Precision.HIGHEST,
    )  # fmt: skip
    kept = variables["batch_stats"][name]["norm"]
    mean, var = kept["mean"], kept["var"]
    if train:
        mean, var = images.mean((0, 1, 2)), images.var((0, 1, 2))
    return (images - mean) / jnp.sqrt(var + 1e-5) * own["norm"]["scale"] + own["norm"]["bias"]


def plain_block(variables, images, stride, train):
    out = jnp.maximum(plain_conv(variables, "conv1", images, stride, 0, train), 0)
    out = jnp.maximum(plain_conv(variables, "conv2", out, 1, 1, train), 0)
    out = plain_conv(variables, "conv3", out, 1, 0, train)
    if "shortcut" in variables["params"]:
        images = plain_conv(variables, "shortcut", images, stride, 0, train)
    return jnp.maximum(out + images, 0)


def plain_resnet(variables, images, stem_stride, train):
    images = jnp.maximum(plain_conv(variables, "stem", images, stem_stride, 3, train), 0)
    images = lax.reduce_window(
        images, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), (1, 1), (1, 1), (0, 0))
    )
    for stage, (blocks, _) in enumerate(resnet.STAGES, 1):
        for block in range(1, blocks + 1):
            name = f"stage{stage}_block{block}"
            own = {part: tree[name] for part, tree in variables.items()}
            images = plain_block(own, images, 2 if stage > 1 and block == 1 else 1, train)
    return images.mean((1, 2))


def test_published_sizes_at_224_px():
    variables, out, kept = sizes_of(ResNet50(), 224)
    sides = {}
    kept.pop("__call__")
    for name, found in kept.items():
        sides.setdefault(name.split("_block")[0], []).append(found["__call__"][0].shape[1:])
    # He et al., table 1: conv1 112, then 56, 28, 14 and 7 with 3, 4, 6 and 3 blocks.
    assert sides == {
        "stem": [(112, 112, 64)],
        "stage1": [(56, 56, 256)] * 3,
        "stage2": [(28, 28, 512)] * 4,
        "stage3": [(14, 14, 1024)] * 6,
        "stage4": [(7, 7, 2048)] * 3,
    }
    assert out.shape == (1, 2048)
    assert out.dtype == jnp.float32
    # torchvision's resnet50: three input channels, 1,000 classes.
    assert count(variables["params"]) + 2 * STEM + 2048 * 1000 + 1000 == 25_557_032
    # 53 convolutions, with a mean and a variance for each of their channels.
    kernels = [leaf for leaf in jax.tree.leaves(variables["params"]) if leaf.ndim == 4]
    assert len(kernels) == 53
    assert count(variables["batch_stats"]) == 2 * sum(leaf.shape[-1] for leaf in kernels)


def test_the_first_convolution_has_the_stride():
    _, _, kept = sizes_of(ResNet50(), 224)
    block = kept["stage2_block1"]
    sides = {name: block[name]["__call__"][0].shape[1] for name in ("conv1", "conv2", "shortcut")}
    assert sides == {"conv1": 28, "conv2": 28, "shortcut": 28}
    # Only the first block of a stage changes the shape.
    shortcuts = [name for name, found in kept.items() if "shortcut" in found]
    assert sorted(shortcuts) == [f"stage{n}_block1" for n in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    "stem_stride, size, last", [(2, 48, 2), (1, 48, 3), (2, 64, 2), (4, 224, 4), (2, 1, 1)]
)
def test_small_pictures_leave_the_expected_sizes(stem_stride, size, last):
    _, out, kept = sizes_of(ResNet50(width=0.25, stem_stride=stem_stride), size)
    assert kept["stage4_block3"]["__call__"][0].shape == (1, last, last, 512)
    assert out.shape == (1, 512)
    assert size >= ResNet50.smallest_size(stem_stride)


@pytest.mark.usefixtures("few_blocks")
@pytest.mark.parametrize("train", [False, True])
def test_features_equal_those_of_plain_layers(train):
    network, images = ResNet50(**TINY), pictures()
    variables = variables_of(network, images)
    run = jax.jit(lambda v, x: network.apply(v, x, train=train, mutable=["batch_stats"])[0])
    expected = jax.jit(plain_resnet, static_argnums=(2, 3))(variables, images, 2, train)
    assert np.count_nonzero(expected) > expected.size / 2
    np.testing.assert_allclose(run(variables, images), expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("stride, side", [(1, 5), (2, 5), (2, 4), (1, 2)])
def test_block_gradients_equal_those_of_plain_layers(stride, side):
    block = Bottleneck(3, 8, stride, None, jnp.float32)
    random = np.random.default_rng(2)
    images = random.normal(size=(4, side, side, 8 if stride == 1 else 6)).astype(np.float32)
    variables = variables_of(block, images)

    def ours(params, images):
        own = {**variables, "params": params}
        out, _ = block.apply(own, images, True, mutable=["batch_stats"])
        return jnp.sin(out).sum()

    def plain(params, images):
        own = {**variables, "params": params}
        return jnp.sin(plain_block(own, images, stride, True)).sum()

    pairs = [jax.jit(jax.grad(f, (0, 1)))(variables["params"], images) for f in (ours, plain)]
    for a, b in zip(*map(jax.tree.leaves, pairs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


def test_settings_of_other_encoders_change_nothing():
    plain = sizes_of(ResNet50(**TINY), 40)
    others = ResNet50(**TINY, dense_features=10, batch_norm=False, dropout=0.9)
    assert jax.tree.map(lambda leaf: leaf.shape, sizes_of(others, 40)) == jax.tree.map(
        lambda leaf: leaf.shape, plain
    )


@pytest.mark.usefixtures("few_blocks")
def test_four_devices_share_the_batch_statistics():
    images = pictures(8, 24)
    variables = variables_of(ResNet50(**TINY), images)

    def train(network, variables, images):
        return network.apply(variables, images, train=True, mutable=["batch_stats"])

    out, changed = jax.jit(lambda v, x: train(ResNet50(**TINY), v, x))(variables, images)
    on_four = over_devices(
        lambda v, x: train(ResNet50(**TINY, axis_name=AXIS), v, x),
        inputs=(WHOLE, SPLIT),
        outputs=(SPLIT, WHOLE),
    )
    parts, changed_on_four = on_four(variables, split(images, 4))
    np.testing.assert_allclose(np.reshape(parts, out.shape), out, rtol=1e-2, atol=1e-2)
    for a, b in zip(jax.tree.leaves(changed), jax.tree.leaves(changed_on_four), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-3)


def test_bfloat16_keeps_float32_parameters():
    network = ResNet50(**TINY, dtype=jnp.bfloat16)
    variables, out, kept = sizes_of(network, 40)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert kept["stage3_block2"]["__call__"][0].dtype == jnp.bfloat16
    assert out.dtype == jnp.float32
