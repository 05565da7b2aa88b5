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

    logits: f[b l]; labels: i[b]; features: f[b d], in (0, 1) where they are of a hash layer;
    activations: f[b d], the same before the sigmoid; both None while one branch trains alone.
    codes: f[b d] of 0 and 1, fixed; memory: arrays by name; both the loss's own.
    """

    logits: jax.Array
    labels: jax.Array
    features: Any = None
    activations: Any = None
    codes: Any = None
    memory: Memory = {}  # noqa: RUF012 - never written to


class TrainingPart(NamedTuple):
    """Some training sketches: features f[n d], labels i[n], image entropy f[n]."""

    features: np.ndarray
    labels: np.ndarray
    entropy: np.ndarray


@dataclass(frozen=True)
class Setup:
    """What a loss may look at before its first stage.

    classes, width: l and d; entropy_low, entropy_high: f[l], each class's bounds; in_training:
    bool[l], classes that have training sketches; block_share: of the training split, in one block;
    word_vectors: f[l e], where the objective has a loss that needs them; train: one pass over the
    training sketches with the model as it is.
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
    """A row of the table of losses. The arrays that it remembers are part of the state.

    value: f[] of a batch.
    blank: its memory as zeros, for the shapes; None: it remembers nothing.
    begin: its memory before its first stage; None: as blank.
    codes: (memory, features f[n d], labels i[n], average) -> codes f[n d] and memory, once for each
    block with the parameters fixed; average: the mean over devices.
    move: the memory after each step.
    whole_batch: it compares sketches with each other, so it sees those of all devices.
    """

    value: Callable[[LossInputs], jax.Array]
    blank: Callable[[Setup], Memory] | None = None
    begin: Callable[[Setup], Memory] | None = None
    codes: Callable[[Memory, Any, Any, Callable], tuple[jax.Array, Memory]] | None = None
    move: Callable[[LossInputs], Memory] | None = None
    whole_batch: bool = False
