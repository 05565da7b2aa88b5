"""ShuffleNetV2 (Ma et al., ECCV 2018), in the form and with the names of torchvision."""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from sketchjax.models.backbone import Backbone, TorchNames
from sketchjax.ops.convolution import max_pool

STEM, BLOCKS = 24, (4, 8, 4)
# Channels of the three stages and of the last convolution, by what multiplies them.
CHANNELS = {
    "0.5": (48, 96, 192, 1024),
    "1.0": (116, 232, 464, 1024),
    "1.5": (176, 352, 704, 1024),
    "2.0": (244, 488, 976, 2048),
}


class ShuffleNetV2(Backbone):
    """A stem, blocks in three stages, and a last 1x1 convolution.

    times: `0.5`, `1.0`, `1.5` or `2.0`: a row of CHANNELS.
    stem_stride: of the first convolution; 2 as published for 224 px, 1 for pictures of 64 px, which
      otherwise leave a last map of 2x2.
    The other fields are those of `Backbone`. The last map is 1/(16 stem_stride) of the picture and
    has 1024 channels, or 2048 for `2.0`.
    """

    times: str = "1.0"
    stem_stride: int = 2

    def feature_map(self, images: jax.Array, train: bool, keys: jax.Array | None) -> jax.Array:
        """f[b s s 3], normalised -> f[b h w e]."""
        images = nn.relu(self.conv("stem", STEM, 3, self.stem_stride)(images, train))
        images = max_pool(images, padding=1)
        *stages, last = CHANNELS[self.times]
        for stage, (blocks, channels) in enumerate(zip(BLOCKS, stages, strict=True), 2):
            for block in range(blocks):
                images = self._block(f"stage{stage}_block{block}", images, channels // 2, train)
        return nn.relu(self.conv("last", last)(images, train))

    def _block(self, name: str, images: jax.Array, half: int, train: bool) -> jax.Array:
        """Two paths, side by side and shuffled; the first block of a stage halves the sides."""
        stride = 1 if images.shape[-1] == 2 * half else 2

        def layer(part: str, features: int, size: int = 1, stride: int = 1) -> Callable:
            return self.conv(f"{name}_{part}", features, size, stride)

        left, right = (images, images) if stride == 2 else jnp.split(images, 2, -1)
        if stride == 2:
            left = layer("left_depthwise", 0, 3, 2)(left, train)
            left = nn.relu(layer("left", half)(left, train))
        right = nn.relu(layer("before", half)(right, train))
        right = layer("depthwise", 0, 3, stride)(right, train)
        right = nn.relu(layer("after", half)(right, train))
        # One channel of the left, one of the right, in turn.
        return jnp.stack([left, right], -1).reshape(*left.shape[:3], -1)

    def torch_names(self) -> TorchNames:
        """The names of torchvision."""
        names = {"stem": ("conv1.0", "conv1.1"), "last": ("conv5.0", "conv5.1")}
        for stage, blocks in enumerate(BLOCKS, 2):
            for block in range(blocks):
                own, there = f"stage{stage}_block{block}", f"stage{stage}.{block}"
                if not block:
                    names[f"{own}_left_depthwise"] = f"{there}.branch1.0", f"{there}.branch1.1"
                    names[f"{own}_left"] = f"{there}.branch1.2", f"{there}.branch1.3"
                names[f"{own}_before"] = f"{there}.branch2.0", f"{there}.branch2.1"
                names[f"{own}_depthwise"] = f"{there}.branch2.3", f"{there}.branch2.4"
                names[f"{own}_after"] = f"{there}.branch2.5", f"{there}.branch2.6"
        return names
