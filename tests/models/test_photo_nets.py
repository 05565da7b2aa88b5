"""Nets made for photos: published sizes, PyTorch's outputs as oracle, and how they train."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_layers import count, random_variables
from torch_weights import NETS, OUTPUTS, pictures, shapes_of, state_dict

from sketchjax.models import efficientnet_lite, shufflenet, torch_resnet
from sketchjax.models.alexnet import AlexNet
from sketchjax.models.backbone import DEVIATION, MEAN, as_imagenet
from sketchjax.models.efficientnet_lite import EfficientNetLite, blocks_of
from sketchjax.models.pretrained import variables_from
from sketchjax.models.resnet import ResNet50
from sketchjax.models.shufflenet import ShuffleNetV2
from sketchjax.models.sketch_a_net import SketchANet
from sketchjax.models.torch_resnet import TorchResNet

EACH = pytest.mark.parametrize("name", NETS)
# With their classifier of 1,000 classes. Lite: efficientnet_lite_pytorch; the others: torchvision.
PARAMETERS = {
    "efficientnet-lite0": 4_652_008,
    "efficientnet-lite1": 5_416_680,
    "efficientnet-lite2": 6_092_072,
    "shufflenet_v2_x0_5": 1_366_792,
    "shufflenet_v2_x1_0": 2_278_604,
    "shufflenet_v2_x1_5": 3_503_624,
    "shufflenet_v2_x2_0": 7_393_996,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
}
# One of each kind, as small as it gets.
KINDS = [EfficientNetLite(), ShuffleNetV2(times="0.5"), TorchResNet(depth="18")]
EACH_KIND = pytest.mark.parametrize("encoder", KINDS, ids=lambda e: type(e).__name__)


@EACH
def test_parameters_are_those_published(name):
    shapes = shapes_of(NETS[name])
    features = json.loads(OUTPUTS.read_text())[name]["features"]
    # Ours have no classifier: a weight for each feature, and a bias, of 1,000 classes.
    assert count(shapes["params"]) + (features + 1) * 1000 == PARAMETERS[name]
    # Two statistics for each channel that is normalised, which has a scale and a bias too.
    norms = [leaf for leaf in jax.tree.leaves(shapes["params"]) if leaf.ndim == 1]
    assert count(shapes["batch_stats"]) == count(norms)


@EACH
def test_features_equal_those_of_pytorch(name):
    kept = json.loads(OUTPUTS.read_text())[name]
    encoder = NETS[name]
    variables = variables_from(encoder, state_dict(encoder), shapes_of(encoder), name)
    features = jax.jit(encoder.apply)(variables, pictures())
    assert features.shape == (len(pictures()), kept["features"])
    assert features.dtype == jnp.float32
    scale = np.abs(features).max()
    values = np.array(kept["values"])
    # Some of the places are 0 after the last ReLU.
    assert (np.abs(values) > 1e-2 * scale).mean() > 0.6
    np.testing.assert_allclose(features[:, np.array(kept["places"])], values, atol=1e-5 * scale)


def last_map(encoder, side):
    """The shape of the last layer's output for a picture of this side."""

    def run(variables, images):
        return encoder.apply(variables, images, capture_intermediates=True)[1]["intermediates"]

    # Parameters do not depend on the picture's side.
    kept = jax.eval_shape(run, shapes_of(encoder), jnp.zeros((1, side, side, 3)))
    return kept["last"]["__call__"][0]


@pytest.mark.parametrize("size, side, wide", [("0", 224, 7), ("1", 240, 8), ("2", 260, 9)])
def test_the_last_map_of_efficientnet_lite(size, side, wide):
    encoder = EfficientNetLite(size=int(size))
    assert last_map(encoder, side).shape == (1, wide, wide, 1280)
    # B0 has 16 and B1 23 blocks; in Lite, the first and the last stage keep their one block.
    assert len(blocks_of(int(size))) == {"0": 16, "1": 23 - 2, "2": 23 - 2}[size]


@pytest.mark.parametrize("stride, side, wide", [(2, 224, 7), (2, 64, 2), (1, 64, 4), (4, 64, 1)])
def test_the_last_map_of_shufflenet(stride, side, wide):
    encoder = ShuffleNetV2(times="0.5", stem_stride=stride)
    assert last_map(encoder, side).shape == (1, wide, wide, 1024)


def test_ink_is_a_white_picture_with_dark_lines():
    ink = np.zeros((1, 2, 2, 1), np.float32)
    ink[0, 0, 0] = 1
    seen = as_imagenet(ink)
    white, black = (np.divide(np.subtract(v, MEAN), DEVIATION) for v in (1, 0))
    np.testing.assert_allclose(seen[0, 0, 0], black, rtol=1e-5)
    np.testing.assert_allclose(seen[0, 1, 1], white, rtol=1e-5)
    grey = np.repeat(1 - ink, 3, -1)
    np.testing.assert_array_equal(as_imagenet(grey), seen)


