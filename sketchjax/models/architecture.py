"""What a network is built from, and what a model file says of itself. No jax here."""

from __future__ import annotations

from typing import Any

import msgspec


class Drawing(msgspec.Struct, frozen=True):
    """How strokes become what the encoders read.

    size, stroke_width: of the picture, in pixels.
    offset_scale: drawing units, what the offsets of the sequence are divided by.
    """

    size: int
    stroke_width: float
    offset_scale: float


class Architecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A network, whole: the same architecture and variables give the same codes anywhere.

    encoders: by name, in order, each as {"kind": a row of ENCODERS, SETTING: ...}.
    head: a row of HEADS; width: d, its features.
    fusion_features: width of a dense layer between encoders and head; 0: none.
    dtype: of the computation.
    points: t, longer sketches are cut to their first points.
    categories: the name of each label.
    """

    encoders: dict[str, dict[str, Any]]
    head: str
    width: int
    fusion_features: int
    dtype: str
    drawing: Drawing
    points: int
    categories: list[str]

    @property
    def classes(self) -> int:
        """l, the number of categories."""
        return len(self.categories)
