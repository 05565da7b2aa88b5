"""Shallow hashing as rows of a comparison: fitted to the features that trained heads read."""

from __future__ import annotations

from functools import partial

import numpy as np

from sketchjax.paper.shallow import HASHERS, Hasher
from sketchjax.run.material import Material
from sketchjax.run.objectives import Arrays, MakeCoder, Setting


class ShallowCodes:
    """Codes of a shallow method."""

    def __init__(self, method: type[Hasher], setting: Setting):
        self._method, self._bits = method, setting.bits

    def fit(self, material: Material, rate: float | None, seed: int) -> Arrays:
        frozen = material.frozen
        return self._method(self._bits, seed).fit(frozen.features, frozen.labels).arrays()

    def encode(self, arrays: Arrays, features: np.ndarray) -> np.ndarray:
        return self._method(self._bits).restore(arrays).encode(features)


SHALLOW: dict[str, MakeCoder] = {
    name: partial(ShallowCodes, method) for name, method in HASHERS.items()
}
