"""ResNet-50 (He et al., CVPR 2016), one of the recognisers in table 6 of SketchMate.

This is the form of the paper, which SketchMate's table refers to: the first 1x1 convolution of a
stage has the stride. Moving it to the 3x3 convolution ("v1.5") keeps the parameters and takes 6 %
more multiplications: 4.09 G instead of 3.86 G, with three channels of 224 px and 1,000 classes.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from sketchjax.models.layers import Conv
from sketchjax.ops.convolution import max_pool

# Blocks of each stage and channels inside its bottlenecks, which put out four times as many.
STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))


class Bottleneck(nn.Module):
    """Convolutions of 1x1, 3x3 and 1x1, added to the input.

    inner: channels of the first two convolutions.
    outer: channels of the third one and of the result.
    stride: of the first convolution, as published; later variants move it to the 3x3 convolution.
    axis_name: the devices' axis for the batch statistics; None for one device.
    dtype: of the computation.

    If the shape changes, the input passes through a 1x1 convolution of its own before the addition.
    """

    inner: int
    outer: int
    stride: int
    axis_name: str | None
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        """f[b h w c] -> f[b h' w' outer]."""

        def conv(name: str, features: int, size: int = 1, stride: int = 1) -> Conv:
            return Conv(
                features,
                size,
                stride,
                padding=size // 2,
                axis_name=self.axis_name,
                dtype=self.dtype,
                name=name,
            )

        inside = nn.relu(conv("conv1", self.inner, stride=self.stride)(images, train))
        inside = nn.relu(conv("conv2", self.inner, size=3)(inside, train))
        inside = conv("conv3", self.outer)(inside, train)
        if images.shape != inside.shape:
            images = conv("shortcut", self.outer, stride=self.stride)(images, train)
        return nn.relu(images + inside)


class ResNet50(nn.Module):
    """A stem, 16 bottlenecks in four stages, and the mean over all positions.

    width: multiplies all channel counts (64; 256, 512, 1024 and 2048 after the stages).
    stem_stride: of the 7x7 convolution; 2 as published for 224 px, which also suits 48 px. Max
      pooling 3/2 follows, so the last map is 1/(16 stem_stride) of the picture.
    dense_features, batch_norm, dropout: ignored; they exist so that all encoders are built alike.
      The published network has no dense layer before the classifier, no dropout, and always batch
      normalisation.
    axis_name: the devices' axis for the batch statistics; None for one device.
    dtype: of the computation; parameters are float32.
    """

    width: float = 1.0
    stem_stride: int = 2
    dense_features: int | None = None
    batch_norm: bool = True
    dropout: float = 0.5
    axis_name: str | None = None
    dtype: jnp.dtype = jnp.float32

    @staticmethod
    def smallest_size(stem_stride: int) -> int:
        """Smallest s in pixels: all layers pad, so any picture leaves at least one position."""
        return 1

    @nn.compact
    def __call__(
        self, raster: jax.Array, *, train: bool = False, keys: jax.Array | None = None
    ) -> jax.Array:
        """Features f32[b d], d = 2048 times the width.

        raster: f[b s s c], ink or a photo's red, green and blue in 0 to 1.
        train: whether the batch's own statistics are used.
        keys: ignored, as there is no dropout.
        """
        channels = round(64 * self.width)
        stem = Conv(
            channels,
            7,
            self.stem_stride,
            3,
            axis_name=self.axis_name,
            dtype=self.dtype,
            name="stem",
        )
        images = nn.relu(max_pool(stem(raster, train), padding=1))
        for stage, (blocks, inner) in enumerate(STAGES):
            for block in range(blocks):
                images = Bottleneck(
                    round(inner * self.width),
                    round(4 * inner * self.width),
                    stride=2 if stage and not block else 1,
                    axis_name=self.axis_name,
                    dtype=self.dtype,
                    name=f"stage{stage + 1}_block{block + 1}",
                )(images, train)
        return images.astype(jnp.float32).mean((1, 2))
