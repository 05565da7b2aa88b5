"""The encoders and heads a network can have, as rows of data.

No jax here: a config is checked against these rows before jax loads, and `models.network` finds the
modules that they name. A new encoder is one file and one row (docs/adding-an-encoder.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sketchjax.data.inputs import SIDES, SKETCH
from sketchjax.fields import Field, choice, number, place, share, switch, text, whole


@dataclass(frozen=True)
class Encoder:
    """A row of ENCODERS.

    module: FILE:CLASS in sketchjax/models, a flax module with the row's settings, `dtype` and
      `axis_name` (of the devices, for batch normalisation) as its fields; called as
      `module(*view, train=..., keys=...)` it returns f32[b e].
    view: what it reads, a row of `models.views.VIEWS`.
    settings: by name; each is a config field of the encoder.
    smallest: the least side in pixels of a picture it can read, from its settings.
    """

    module: str
    view: str
    settings: Mapping[str, Field]
    smallest: Callable[[Mapping[str, Any]], int] | None = None


_SIZES = "CNN: width, stride of the first layer, units of the dense layers"
_DROPOUT = "dropout"

_PICTURE = {
    # With less than 0.01 the first convolution has no channel left.
    "width": number(1.0, 0.01, 64, question=_SIZES),
    "stem_stride": whole(4, 1, question=_SIZES),
    "dense_features": whole(0, 0, 65_536, question=_SIZES),  # 0: as published, times the width
    "batch_norm": switch(True, question="CNN: batch normalisation"),
    "dropout": share(0.5, question=_DROPOUT),
}

_PRETRAINED = "pretrained photo encoders"

# Of all encoders made for photos (`models.backbone`).
_BACKBONE = {
    "dropout": share(0.0, question=_DROPOUT),
    "pretrained": place(question=_PRETRAINED),
    "frozen_norm": switch(False, question=_PRETRAINED),
}

_DSH = {
    "width": number(1.0, 0.01, 64, question=_SIZES),
    "pooled": switch(False, question=_SIZES),
    "batch_norm": switch(False, question="CNN: batch normalisation"),
    **{
        f"{branch}_dropout_{layer}": share(rate, question=_DROPOUT)
        for branch, rate in (("sketch", 0.25), ("token", 0.3), ("photo", 0.4))
        for layer in "ab"
    },
}

ENCODERS: dict[str, Encoder] = {
    "alexnet": Encoder(
        "alexnet:AlexNet", "picture", _PICTURE, lambda own: 14 * own["stem_stride"] + 7
    ),
    "sketch_a_net": Encoder(
        "sketch_a_net:SketchANet", "picture", _PICTURE, lambda own: 22 * own["stem_stride"] + 15
    ),
    "resnet50": Encoder("resnet:ResNet50", "picture", _PICTURE, lambda own: 1),
    "bigru": Encoder(
        "bigru:BiGRU",
        "sequence",
        {
            "hidden": whole(512, 1, 65_536),
            "layers": whole(2, 1, 64),
            "dropout": share(0.0, question=_DROPOUT),
            # linen: flax.linen.RNN; fused: our own loop, the same numbers in less time.
            "implementation": choice("linen", "fused"),
        },
    ),
    "efficientnet_lite": Encoder(
        "efficientnet_lite:EfficientNetLite",
        "picture",
        {"size": whole(0, 0, 2, question=_SIZES), "drop_path": share(0.2), **_BACKBONE},
        lambda own: 1,
    ),
    "shufflenet_v2": Encoder(
        "shufflenet:ShuffleNetV2",
        "picture",
        {
            "times": choice("1.0", "0.5", "1.5", "2.0", question=_SIZES),
            "stem_stride": whole(2, 1, question=_SIZES),
            **_BACKBONE,
        },
        lambda own: 1,
    ),
    "torch_resnet": Encoder(
        "torch_resnet:TorchResNet",
        "picture",
        {"depth": choice("18", "50", question=_SIZES), **_BACKBONE},
        lambda own: 1,
    ),
    "dsh_sketch": Encoder("dsh:DSHSketch", "picture", _DSH, lambda own: 56),
    "dsh_photo": Encoder(
        "dsh:DSHPhoto", "picture_and_contour", {**_DSH, "shares": text()}, lambda own: 63
    ),
}


@dataclass(frozen=True)
class Head:
    """A row of HEADS.

    activation: `sigmoid`, `relu` or empty, after the dense layer.
    threshold: a feature above it is a 1 of the code; None: no codes.
    classifies_signs: whether the classifier reads the code in {-1, 1}, with the gradient that the
      activations before `activation` would have in its place; by default it reads the features.
    of_posterior: whether the classifier reads what the head would, and the features come from its
      posterior (`models.posterior`).
    ranks_features: whether its features are ranked by their distances as well.
    """

    activation: str
    threshold: float | None
    classifies_signs: bool = False
    of_posterior: bool = False
    ranks_features: bool = False


HEADS: dict[str, Head] = {
    "hash": Head("sigmoid", 0.5),
    "sign_hash": Head("sigmoid", 0.5, classifies_signs=True),
    "embedding": Head("", 0.0, ranks_features=True),
    "features": Head("relu", None),
    "posterior": Head("", 0.0, of_posterior=True),
}

# How the features of the head `embedding` are normalised; the first is the default.
EMBEDDINGS = ("raw", "unit_length", "batch_norm")

# What a stage reads or trains after the encoders, and what stands for all encoders together.
HEAD = "head"
ALL_ENCODERS = "encoders"
FUSION, CLASSIFIER = "fusion", "classifier"
EMBEDDING = "embedding"  # the head of embeddings; in front of a posterior head, its projection
POSTERIOR = "posterior"  # the head of posterior codes
SHARES = "shares"  # the setting of a photo encoder that has its parameters in another one's part
CODEBOOK = "codebook"  # the parameter of the head `posterior` that is no kernel


def of_side(name: str, side: str) -> str:
    """What a part or an output after the encoders is called on a side: `head`, `photo_head`."""
    return name if side == SKETCH else f"{side}_{name}"


# The head of each side, as stages name it.
SIDE_OF_HEAD = {of_side(HEAD, side): side for side in SIDES}
