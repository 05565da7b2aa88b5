"""The CNN branch: AlexNet without local response normalisation (Krizhevsky et al. 2012)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from sketchjax.models.layers import Conv, Dense
from sketchjax.ops.convolution import max_pool


class AlexNet(nn.Module):
    """One tower of five convolutions and two dense layers.

    width: multiplies all channel counts (96, 256, 384, 384, 256; dense 4096).
    stem_stride: the first convolution's; 4 at 224 px as published, 2 for pictures of 64 px.
    batch_norm: after each convolution and dense layer; off in the published network.
    dropout: after each dense layer.
    """

    width: float = 1.0
    stem_stride: int = 4
    dense_features: int | None = None
    batch_norm: bool = True
    dropout: float = 0.5
    axis_name: str | None = None
    dtype: jnp.dtype = jnp.float32

    @staticmethod
    def smallest_size(stem_stride: int) -> int:
        """Least s, in pixels: the first convolution leaves 15 places of it, three poolings 1."""
        return 14 * stem_stride + 7

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

        self.conv1 = conv(96, 11, padding=2, stride=self.stem_stride)
        self.conv2 = conv(256, 5, padding=2)
        self.conv3 = conv(384, 3, padding=1)
        self.conv4 = conv(384, 3, padding=1)
        self.conv5 = conv(256, 3, padding=1)
        dense = self.dense_features or round(4096 * self.width)
        self.dense6, self.dense7 = (
            Dense(dense, self.dropout, self.batch_norm, self.axis_name, self.dtype)
            for _ in range(2)
        )

    def __call__(
        self, raster: jax.Array, *, train: bool = False, keys: jax.Array | None = None
    ) -> jax.Array:
        """raster: f[b s s 1] of ink in 0 to 1; keys: one a sketch, for dropout.

        Returns the second dense layer, f32[b d].
        """
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
