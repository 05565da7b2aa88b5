"""The picture encoders as graphs. What they are is in the file of the same name in `models`.

Each takes a module, the picture f[b 1 s s] and the encoder's settings, and gives features f[b e].
Layers and channels are those of the arrays, so only strides and padding are written here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count, product, takewhile
from typing import Any

import numpy as np

from sketchjax.export.graph import Value
from sketchjax.export.layers import (
    Module,
    batch_norm,
    convolution,
    dense,
    flat,
    max_pool,
    mean_of_map,
    normed,
)

Settings = Mapping[str, Any]

# Of ImageNet's pixels in [0, 1], see `models.backbone`.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Of EfficientNet-Lite: strides of its stages, and the epsilon of its normalisation.
LITE_STRIDES, LITE_EPSILON = (1, 2, 2, 2, 1, 2, 1), 1e-3
# Of C2-Net: stride, padding, and whether a pooling follows.
C2_NET = {
    "conv1": (3, 0, True),
    "conv2_1": (1, 1, False),
    "conv2_2": (1, 1, True),
    "conv3_1": (1, 1, False),
    "conv3_2": (1, 1, True),
}


def alexnet(module: Module, images: Value, settings: Settings) -> Value:
    """AlexNet."""
    return _tower(module, images, (2, 2, 1, 1, 1), settings.get("stem_stride", 4))


def sketch_a_net(module: Module, images: Value, settings: Settings) -> Value:
    """Sketch-a-Net."""
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
        features = relu(normed(module / name, dense(module / name / "dense", features)))
    return features


def resnet50(module: Module, images: Value, settings: Settings) -> Value:
    """ResNet-50 of the paper: the first 1x1 convolution of a stage has the stride."""
    relu = module.graph.relu
    images = relu(_half_padded(module / "stem", images, settings.get("stem_stride", 2)))
    images = max_pool(images, padding=1)
    for name, stride in _blocks(module, "/conv1"):
        own = module / name
        inside = relu(_half_padded(own / "conv1", images, stride))
        inside = relu(_half_padded(own / "conv2", inside))
        inside = _half_padded(own / "conv3", inside)
        if "shortcut" in own:
            images = _half_padded(own / "shortcut", images, stride)
        images = relu(images + inside)
    return mean_of_map(images)


def torch_resnet(module: Module, images: Value, settings: Settings) -> Value:
    """ResNet of torchvision: the first 3x3 convolution of a stage has the stride."""
    del settings
    relu = module.graph.relu
    images = relu(_half_padded(module / "stem", _as_imagenet(images), 2))
    images = max_pool(images, padding=1)
    for name, stride in _blocks(module, "_conv1"):
        # Two convolutions of 3x3, or three of 1x1, 3x3 and 1x1.
        is_bottleneck = f"{name}_conv3" in module
        strides = (1, stride, 1) if is_bottleneck else (stride, 1)
        inside = images
        for number, own in enumerate(strides, 1):
            inside = inside if number == 1 else relu(inside)
            inside = _half_padded(module / f"{name}_conv{number}", inside, own)
        if f"{name}_shortcut" in module:
            images = _half_padded(module / f"{name}_shortcut", images, stride)
        images = relu(images + inside)
    return mean_of_map(images)


def shufflenet_v2(module: Module, images: Value, settings: Settings) -> Value:
    """ShuffleNetV2: the first block of a stage halves the sides, the others half the channels."""
    graph, relu = module.graph, module.graph.relu
    images = _half_padded(module / "stem", _as_imagenet(images), settings.get("stem_stride", 2))
    images = max_pool(relu(images), padding=1)
    for name, _ in _blocks(module, "_before"):

        def layer(part: str, images: Value, stride: int = 1, name: str = name) -> Value:
            return _half_padded(module / f"{name}_{part}", images, stride)

        half = module.array(f"{name}_after/kernel").shape[-1]
        stride = 2 if f"{name}_left" in module else 1
        if stride == 2:
            left = right = images
            left = relu(layer("left", layer("left_depthwise", left, 2)))
        else:
            left, right = graph.ops("Split", 2, images, [half, half], axis=1)
        right = layer("depthwise", relu(layer("before", right)), stride)
        right = relu(layer("after", right))
        # One channel of the left, one of the right, in turn.
        turns = np.arange(2 * half).reshape(2, half).T.ravel()
        images = graph.op("Gather", graph.concat([left, right], 1), turns, axis=1)
    return mean_of_map(relu(_half_padded(module / "last", images)))


def efficientnet_lite(module: Module, images: Value, settings: Settings) -> Value:
    """EfficientNet-Lite, with TensorFlow's padding."""
    del settings

    def layer(name: str, images: Value, stride: int = 1, *, linear: bool = False) -> Value:
        own, graph = module / name, module.graph
        groups = _groups(own)
        images = convolution(own, images, stride=stride, padding=None, groups=groups)
        images = batch_norm(own / "norm", images, LITE_EPSILON)
        return images if linear else graph.op("Clip", images, 0.0, 6.0)

    images = layer("stem", _as_imagenet(images), 2)
    strides, before = iter(LITE_STRIDES), 0
    for number in takewhile(lambda n: f"block{n}_project" in module, count()):
        name = f"block{number}"
        channels = module.array(f"{name}_project/kernel").shape[-1]
        is_first = channels != before  # of its stage: no two in a row have the same channels
        inside = layer(f"{name}_expand", images) if f"{name}_expand" in module else images
        inside = layer(f"{name}_depthwise", inside, next(strides) if is_first else 1)
        inside = layer(f"{name}_project", inside, linear=True)
        images = inside if is_first else images + inside
        before = channels
    return mean_of_map(layer("last", images))


