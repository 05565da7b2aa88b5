"""What a model's folder says about it in config.json, for those who have no sketchjax."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from sketchjax.errors import CheckpointError
from sketchjax.files import sha256
from sketchjax.models.architecture import Architecture, Drawing
from sketchjax.models.card import Card, fingerprint
from sketchjax.models.table import HEADS

FORMAT = "sketchjax folder 1"
GRAPH, CONFIG = "encoder.onnx", "config.json"


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """All that running `encoder.onnx` needs, and what made it.

    fingerprint: the sha256 by which codes and indexes name their model.
    categories: the name of each label.
    points: t; a longer drawing is cut to its first points, and the last one kept ends a stroke.
    bits, features: d, of a code and of the head.
    threshold: a feature above it is a 1.
    bit_order: `little`: bit j of a code is bit j % 8, of value 1 << (j % 8), of its byte j // 8.
    drawing: how the graph draws: size and stroke width in pixels, and what offsets are divided by.
    offset_scale: that divisor, in drawing units; 0 to 255 is the longer side of a drawing.
    weights: how kernels are stored, `float32` or `float16`; all arithmetic is in float32.
    architecture: of the network.
    files: the sha256 of each other file of the folder.
    versions: of the packages that made the model.
    """

    format: str = FORMAT
    fingerprint: str
    categories: list[str]
    points: int
    bits: int
    features: int
    threshold: float
    bit_order: str = "little"
    drawing: Drawing
    offset_scale: float
    weights: str
    architecture: Architecture
    files: dict[str, str] = {}
    versions: dict[str, str] = {}

    @classmethod
    def of(cls, card: Card, arrays: Mapping[str, np.ndarray]) -> Description:
        """Of a model that makes codes, by its file."""
        own = card.architecture
        is_half = any(array.dtype == np.float16 for array in arrays.values())
        return cls(
            fingerprint=fingerprint(arrays, own),
            categories=own.categories,
            points=own.points,
            bits=own.width,
            features=own.width,
            threshold=HEADS[own.head].threshold or 0.0,
            drawing=own.drawing,
            offset_scale=own.drawing.offset_scale,
            weights="float16" if is_half else "float32",
            architecture=own,
            versions=card.versions,
        )


def is_exported(path: Path) -> bool:
    """Whether a path is a folder that `export` wrote."""
    return (path / GRAPH).exists()


def read_description(folder: Path) -> Description:
    """What config.json says of a folder that `export` wrote.

    Raises CheckpointError when it or the graph is missing, damaged or of another version.
    """
    try:
        content = (folder / CONFIG).read_bytes()
        graph = sha256(folder / GRAPH)
        found = msgspec.json.decode(content, type=Description)
    except (OSError, msgspec.DecodeError) as error:
        raise CheckpointError(
            f"{folder} is not a folder that sketchjax export wrote ({error})"
        ) from error
    if found.format != FORMAT:
        raise CheckpointError(
            f"{folder} has the format {found.format!r}, not {FORMAT!r}; export again"
        )
    if graph != found.files.get(GRAPH):
        raise CheckpointError(f"{folder / GRAPH} is not what config.json describes; export again")
    return found
