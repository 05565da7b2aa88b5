"""AlexNet without local response normalisation (Krizhevsky et al. 2012)."""

from sketchjax.models.tower import Tower


class AlexNet(Tower):
    """One tower of five convolutions and two dense layers.

    width: multiplies all channel counts (96, 256, 384, 384, 256; dense 4096).
    stem_stride: of the first convolution; 4 at 224 px as published, 2 for pictures of 64 px.
    dense_features: of both dense layers, instead of 4096 times the width.
    batch_norm: after each convolution and dense layer; the published network has none.
    dropout: rate after each dense layer.
    axis_name: the devices' axis for the batch statistics; None for one device.
    dtype: of the computation; parameters are float32.
    """

    CONVOLUTIONS = ((96, 11, 2), (256, 5, 2), (384, 3, 1), (384, 3, 1), (256, 3, 1))
    DENSE = 4096

    @staticmethod
    def smallest_size(stem_stride: int) -> int:
        """Smallest s in pixels: the first convolution leaves 15 of it, three poolings leave 1."""
        return 14 * stem_stride + 7
