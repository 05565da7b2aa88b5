"""Sketch-a-Net (Yu et al., BMVC 2015 and IJCV 2017), a recogniser of table 6 of SketchMate."""

import jax

from sketchjax.models.tower import Tower


class SketchANet(Tower):
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

    CONVOLUTIONS = ((64, 15, 0), (128, 5, 0), (256, 3, 1), (256, 3, 1), (256, 3, 1))
    DENSE = 512

    stem_stride: int = 3

    @staticmethod
    def smallest_size(stem_stride: int) -> int:
        """Least s, in pixels. From the end: 3 before the last pooling, 7 before the one in front of
        it, 11 before the second convolution, 23 before the first pooling.
        """
        return 22 * stem_stride + 15

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
        return super().__call__(raster, train=train, keys=keys)
