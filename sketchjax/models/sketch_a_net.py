"""Sketch-a-Net (Yu et al., BMVC 2015, IJCV 2017), a recogniser in table 6 of SketchMate."""

import jax

from sketchjax.models.tower import Tower


class SketchANet(Tower):
    """Five convolutions, the first of 15x15, and two dense layers.

    width: multiplies all channel counts (64, 128, 256, 256, 256; dense 512).
    stem_stride: of the first convolution; 3 at 225 px as published, 2 for pictures of 64 px, 1 for
      those of 48.
    dense_features: of both dense layers, instead of 512 times the width. The first one covers the
      whole last map; the published one is a 7x7 convolution on a 7x7 map.
    batch_norm: after each convolution and dense layer; the published network has none.
    dropout: rate after each dense layer.
    axis_name: the devices' axis for the batch statistics; None for one device.
    dtype: of the computation; parameters are float32.

    The first two convolutions have no padding. The published network reads six channels, with more
    strokes in each; this one reads the whole drawing in one channel.
    """

    CONVOLUTIONS = ((64, 15, 0), (128, 5, 0), (256, 3, 1), (256, 3, 1), (256, 3, 1))
    DENSE = 512

    stem_stride: int = 3

    @staticmethod
    def smallest_size(stem_stride: int) -> int:
        """Smallest s in pixels.

        From the end: 3 before the last pooling, 7 before the second pooling, 11 before the second
        convolution, 23 before the first pooling.
        """
        return 22 * stem_stride + 15

    def __call__(
        self, raster: jax.Array, *, train: bool = False, keys: jax.Array | None = None
    ) -> jax.Array:
        """Features f32[b d], as in `Tower`. Raises ValueError below `smallest_size`."""
        smallest = self.smallest_size(self.stem_stride)
        if min(raster.shape[1:3]) < smallest:
            raise ValueError(
                f"a picture of {raster.shape[1]}x{raster.shape[2]} px is too small for "
                f"stem_stride={self.stem_stride}; draw it at {smallest} px or more."
            )
        return super().__call__(raster, train=train, keys=keys)
