"""The count of FLOPs against XLA's own, and against numbers worked out by hand."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from benchmarks import flops, workload
from sketchjax.models import network as networks
from sketchjax.ops import convolution

# XLA counts what we leave out too, 1.2 % at most: normalisation, rectifiers, pooling, gates.
WITHIN = 0.02


def xla_flops(config, classes: int, branch: str) -> float:
    """XLA's count of one sketch's forward pass, of one point: no padding, and no loop to count."""
    config.model.rnn.implementation = "linen"
    model = networks.build(config, classes=classes, offset_scale=1.0, axis_name=None).model
    side = config.drawing.size
    inputs = (
        jax.ShapeDtypeStruct((1, side, side, 1), jnp.float32),
        jax.ShapeDtypeStruct((1, 1, 4), jnp.float32),
        jax.ShapeDtypeStruct((1,), jnp.int32),
    )
    variables = jax.eval_shape(
        lambda *inputs: model.init(jax.random.key(0), *inputs, method="all_branches"), *inputs
    )

    def forward(variables, inputs):
        return model.apply(variables, *inputs, branch=branch).logits

    # Before optimisation, which folds the zeros around a picture into the convolution: XLA then
    # leaves out the products with them, a sixth of all at these sizes.
    return jax.jit(forward).lower(variables, inputs).cost_analysis()["flops"]


def native_convolution(images, kernel, *, stride=1, padding=0):
    """Without the blocks that the CPU's way pads the first kernel to."""
    sides = (padding, padding)
    images = jnp.pad(images, ((0, 0), sides, sides, (0, 0)))
    strides = (stride, stride)
    return lax.conv_general_dilated(
        images, kernel, strides, "VALID", dimension_numbers=convolution.LAYOUT
    )


@pytest.mark.parametrize("branch", ("cnn", "rnn"))
def test_forward_count_is_xlas(monkeypatch, branch):
    monkeypatch.setattr("sketchjax.models.layers.conv2d", native_convolution)
    config = workload.load_config("sample", "float32")
    counted = flops.forward_flops(config, 55, 1.0, branch)
    assert counted == pytest.approx(xla_flops(config, 55, branch), rel=WITHIN)


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


def test_recurrent_work_grows_with_points_and_its_gradient_is_twice_the_forward_pass():
    config = workload.load_config("paper", "bfloat16")
    one, two = (flops.forward_flops(config, 345, length, "rnn") for length in (1.0, 2.0))
    of_a_point = 2 * 2 * 3 * 512 * ((4 + 512) + (1024 + 512))
    assert two - one == of_a_point
    # The first layer's input needs no gradient.
    saved = 2 * 2 * 3 * 512 * 4
    assert flops.training_flops(config, 345, 1.0, "rnn") == 3 * one - saved


def test_full_stage_has_one_forward_pass_more():
    config = workload.load_config("sample", "float32")
    more = flops.training_flops(config, 55, 40.0, "full") - flops.training_flops(
        config, 55, 40.0, "joint"
    )
    assert more == flops.forward_flops(config, 55, 40.0, "whole")
