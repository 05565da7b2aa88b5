"""Floating-point operations of the model, counted from layer shapes; the peak, measured.

One multiplication and one addition are two. Only matmuls and convolutions count: gates, rectifiers,
normalisation, pooling, drawing and augmentation are not counted, nor is padding, of sequences and
of pictures' blocks: the count is the work that the model asks for, whoever computes it.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from benchmarks.timing import seconds_of
from benchmarks.workload import is_tiny
from sketchjax.config import Config
from sketchjax.models.table import HEAD


class Layer(NamedTuple):
    """A layer's forward pass of one sketch. first: it reads the input, which needs no gradient."""

    part: str
    forward: float
    first: bool = False


# Kernel, channels, stride (None: the stem's), padding, and whether pooling 3 / 2 follows.
_CONVOLUTIONS = (
    (11, 96, None, 2, True),
    (5, 256, 1, 2, True),
    (3, 384, 1, 1, False),
    (3, 384, 1, 1, False),
    (3, 256, 1, 1, True),
)


def layers(config: Config, classes: int, length: float) -> list[Layer]:
    """All layers of both encoders and the heads; length: mean points of a sketch."""
    model = config.model
    cnn, rnn = model.encoders.cnn, model.encoders.rnn
    found = []
    side, channels = config.drawing.size, 1
    for number, (kernel, full, stride, padding, pooled) in enumerate(_CONVOLUTIONS):
        features = round(full * cnn.width)
        side = (side + 2 * padding - kernel) // (stride or cnn.stem_stride) + 1
        work = 2 * side * side * kernel * kernel * channels * features
        found.append(Layer("cnn", work, first=number == 0))
        channels = features
        side = (side - 3) // 2 + 1 if pooled else side
    width, dense = side * side * channels, cnn.dense_features or round(4096 * cnn.width)
    found += [Layer("cnn", 2 * width * dense), Layer("cnn", 2 * dense * dense)]
    width = 4
    for number in range(rnn.layers):
        # Two directions, three gates; from the input and from the state.
        found.append(Layer("rnn", 2 * length * 2 * width * 3 * rnn.hidden, first=number == 0))
        found.append(Layer("rnn", 2 * length * 2 * rnn.hidden * 3 * rnn.hidden))
        width = 2 * rnn.hidden
    found.append(Layer("cnn_head", 2 * dense * classes))
    found.append(Layer("rnn_head", 2 * width * classes))
    joined = dense + width
    if model.fusion_features:
        found.append(Layer("both_head", 2 * joined * model.fusion_features))
        joined = model.fusion_features
    found.append(Layer("both_head", 2 * joined * model.bits + 2 * model.bits * classes))
    return found


# What each output needs.
PARTS = {
    "cnn": ("cnn", "cnn_head"),
    "rnn": ("rnn", "rnn_head"),
    HEAD: ("cnn", "rnn", "both_head"),
}


def forward_flops(config: Config, classes: int, length: float, output: str) -> float:
    """Of one sketch's forward pass to an output."""
    return sum(
        layer.forward for layer in layers(config, classes, length) if layer.part in PARTS[output]
    )


def training_flops(config: Config, classes: int, length: float, stage: str) -> float:
    """Of one sketch in a stage: forward, the weights' gradient, the inputs' where one is needed.

    `full` has one forward pass more, for the codes.
    """
    output = stage if stage in PARTS else HEAD
    own = [layer for layer in layers(config, classes, length) if layer.part in PARTS[output]]
    work = sum(layer.forward * (2 if layer.first else 3) for layer in own)
    return work + (forward_flops(config, classes, length, output) if stage == "full" else 0)


def measured_peak(dtype: str, seconds: float = 1.0) -> float:
    """FLOP/s of the fastest of many square matmuls of this device in this dtype."""
    side = 256 if is_tiny() else 2048 if jax.default_backend() == "cpu" else 8192
    one, other = jax.random.normal(jax.random.key(0), (2, side, side)).astype(jnp.dtype(dtype))
    product = jax.jit(jnp.matmul)

    def work() -> None:
        product(one, other).block_until_ready()

    work()
    least, spent = float("inf"), 0.0
    while spent < seconds:
        took = seconds_of(work)
        least, spent = min(least, took), spent + took
    return 2 * side**3 / least
