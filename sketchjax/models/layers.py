"""Layers that the picture encoders share: convolution and dense layer, with normalisation."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from sketchjax.ops.convolution import conv2d
from sketchjax.ops.distances import unit_length
from sketchjax.ops.dropout import dropout


class Conv(nn.Module):
    """A convolution followed by a bias or by batch normalisation.

    features: channels of the result.
    size: side of the kernel.
    stride: of both axes.
    padding: zeros on each side.
    batch_norm: whether batch normalisation replaces the bias.
    axis_name: the devices' axis for the batch statistics; None for one device.
    dtype: of the computation.
    """

    features: int
    size: int
    stride: int = 1
    padding: int = 0
    batch_norm: bool = True
    axis_name: str | None = None
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        """f[b h w c] -> f[b h' w' features], before the ReLU."""
        shape = (self.size, self.size, images.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape)
        images = conv2d(
            images.astype(self.dtype),
            kernel.astype(self.dtype),
            stride=self.stride,
            padding=self.padding,
        )
        if self.batch_norm:
            return batch_norm(self.axis_name, self.dtype, train)(images)
        return images + self.param("bias", nn.initializers.zeros, (self.features,)).astype(
            self.dtype
        )


def batch_norm(
    axis_name: str | None, dtype: jnp.dtype, train: bool, *, affine: bool = True
) -> Callable:
    """Batch normalisation; in training its statistics cover all devices of `axis_name`.

    affine: whether a scale and a bias are learnt.
    """
    return nn.BatchNorm(
        use_bias=affine,
        use_scale=affine,
        use_running_average=not train,
        momentum=0.9,
        dtype=dtype,
        axis_name=axis_name if train else None,
        name="norm",
    )


class Dense(nn.Module):
    """A dense layer with optional batch normalisation, ReLU and dropout.

    features: units of the layer.
    dropout: rate after the ReLU.
    batch_norm: whether batch normalisation replaces the bias.
    axis_name: the devices' axis for the batch statistics; None for one device.
    dtype: of the computation.
    """

    features: int
    dropout: float
    batch_norm: bool
    axis_name: str | None = None
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, features: jax.Array, train: bool, keys: jax.Array | None) -> jax.Array:
        """f[b c] -> f[b features]; keys: [b], one per sketch, for dropout in training."""
        features = nn.Dense(
            self.features,
            use_bias=not self.batch_norm,
            kernel_init=nn.initializers.he_normal(),
            dtype=self.dtype,
            name="dense",
        )(features)
        if self.batch_norm:
            features = batch_norm(self.axis_name, self.dtype, train)(features)
        return dropout(nn.relu(features), self.dropout, keys if train else None)


class Projection(nn.Dense):
    """The head's dense layer, with the normalisation of an embedding.

    features: d.
    embedding: `raw`; `unit_length`; `batch_norm`: mean 0 and variance 1 of each feature, without a
      scale to learn, by which all features could shrink.
    axis_name: the devices' axis for the batch statistics; None for one device.
    train: whether the statistics are those of the batch.
    """

    embedding: str = "raw"
    axis_name: str | None = None
    train: bool = False

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """f[b c] -> f32[b d]."""
        outputs = super().__call__(inputs)
        if self.embedding == "unit_length":
            return unit_length(outputs)
        if self.embedding == "batch_norm":
            return batch_norm(self.axis_name, jnp.float32, self.train, affine=False)(outputs)
        return outputs
