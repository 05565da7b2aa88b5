"""Five convolutions, three poolings and two dense layers: what AlexNet and Sketch-a-Net share."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from sketchjax.models.layers import Conv, Dense
from sketchjax.ops.convolution import max_pool


class Tower(nn.Module):
    """A subclass names its layers; the fields are those of all picture encoders.

    CONVOLUTIONS: channels, kernel side and padding of each; the first one has `stem_stride`.
    DENSE: units of both dense layers. width multiplies channels and units.
    """

    CONVOLUTIONS: ClassVar[tuple[tuple[int, int, int], ...]]
    DENSE: ClassVar[int]

    width: float = 1.0
    stem_stride: int = 4
    dense_features: int | None = None
    batch_norm: bool = True
    dropout: float = 0.5
    axis_name: str | None = None
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        def conv(number: int) -> Conv:
            channels, size, padding = self.CONVOLUTIONS[number - 1]
            return Conv(
                round(channels * self.width),
                size,
                self.stem_stride if number == 1 else 1,
                padding,
                batch_norm=self.batch_norm,
                axis_name=self.axis_name,
                dtype=self.dtype,
            )

        self.conv1, self.conv2, self.conv3, self.conv4, self.conv5 = map(conv, range(1, 6))
        dense = self.dense_features or round(self.DENSE * self.width)
        self.dense6, self.dense7 = (
            Dense(dense, self.dropout, self.batch_norm, self.axis_name, self.dtype)
            for _ in range(2)
        )

    def __call__(
        self, raster: jax.Array, *, train: bool = False, keys: jax.Array | None = None
    ) -> jax.Array:
        """Features f32[b d], the output of the second dense layer.

        raster: f[b s s c], ink or a photo's red, green and blue in 0 to 1.
        train: whether dropout applies and the batch's own statistics are used.
        keys: [b] typed PRNG keys, one per sketch, for dropout; None for none.
        """
        # ReLU after the pooling gives the same values for a quarter of the work.
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
