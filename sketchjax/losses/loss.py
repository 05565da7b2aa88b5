"""What a loss is made of: a value, and for some a memory that training carries along."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

Memory = dict[str, Any]


class LossInputs(NamedTuple):
    """What a loss can see of a batch.

    logits: f[b l]; labels: i[b].
    features: f[b d] of the head, in (0, 1) for a hash layer; activations: f[b d], the same before
      the head's nonlinearity; both None where a stage reads a single encoder.
    codes: f[b d] of 0 and 1, fixed; memory: arrays by name; settings: numbers by name. These three
      are the loss's own.
    """

    logits: jax.Array
    labels: jax.Array
    features: Any = None
    activations: Any = None
    codes: Any = None
    memory: Memory = {}  # noqa: RUF012 - never written to
    settings: dict[str, float] = {}  # noqa: RUF012 - never written to


class TrainingPart(NamedTuple):
    """Some training sketches: features f[n d], labels i[n], image entropy f[n]."""

    features: np.ndarray
    labels: np.ndarray
    entropy: np.ndarray


@dataclass(frozen=True)
class Setup:
    """What a loss may look at before its first stage.

    classes, width: l and d.
    entropy_low, entropy_high: f[l], each class's bounds of image entropy.
    in_training: bool[l], classes that have training sketches.
    block_share: the share of the training split in one block.
    word_vectors: f[l e], where a loss of the run needs them.
    train: makes one pass over the training sketches with the model as it is.
    """

    classes: int
    width: int
    entropy_low: np.ndarray
    entropy_high: np.ndarray
    in_training: np.ndarray
    block_share: float
    word_vectors: np.ndarray | None
    train: Callable[[], Iterable[TrainingPart]]


@dataclass(frozen=True)
class Loss:
    """The functions of a loss, as `LOSS` in its file. What it remembers is part of the state.

    value: f[] of a batch.
    blank: its memory as zeros, for the shapes; None: it remembers nothing.
    begin: its memory before its first stage; None: as blank.
    codes: (memory, features f[n d], labels i[n], average) -> codes f[n d] and memory, once per
      block with the parameters fixed; average: the mean over devices.
    move: the memory after each step.
    """

    value: Callable[[LossInputs], jax.Array]
    blank: Callable[[Setup], Memory] | None = None
    begin: Callable[[Setup], Memory] | None = None
    codes: Callable[[Memory, Any, Any, Callable], tuple[jax.Array, Memory]] | None = None
    move: Callable[[LossInputs], Memory] | None = None
