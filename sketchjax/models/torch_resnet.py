"""ResNet-18 and ResNet-50 (He et al., CVPR 2016) in the form and with the names of torchvision.

ResNet-50 differs from `models.resnet` in where a stage's stride is: at the 3x3 convolution of its
first block ("v1.5"), as torchvision's weights need it.
"""

from __future__ import annotations

import flax.linen as nn
import jax

from sketchjax.models.backbone import Backbone, TorchNames
from sketchjax.ops.convolution import max_pool

STEM, CHANNELS = 64, (64, 128, 256, 512)
BLOCKS = {"18": (2, 2, 2, 2), "50": (3, 4, 6, 3)}


class TorchResNet(Backbone):
    """A stem, blocks in four stages, and the mean over all positions.

    depth: `18`, of blocks with two 3x3 convolutions, or `50`, of bottlenecks: 1x1, 3x3 and 1x1 with
      four times the channels.
    The other fields are those of `Backbone`. The last map is 1/32 of the picture, with 512 channels
    or 2048.
    """

    depth: str = "18"

    def feature_map(self, images: jax.Array, train: bool, keys: jax.Array | None) -> jax.Array:
        """f[b s s 3], normalised -> f[b h w e]."""
        images = max_pool(nn.relu(self.conv("stem", STEM, 7, 2)(images, train)), padding=1)
        for name, channels, stride in self._blocks():
            inside = images
            for number, (features, size, of_layer) in enumerate(self._layers(channels, stride), 1):
                inside = inside if number == 1 else nn.relu(inside)
                inside = self.conv(f"{name}_conv{number}", features, size, of_layer)(inside, train)
            if images.shape != inside.shape:
                images = self.conv(f"{name}_shortcut", inside.shape[-1], 1, stride)(images, train)
            images = nn.relu(images + inside)
        return images

    def _blocks(self):
        """Name, inner channels and stride of each block."""
        for stage, (count, channels) in enumerate(zip(BLOCKS[self.depth], CHANNELS, strict=True)):
            for block in range(count):
                stride = 2 if stage and not block else 1
                yield f"stage{stage + 1}_block{block}", channels, stride

    def _layers(self, channels: int, stride: int) -> tuple[tuple[int, int, int], ...]:
        """Channels, kernel side and stride of each convolution of a block."""
        if self.depth == "18":
            return (channels, 3, stride), (channels, 3, 1)
        return (channels, 1, 1), (channels, 3, stride), (4 * channels, 1, 1)

    def torch_names(self) -> TorchNames:
        """The names of torchvision."""
        names = {"stem": ("conv1", "bn1")}
        for name, channels, stride in self._blocks():
            stage, block = name.removeprefix("stage").split("_block")
            there = f"layer{stage}.{block}"
            for number in range(1, len(self._layers(channels, stride)) + 1):
                names[f"{name}_conv{number}"] = f"{there}.conv{number}", f"{there}.bn{number}"
            if block == "0" and (stage != "1" or self.depth == "50"):
                names[f"{name}_shortcut"] = f"{there}.downsample.0", f"{there}.downsample.1"
        return names