@pytest.mark.parametrize("kind", [AlexNet, SketchANet, ResNet50])
def test_encoders_of_drawings_read_colours_too(kind):
    shapes = [
        jax.eval_shape(kind().init, jax.random.key(0), jnp.zeros((1, 225, 225, channels)))
        for channels in (1, 3)
    ]
    stem = "stem" if kind is ResNet50 else "conv1"
    size, _, one, features = shapes[0]["params"][stem]["kernel"].shape
    assert one == 1
    more = count(shapes[1]["params"]) - count(shapes[0]["params"])
    assert more == 2 * size * size * features


@EACH_KIND
def test_ink_and_tiny_pictures_are_read(encoder):
    features = {
        jax.eval_shape(encoder.apply, shapes_of(encoder), jnp.zeros(shape)).shape[1]
        for shape in ((2, 40, 40, 1), (1, 1, 1, 3), (1, 224, 224, 3))
    }
    assert len(features) == 1


def loss_of(encoder, images, keys=None):
    def loss(params, statistics):
        variables = {"params": params, "batch_stats": statistics}
        features, changed = encoder.apply(
            variables, images, train=True, keys=keys, mutable=["batch_stats"]
        )
        return (features**2).mean(), (features, changed["batch_stats"])

    return loss


@pytest.fixture
def few_blocks(monkeypatch):
    """Blocks of each sort, but few that are alike: a tenth to compile."""
    monkeypatch.setattr(efficientnet_lite, "STAGES", ((1, 3, 1, 1, 16), (2, 5, 2, 6, 24)))
    monkeypatch.setattr(shufflenet, "BLOCKS", (2, 0, 0))
    monkeypatch.setitem(torch_resnet.BLOCKS, "18", (1, 2, 0, 0))


def first_variables(encoder, images):
    """Of the shapes that the encoder has now: random numbers that need no program."""
    return random_variables(jax.eval_shape(encoder.init, jax.random.key(0), images))


@EACH_KIND
@pytest.mark.usefixtures("few_blocks", "usual_emitters")
def test_a_step_in_a_scan_has_finite_gradients(encoder):
    images = np.random.default_rng(0).random((2, 4, 40, 40, 1), np.float32)
    variables = first_variables(encoder, images[0])

    @jax.jit
    def run(params, statistics):
        def step(statistics, images):
            gradient, (_, moved) = jax.grad(loss_of(encoder, images), has_aux=True)(
                params, statistics
            )
            return moved, gradient

        return jax.lax.scan(step, statistics, images)

    moved, gradients = jax.device_get(run(variables["params"], variables["batch_stats"]))
    for leaf in jax.tree.leaves((moved, gradients)):
        assert np.isfinite(leaf).all()
    kernels = [leaf for leaf in jax.tree.leaves(gradients) if leaf.ndim == 5]
    assert all(np.abs(leaf).max() > 0 for leaf in kernels)
    before = jax.device_get(jax.tree.leaves(variables["batch_stats"]))
    assert all((a != b).any() for a, b in zip(jax.tree.leaves(moved), before, strict=True))


@pytest.mark.usefixtures("few_blocks")
def test_frozen_statistics_and_dropped_paths():
    images = np.random.default_rng(0).random((4, 32, 32, 3), np.float32)
    keys = jax.random.split(jax.random.key(1), len(images))
    frozen = EfficientNetLite(frozen_norm=True, drop_path=0.0)
    variables = first_variables(frozen, images)
    both = variables["params"], variables["batch_stats"]
    train = jax.jit(lambda e: loss_of(e, images, keys)(*both)[1], static_argnums=0)
    features, statistics = train(frozen)
    for a, b in zip(
        jax.tree.leaves(statistics), jax.tree.leaves(variables["batch_stats"]), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(
        features, jax.jit(frozen.apply)(variables, images), rtol=1e-3, atol=1e-4
    )
    dropping, _ = train(frozen.clone(drop_path=0.5))
    assert np.isfinite(dropping).all()
    assert (np.abs(dropping - features).max(1) > 1e-2).any()


@EACH_KIND
def test_bfloat16_keeps_float32_parameters(encoder):
    own, images = encoder.clone(dtype=jnp.bfloat16), jnp.zeros((1, 40, 40, 3))
    shapes = shapes_of(own)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}
    out, kept = jax.eval_shape(lambda v: own.apply(v, images, capture_intermediates=True), shapes)
    assert kept["intermediates"]["stem"]["__call__"][0].dtype == jnp.bfloat16
    assert out.dtype == jnp.float32
