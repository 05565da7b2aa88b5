"""Sketch-a-Net (Yu et al., BMVC 2015 and IJCV 2017), a recogniser of table 6 of SketchMate."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from sketchjax.models.layers import Conv, Dense
from sketchjax.ops.convolution import max_pool


class SketchANet(nn.Module):
    """Five convolutions, the first of 15x15, and two dense layers; no padding in the first two.

    width: multiplies all channel counts (64, 128, 256, 256, 256; dense 512).
    stem_stride: the first convolution's; 3 at 225 px as published, 2 for pictures of 64 px, 1 for
    those of 48.
    dense_features: of both dense layers, instead of 512 times the width. The first of them covers
    the whole of the last map: the published one is a convolution of 7x7 on a map of 7x7.
    batch_norm: after each convolution and dense layer; off in the published network.
    dropout: after each dense layer.

    The published network reads the drawing in six channels, strokes added by and by; this one reads
    it whole, in one.
    """

    width: float = 1.0
    stem_stride: int = 3
    dense_features: int | None = None
    batch_norm: bool = True
    dropout: float = 0.5
    axis_name: str | None = None
    dtype: jnp.dtype = jnp.float32

    @staticmethod
    def smallest_size(stem_stride: int) -> int:
        """Least s, in pixels. From the end: 3 before the last pooling, 7 before the one in front of
        it, 11 before the second convolution, 23 before the first pooling.
        """
        return 22 * stem_stride + 15

    def setup(self):
        def conv(features: int, size: int, padding: int, stride: int = 1) -> Conv:
            return Conv(
                round(features * self.width),
                size,
                stride,
                padding,
                batch_norm=self.batch_norm,
                axis_name=self.axis_name,
                dtype=self.dtype,
            )

        self.conv1 = conv(64, 15, padding=0, stride=self.stem_stride)
        self.conv2 = conv(128, 5, padding=0)
        self.conv3, self.conv4, self.conv5 = (conv(256, 3, padding=1) for _ in range(3))
        dense = self.dense_features or round(512 * self.width)
        self.dense6, self.dense7 = (
            Dense(dense, self.dropout, self.batch_norm, self.axis_name, self.dtype)
            for _ in range(2)
        )

    def __call__(
        self, raster: jax.Array, *, train: bool = False, keys: jax.Array | None = None
    ) -> jax.Array:
        """raster: f[b s s 1] of ink in 0 to 1; keys: one a sketch, for dropout.

        Returns the second dense layer, f32[b d].  Raises ValueError for a picture below
        `smallest_size`.
        """
        smallest = self.smallest_size(self.stem_stride)
        if min(raster.shape[1:3]) < smallest:
            raise ValueError(
                f"a picture of {raster.shape[1]}x{raster.shape[2]} leaves nothing after the last "
                f"pooling with stem_stride={self.stem_stride}; draw it at {smallest} or more"
            )
        # The rectifier after the pooling: the same values, a quarter of the work.
        images = nn.relu(max_pool(self.conv1(raster, train)))
        images = nn.relu(max_pool(self.conv2(images, train)))
        images = nn.relu(self.conv3(images, train))
        images = nn.relu(self.conv4(images, train))
        images = nn.relu(max_pool(self.conv5(images, train)))
        features = images.reshape(images.shape[0], -1)
        for layer, dense in enumerate((self.dense6, self.dense7)):
            layer_keys = (
                None if keys is None else jax.vmap(jax.random.fold_in, (0, None))(keys, layer)
            )
            features = dense(features, train, layer_keys)
        return features.astype(jnp.float32)
