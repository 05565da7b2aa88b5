"""The count of FLOPs against XLA's own, and against numbers worked out by hand."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from benchmarks import flops, workload
from sketchjax.config import architecture
from sketchjax.models import network as networks
from sketchjax.models.table import HEAD
from sketchjax.ops import convolution

# XLA counts what we leave out too, 1.2 % at most: normalisation, rectifiers, pooling, gates.
WITHIN = 0.02


def xla_flops(config, classes: int, output: str) -> float:
    """XLA's count of one sketch's forward pass, of one point: no padding, and no loop to count."""
    config.model.encoders.rnn.implementation = "linen"
    categories = [str(label) for label in range(classes)]
    network = networks.build(architecture(config, categories, 1.0))
    side = config.drawing.size
    views = {
        "picture": (jax.ShapeDtypeStruct((1, side, side, 1), jnp.float32),),
        "sequence": (
            jax.ShapeDtypeStruct((1, 1, 4), jnp.float32),
            jax.ShapeDtypeStruct((1,), jnp.int32),
        ),
    }

    def forward(variables, views):
        return network.layers.apply(variables, views, output).logits

    # Before optimisation, which folds the zeros around a picture into the convolution: XLA then
    # leaves out the products with them, a sixth of all at these sizes.
    return jax.jit(forward).lower(network.shapes(), views).cost_analysis()["flops"]


def native_convolution(images, kernel, *, stride=1, padding=0):
    """Without the blocks that the CPU's way pads the first kernel to."""
    sides = (padding, padding)
    images = jnp.pad(images, ((0, 0), sides, sides, (0, 0)))
    strides = (stride, stride)
    return lax.conv_general_dilated(
        images, kernel, strides, "VALID", dimension_numbers=convolution.LAYOUT
    )


@pytest.mark.parametrize("output", ("cnn", "rnn"))
def test_forward_count_is_xlas(monkeypatch, output):
    monkeypatch.setattr("sketchjax.models.layers.conv2d", native_convolution)
    config = workload.load_config("sample", "float32")
    counted = flops.forward_flops(config, 55, 1.0, output)
    assert counted == pytest.approx(xla_flops(config, 55, output), rel=WITHIN)


def test_alexnet_of_the_paper_by_hand():
    """Side after the stem (224 + 4 - 11) // 4 + 1 = 55, then 27, 13 and 6."""
    config = workload.load_config("paper", "bfloat16")
    products = (
        55**2 * 11**2 * 96
        + 27**2 * 25 * 96 * 256
        + 13**2 * 9 * (256 * 384 + 384 * 384 + 384 * 256)
        + 6**2 * 256 * 4096
        + 4096 * 4096
        + 4096 * 345
    )
    assert flops.forward_flops(config, 345, 46.0, "cnn") == 2 * products


def test_recurrent_work_grows_with_points():
    config = workload.load_config("paper", "bfloat16")
    one, two = (flops.forward_flops(config, 345, length, "rnn") for length in (1.0, 2.0))
    of_a_point = 2 * 2 * 3 * 512 * ((4 + 512) + (1024 + 512))
    assert two - one == of_a_point
    # The gradient takes twice the forward pass, but the first layer's input needs none.
    saved = 2 * 2 * 3 * 512 * 4
    assert flops.training_flops(config, 345, 1.0, "rnn") == 3 * one - saved


def test_full_stage_has_an_extra_forward_pass():
    config = workload.load_config("sample", "float32")
    more = flops.training_flops(config, 55, 40.0, "full") - flops.training_flops(
        config, 55, 40.0, "joint"
    )
    assert more == flops.forward_flops(config, 55, 40.0, HEAD)
