"""The network as the trainer and the encoder use it: from points to features and logits."""

from dataclasses import dataclass
from typing import Any, cast

import jax
import jax.numpy as jnp

from sketchjax.config import Config
from sketchjax.models.alexnet import AlexNet
from sketchjax.models.bigru import BiGRU
from sketchjax.models.resnet import ResNet50
from sketchjax.models.sketch_a_net import SketchANet
from sketchjax.models.two_branch import Output, TwoBranch
from sketchjax.ops.augment import augment
from sketchjax.ops.draw import bounding_center, rasterize, sequence

# What reads the picture, by the name that `model.cnn.encoder` takes.
ENCODERS = {"alexnet": AlexNet, "sketch_a_net": SketchANet, "resnet50": ResNet50}


@dataclass(frozen=True)
class Network:
    """The model with the drawing before it.

    size, stroke_width: of the raster in pixels; offset_scale: what the sequence's offsets are
    divided by; augmentation: the strengths that `ops.augment.augment` takes.
    """

    model: TwoBranch
    size: int
    stroke_width: float
    offset_scale: float
    augmentation: dict[str, float]

    def initialise(self, key: jax.Array, points: int) -> Any:
        """All parameters and batch statistics, for sketches of `points` points."""
        return self.model.init(
            key,
            jnp.zeros((1, self.size, self.size, 1)),
            jnp.zeros((1, points, 4)),
            jnp.ones((1,), jnp.int32),
            method="all_branches",
        )

    def apply(self, variables: dict, points: jax.Array, length: jax.Array, branch: str) -> Output:
        """Evaluation: points u8[b t 3], length i[b]; no augmentation, no dropout."""
        inputs = self.inputs(points, length, branch)
        return cast(Output, self.model.apply(variables, *inputs, branch=branch))

    def fusion_layer(self, variables: dict, points: jax.Array, length: jax.Array) -> jax.Array:
        """What the hash layer reads, f32[b f], of points u8[b t 3] and length i[b]."""
        inputs = self.inputs(points, length, "whole")
        return cast(jax.Array, self.model.apply(variables, *inputs, method="fusion_layer"))

    def apply_in_training(
        self,
        variables: dict,
        points: jax.Array,
        length: jax.Array,
        branch: str,
        keys: jax.Array,
    ) -> tuple[Output, Any]:
        """Augmented and with dropout, under one PRNG key a sketch; also the new statistics."""
        fold = jax.vmap(jax.random.fold_in, (0, None))
        center = bounding_center(points, length)
        points, length = augment(fold(keys, 0), points, length, **self.augmentation)
        output, changed = self.model.apply(
            variables,
            *self.inputs(points, length, branch, center),
            branch=branch,
            train=True,
            keys=fold(keys, 1),
            mutable=["batch_stats"],
        )
        return output, changed.get("batch_stats", {})

    def inputs(
        self, points: jax.Array, length: jax.Array, branch: str, center: jax.Array | None = None
    ) -> tuple[jax.Array | None, jax.Array | None, jax.Array]:
        """Draw what the branch needs: raster f[b s s 1], sequence f[b t 4], and the length.

        center: f[b 2], what stands in the middle of the raster; by default the drawing's own.
        """
        raster = steps = None
        if branch != "rnn" and self.model.cnn is not None:
            raster = rasterize(
                points, length, size=self.size, stroke_width=self.stroke_width, center=center
            )
        if branch != "cnn" and self.model.rnn is not None:
            steps = sequence(points, length, scale=self.offset_scale)
        return raster, steps, length


def build(config: Config, *, classes: int, offset_scale: float, axis_name: str | None) -> Network:
    """The network of a config; axis_name: the devices' axis for batch normalisation."""
    model = config.model
    dtype = jnp.dtype(model.dtype)
    cnn = rnn = None
    if model.branches != "rnn":
        cnn = ENCODERS[model.cnn.encoder](
            width=model.cnn.width,
            stem_stride=model.cnn.stem_stride,
            dense_features=model.cnn.dense_features or None,
            batch_norm=model.cnn.batch_norm,
            dropout=model.cnn.dropout,
            axis_name=axis_name,
            dtype=dtype,
        )
    if model.branches != "cnn":
        rnn = BiGRU(
            hidden=model.rnn.hidden,
            layers=model.rnn.layers,
            dropout=model.rnn.dropout,
            implementation=model.rnn.implementation,
            dtype=dtype,
        )
    return Network(
        TwoBranch(model.bits, classes, cnn, rnn, model.fusion_features, model.recognition_features),
        size=config.drawing.size,
        stroke_width=config.drawing.stroke_width,
        offset_scale=offset_scale,
        augmentation=config.augmentation.to_dict(),
    )
