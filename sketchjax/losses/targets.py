"""Class targets: one code of -1 and 1 for each class, fixed before training.

Losses that pull codes to the target of their class take them from here, by the word of their
setting `targets`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from scipy.linalg import hadamard

from sketchjax.losses.loss import LossInputs
from sketchjax.ops.codebook import codebook, least_distance

_SEED = 0  # of random targets: they depend on classes and bits only, so no checkpoint holds them
_DRAWS = 20  # of random targets, of which the best is kept, as in CSQ's code


def with_targets(seen: LossInputs) -> dict[str, Any]:
    """The settings of a loss, with the targets i8[l d] in place of the word that names them."""
    assert seen.activations is not None, "targets are for the head's activations"
    classes, bits = seen.logits.shape[-1], seen.activations.shape[-1]
    return {**seen.settings, "targets": class_targets(classes, bits, seen.settings["targets"])}


@cache
def class_targets(classes: int, bits: int, kind: str) -> np.ndarray:
    """The targets i8[l d] of -1 and 1; the same on each call.

    classes: l.
    bits: d.
    kind: `codebook`, codes whose least distance is as large as we can make it; `hadamard`, CSQ's
      (Yuan et al., CVPR 2020): rows of a Hadamard matrix and then their opposites, where d is a
      power of 2, and for all further classes random codes with as many 1 as -1; `bernoulli`, of
      OrthoHash (Hoe et al., NeurIPS 2021): each bit a fair coin. With few bits two classes may then
      share a target: 345 classes do at 16 bits.
    """
    found = _MAKERS[kind](classes, bits)
    found.flags.writeable = False
    return found


def _bernoulli(classes: int, bits: int) -> np.ndarray:
    coins = np.random.default_rng(_SEED).integers(0, 2, (classes, bits), np.int8)
    return 2 * coins - 1


def _hadamard(classes: int, bits: int) -> np.ndarray:
    rows = np.zeros((0, bits), np.int8)
    if bits & (bits - 1) == 0:
        positive = hadamard(bits).astype(np.int8)
        rows = np.concatenate([positive, -positive])[:classes]
    if len(rows) == classes:
        return rows
    random = np.random.default_rng(_SEED)
    balanced = np.resize(np.array([1, -1], np.int8), (classes - len(rows), bits))
    draws = [np.concatenate([rows, random.permuted(balanced, axis=1)]) for _ in range(_DRAWS)]
    return max(draws, key=least_distance)


def _codebook(classes: int, bits: int) -> np.ndarray:
    return codebook(max(classes, 2), bits)[:classes]


_MAKERS = {"codebook": _codebook, "hadamard": _hadamard, "bernoulli": _bernoulli}