def dsh_sketch(module: Module, images: Value, settings: Settings) -> Value:
    """C2-Net with two dense layers."""
    relu = module.graph.relu
    for name, (stride, padding, pools) in C2_NET.items():
        images = convolution(module / name, images, stride=stride, padding=padding)
        images = batch_norm(module / f"sketch_{name}_norm", images)
        images = relu(max_pool(images) if pools else images)
    features = mean_of_map(images) if settings.get("pooled") else flat(images)
    for name in ("sketch_dense_a", "sketch_dense_b"):
        features = relu(dense(module / name, features))
    return features


def _blocks(module: Module, first: str) -> Iterator[tuple[str, int]]:
    """Name and stride of each block, by stages; the stride is 2 in front of all but the first.

    first: what follows the name of a block in its first layer.
    """
    before = None
    for stage, block in product(range(1, 6), range(50)):
        if f"stage{stage}_block{block}{first}" in module:
            is_first = before not in (None, stage)
            yield f"stage{stage}_block{block}", 2 if is_first else 1
            before = stage


def _half_padded(own: Module, images: Value, stride: int = 1) -> Value:
    """A convolution padded with half its kernel, and its normalisation."""
    padding = own.array("kernel").shape[0] // 2
    return normed(
        own, convolution(own, images, stride=stride, padding=padding, groups=_groups(own))
    )


def _groups(own: Module) -> int:
    """Of a depthwise convolution, which is called so, as many as channels; else 1."""
    return own.array("kernel").shape[-1] if own.path.endswith("depthwise") else 1


def _as_imagenet(ink: Value) -> Value:
    """Ink as a white picture with dark lines, f[b 3 s s], as the published networks expect it."""
    mean, deviation = (np.array(each, np.float32).reshape(1, 3, 1, 1) for each in (MEAN, DEVIATION))
    return (1.0 - ink - mean) / deviation


ENCODERS = {
    "alexnet": alexnet,
    "sketch_a_net": sketch_a_net,
    "resnet50": resnet50,
    "torch_resnet": torch_resnet,
    "shufflenet_v2": shufflenet_v2,
    "efficientnet_lite": efficientnet_lite,
    "dsh_sketch": dsh_sketch,
}
