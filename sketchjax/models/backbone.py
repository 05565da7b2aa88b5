"""What the encoders made for photos share: input, convolution with normalisation, and settings."""

from __future__ import annotations

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from sketchjax.ops.batch_norm import normalised
from sketchjax.ops.convolution import conv2d
from sketchjax.ops.depthwise import depthwise
from sketchjax.ops.dropout import dropout

# Of ImageNet's pixels in [0, 1], as all published weights of these networks expect them.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# Layers by path, each with the names of its convolution and its normalisation in PyTorch.
TorchNames = dict[str, tuple[str, str]]


class BatchNorm(nn.Module):
    """Batch normalisation with the parameters and statistics of `flax.linen.BatchNorm`.

    momentum: share of the running statistics that a step keeps.
    epsilon: added to the variance.
    frozen: whether training, too, uses the running statistics and leaves them as they are.
    axis_name: the devices' axis for the statistics of a batch; None for one device.
    """

    momentum: float
    epsilon: float
    frozen: bool = False
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        """f[b h w c] -> f[b h w c]."""
        channels = images.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, channels)
        bias = self.param("bias", nn.initializers.zeros, channels)
        running_mean: Any = self.variable("batch_stats", "mean", jnp.zeros, channels)
        running_variance: Any = self.variable("batch_stats", "var", jnp.ones, channels)
        if not train or self.frozen:
            factor = scale * jax.lax.rsqrt(running_variance.value + self.epsilon)
            offset = bias - running_mean.value * factor
            return images * factor.astype(images.dtype) + offset.astype(images.dtype)
        found: Any = normalised(images, scale, bias, self.epsilon, self.axis_name)
        images, mean, variance = found
        if not self.is_initializing():
            for running, own in ((running_mean, mean), (running_variance, variance)):
                running.value = self.momentum * running.value + (1 - self.momentum) * own
        return images


class ConvNorm(nn.Module):
    """A convolution with batch normalisation, as `layers.Conv`, or a depthwise one.

    features: channels of the result; 0: a depthwise convolution, with as many as it is given.
    size: side of the kernel.
    stride: of both axes.
    padding: zeros on each side; None: TensorFlow's `SAME`, the odd zero last.
    momentum, epsilon, frozen: of the normalisation.
    axis_name: the devices' axis for the batch statistics; None for one device.
    dtype: of the computation.
    """

    features: int
    size: int = 1
    stride: int = 1
    padding: int | None = 0
    momentum: float = 0.9
    epsilon: float = 1e-5
    frozen: bool = False
    axis_name: str | None = None
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        """f[b h w c] -> f[b h' w' features], before the ReLU."""
        ways = (images.shape[-1], self.features) if self.features else (1, images.shape[-1])
        shape = (self.size, self.size, *ways)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape).astype(self.dtype)
        images = images.astype(self.dtype)
        edges = self._edges(images.shape[1:3])
        if not self.features:
            images = depthwise(images, kernel, stride=self.stride, padding=edges)
        elif len({*edges[0], *edges[1]}) == 1:
            images = conv2d(images, kernel, stride=self.stride, padding=edges[0][0])
        else:
            images = conv2d(jnp.pad(images, ((0, 0), *edges, (0, 0))), kernel, stride=self.stride)
        norm = BatchNorm(self.momentum, self.epsilon, self.frozen, self.axis_name, name="norm")
        return norm(images, train)

    def _edges(self, sides: tuple[int, ...]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Zeros before and after the rows, and the columns."""
        if self.padding is not None:
            each = self.padding, self.padding
            return each, each
        edges = []
        for side in sides:
            missing = max((-(-side // self.stride) - 1) * self.stride + self.size - side, 0)
            edges.append((missing // 2, missing - missing // 2))
        return edges[0], edges[1]


class Backbone(nn.Module):
    """A subclass makes the feature map; the fields are those of all encoders made for photos.

    MOMENTUM, EPSILON: of its batch normalisation, as in the program that trained the published
      weights.
    PADS_AS_TENSORFLOW: whether its convolutions pad as TensorFlow's `SAME`, or half the kernel.

    dropout: rate on the features.
    pretrained: where the first weights come from, for `models.pretrained`: a package such as
      `efficientnet-lite0`, or a file of PyTorch tensors; empty: random.
    frozen_norm: whether training keeps the running statistics of batch normalisation as they are,
      which suits pretrained weights and small batches.
    axis_name: the devices' axis for the batch statistics; None for one device.
    dtype: of the computation; parameters are float32.
    """

    MOMENTUM: ClassVar[float] = 0.9
    EPSILON: ClassVar[float] = 1e-5
    PADS_AS_TENSORFLOW: ClassVar[bool] = False

    dropout: float = 0.0
    pretrained: str = ""
    frozen_norm: bool = False
    axis_name: str | None = None
    dtype: jnp.dtype = jnp.float32

    @staticmethod
    def smallest_size(stem_stride: int) -> int:
        """Smallest s in pixels: all layers pad, so any picture leaves at least one position."""
        return 1

    @nn.compact
    def __call__(
        self, pictures: jax.Array, *, train: bool = False, keys: jax.Array | None = None
    ) -> jax.Array:
        """Features f32[b e], the mean over all positions of the last map.

        pictures: f[b s s 3], RGB in 0 to 1, or f[b s s 1], ink in 0 to 1, which is read as a white
          picture with dark lines.
        train: whether the batch's own statistics are used and dropout applies.
        keys: [b] typed PRNG keys, one per picture, for dropout; None for none.
        """
        images = self.feature_map(as_imagenet(pictures).astype(self.dtype), train, keys)
        features = images.astype(jnp.float32).mean((1, 2))
        return dropout(features, self.dropout, keys if train else None)

    def feature_map(self, images: jax.Array, train: bool, keys: jax.Array | None) -> jax.Array:
        """f[b s s 3], normalised -> f[b h w e]."""
        raise NotImplementedError

    def torch_names(self) -> TorchNames:
        """The layers and their names in the published files of weights."""
        raise NotImplementedError

    def conv(self, name: str, features: int, size: int = 1, stride: int = 1) -> ConvNorm:
        """A layer of this network; the arguments are those of `ConvNorm`."""
        return ConvNorm(
            features,
            size,
            stride,
            None if self.PADS_AS_TENSORFLOW else size // 2,
            self.MOMENTUM,
            self.EPSILON,
            self.frozen_norm,
            self.axis_name,
            self.dtype,
            name=name,
        )


def as_imagenet(pictures: jax.Array) -> jax.Array:
    """Pictures as the published networks expect them, f32[b s s 3].

    pictures: f[b s s 3] in [0, 1], or ink f[b s s 1], 1 where a line is.
    """
    if pictures.shape[-1] == 1:
        pictures = jnp.broadcast_to(1 - pictures, (*pictures.shape[:3], 3))
    return (pictures - np.array(MEAN, np.float32)) / np.array(DEVIATION, np.float32)
