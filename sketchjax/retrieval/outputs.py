"""What a model makes of drawings, as a value. No jax here: whatever runs the model makes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sketchjax.retrieval.codes import Codes


@dataclass(frozen=True, eq=False)
class Outputs:
    """A model's outputs for n drawings.

    codes: of the drawings.
    features: f32[n f], the head's features, whose thresholds the bits of the codes are.
    probabilities: f32[n l], of each category of the model.
    """

    codes: Codes
    features: np.ndarray
    probabilities: np.ndarray

    def __len__(self) -> int:
        return len(self.features)


class Encoder(Protocol):
    """What encodes drawings: a `Model`, or anything that gives the same codes."""

    @property
    def bits(self) -> int | None:
        """d, of a code; None for a model that makes none."""
        ...

    @property
    def categories(self) -> list[str]:
        """That it was trained on, in the order of `Outputs.probabilities`."""
        ...

    @property
    def reads(self) -> frozenset[str]:
        """The kinds of items that it encodes, of `strokes`, `raster` and `photo`."""
        ...

    @property
    def fingerprint(self) -> str:
        """The sha256 of the model; an index answers only queries of its own model."""
        ...

    @property
    def at_once(self) -> int:
        """Drawings that one pass encodes for less than as many passes would; 1: none."""
        ...

    def outputs(self, drawings: Any) -> Outputs:
        """Codes, features and probabilities of drawings, in one pass."""
        ...
