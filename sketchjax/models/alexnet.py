"""The CNN branch: AlexNet without local response normalisation (Krizhevsky et al. 2012)."""

from sketchjax.models.tower import Tower


class AlexNet(Tower):
    """One tower of five convolutions and two dense layers.

    width: multiplies all channel counts (96, 256, 384, 384, 256; dense 4096).
    stem_stride: the first convolution's; 4 at 224 px as published, 2 for pictures of 64 px.
    batch_norm: after each convolution and dense layer; off in the published network.
    dropout: after each dense layer.
    """

    CONVOLUTIONS = ((96, 11, 2), (256, 5, 2), (384, 3, 1), (384, 3, 1), (256, 3, 1))
    DENSE = 4096

    @staticmethod
    def smallest_size(stem_stride: int) -> int:
        """Least s, in pixels: the first convolution leaves 15 places of it, three poolings 1."""
        return 14 * stem_stride + 7
