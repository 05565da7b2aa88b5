"""The picture encoders as graphs. What they are is in the file of the same encoder in `models`.

Each takes a module, the picture f[b 1 s s] and the encoder's settings, and gives features f[b e].
Blocks and channels are those of the arrays, so only strides and padding are named here.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count, takewhile
from typing import Any

from sketchjax.export.graph import Value
from sketchjax.export.layers import (
    Module,
    convolution,
    dense,
    flat,
    max_pool,
    mean_of_map,
    normed,
)

Settings = Mapping[str, Any]

# Of ImageNet's pixels in [0, 1].
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def alexnet(module: Module, images: Value, settings: Settings) -> Value:
    """`models.alexnet`."""
    return _tower(module, images, (2, 2, 1, 1, 1), settings.get("stem_stride", 4))


def sketch_a_net(module: Module, images: Value, settings: Settings) -> Value:
    """`models.sketch_a_net`."""
    return _tower(module, images, (0, 0, 1, 1, 1), settings.get("stem_stride", 3))


def _tower(module: Module, images: Value, paddings: tuple[int, ...], stride: int) -> Value:
    relu = module.graph.relu
    for number, padding in enumerate(paddings, 1):
        own = module / f"conv{number}"
        images = convolution(own, images, stride=stride if number == 1 else 1, padding=padding)
        images = normed(own, images)
        images = relu(max_pool(images) if number in (1, 2, 5) else images)
    features = flat(images)
    for name in ("dense6", "dense7"):
        own = module / name
        features = relu(normed(own, dense(own / "dense", features)))
    return features


def resnet50(module: Module, images: Value, settings: Settings) -> Value:
    """`models.resnet`: the first 1x1 convolution of a stage has the stride."""
    relu = module.graph.relu

    def conv(own: Module, images: Value, stride: int = 1) -> Value:
        padding = own.array("kernel").shape[0] // 2
        return normed(own, convolution(own, images, stride=stride, padding=padding))

    images = relu(conv(module / "stem", images, settings.get("stem_stride", 2)))
    images = max_pool(images, padding=1)
    for stage, block, own in _blocks(module):
        stride = 2 if stage > 1 and block == 0 else 1
        inside = relu(conv(own / "conv1", images, stride))
        inside = conv(own / "conv3", relu(conv(own / "conv2", inside)))
        if "shortcut" in own:
            images = conv(own / "shortcut", images, stride)
        images = relu(images + inside)
    return mean_of_map(images)


def _blocks(module: Module):
    """Stage from 1, block from 0 and module of each block."""
    for stage in takewhile(lambda stage: f"stage{stage}_block0" in module, count(1)):
        for block in takewhile(lambda b, s=stage: f"stage{s}_block{b}" in module, count()):
            yield stage, block, module / f"stage{stage}_block{block}"


ENCODERS = {"alexnet": alexnet, "sketch_a_net": sketch_a_net, "resnet50": resnet50}
