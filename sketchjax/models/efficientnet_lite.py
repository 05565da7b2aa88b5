"""EfficientNet-Lite 0, 1 and 2 (Google, 2020): EfficientNet without squeeze-and-excitation.

Sizes and settings are those of `efficientnet/lite/efficientnet_lite_builder.py` in tensorflow/tpu:
ReLU6, a stem and a last layer that do not grow, TensorFlow's padding, momentum and epsilon.
"""

from __future__ import annotations

import math
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from sketchjax.models.backbone import Backbone, TorchNames
from sketchjax.ops.dropout import dropout

# Of each stage: blocks, kernel side, stride, expansion, channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# By size: what multiplies channels, and blocks of all stages but the first and the last.
SCALES = ((1.0, 1.0), (1.0, 1.1), (1.1, 1.2))
STEM, LAST, MULTIPLE = 32, 1280, 8


def blocks_of(size: int) -> list[tuple[int, int, int, int]]:
    """Kernel side, stride, expansion and channels of each block."""
    wider, deeper = SCALES[size]
    found = []
    for stage, (count, side, stride, expansion, channels) in enumerate(STAGES):
        ends = stage in (0, len(STAGES) - 1)
        for block in range(count if ends else math.ceil(count * deeper)):
            of_block = 1 if block else stride
            found.append((side, of_block, expansion, _rounded(channels * wider)))
    return found


def _rounded(channels: float) -> int:
    """The nearest multiple of 8, but not 10 % less."""
    nearest = max(MULTIPLE, int(channels + MULTIPLE / 2) // MULTIPLE * MULTIPLE)
    return nearest + MULTIPLE if nearest < 0.9 * channels else nearest


class EfficientNetLite(Backbone):
    """A stem, inverted bottlenecks in seven stages, and a last 1x1 convolution.

    size: 0, 1 or 2: 3.4, 4.1 or 4.8 million parameters without the classes; made for 224, 240 and
      260 px.
    drop_path: rate at which the last block's sum is left out in training, for a whole picture; it
      rises from 0 over the blocks.
    The other fields are those of `Backbone`. The last map is 1/32 of the picture, with 1280
    channels.
    """

    MOMENTUM: ClassVar[float] = 0.99
    EPSILON: ClassVar[float] = 1e-3
    PADS_AS_TENSORFLOW: ClassVar[bool] = True

    size: int = 0
    drop_path: float = 0.2

    def feature_map(self, images: jax.Array, train: bool, keys: jax.Array | None) -> jax.Array:
        """f[b s s 3], normalised -> f[b h w 1280]."""
        images = nn.relu6(self.conv("stem", STEM, 3, 2)(images, train))
        blocks = blocks_of(self.size)
        for number, (side, stride, expansion, channels) in enumerate(blocks):
            name, inside = f"block{number}", images
            if expansion != 1:
                wide = expansion * images.shape[-1]
                inside = nn.relu6(self.conv(f"{name}_expand", wide)(inside, train))
            inside = nn.relu6(self.conv(f"{name}_depthwise", 0, side, stride)(inside, train))
            inside = self.conv(f"{name}_project", channels)(inside, train)
            if stride == 1 and inside.shape == images.shape:
                rate = self.drop_path * number / len(blocks)
                inside = images + self._some(inside, rate, number, train, keys)
            images = inside
        return nn.relu6(self.conv("last", LAST)(images, train))

    def _some(self, images, rate, number, train, keys):
        """The pictures of a batch, some left out and the others larger."""
        if not train or keys is None or not rate:
            return images
        own = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
        kept = dropout(jnp.ones((len(images), 1), images.dtype), rate, own)
        return images * kept[:, :, None, None]

    def torch_names(self) -> TorchNames:
        """The names of `efficientnet_lite_pytorch`."""
        names = {"stem": ("_conv_stem", "_bn0"), "last": ("_conv_head", "_bn1")}
        for number, (_, _, expansion, _) in enumerate(blocks_of(self.size)):
            own, there = f"block{number}", f"_blocks.{number}"
            if expansion != 1:
                names[f"{own}_expand"] = f"{there}._expand_conv", f"{there}._bn0"
            names[f"{own}_depthwise"] = f"{there}._depthwise_conv", f"{there}._bn1"
            names[f"{own}_project"] = f"{there}._project_conv", f"{there}._bn2"
        return names
