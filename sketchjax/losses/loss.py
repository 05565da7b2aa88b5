"""What a loss is made of: a value, and for some a memory that training carries along."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

Memory = dict[str, Any]


class LossInputs(NamedTuple):
    """What a loss sees of a batch, of sketches or of sketches and photos (`losses.sides`).

    logits: f[b l]; None where codes are made.
    labels: i[b].
    features: f[b d] of the head, in (0, 1) for a hash layer; None where a stage reads one encoder.
    activations: f[b d], the features before the head's nonlinearity; None likewise.
    codes: f[b d] of 0 and 1, those that this loss fixed for the batch; None if it makes none.
    progress: f[] in [0, 1), the share of the stage's steps that are done; None outside training.
    instances: i[b], the photo that each item is or draws; -1 where unknown; None without photos.
    sketches: how many rows are sketches, the first ones; the others are photos. None: one side.
    teacher: f[b e], a frozen teacher's embeddings of the same items; None without a teacher.
    memory: arrays by name, those that this loss remembers.
    settings: numbers and words by name, as the loss's row declares them.
    """

    logits: Any
    labels: jax.Array
    features: Any = None
    activations: Any = None
    codes: Any = None
    progress: Any = None
    instances: Any = None
    sketches: int | None = None
    teacher: Any = None
    memory: Memory = {}  # noqa: RUF012 - never written to
    settings: dict[str, Any] = {}  # noqa: RUF012 - never written to


class TrainingPart(NamedTuple):
    """Some of the training sketches.

    features: f[n d].
    labels: i[n].
    entropy: f[n], image entropy.
    """

    features: np.ndarray
    labels: np.ndarray
    entropy: np.ndarray


@dataclass(frozen=True)
class Setup:
    """What a loss may look at before its first stage.

    classes: l; width: d.
    entropy_low, entropy_high: f[l], each class's bounds of image entropy.
    in_training: bool[l], the classes that have training sketches.
    block_share: the share of an epoch in one block.
    word_vectors: f[l e]; None if no loss of the run needs them.
    train: makes one pass over the training sketches with the model of this moment.
    counts: i[2 l], the training sketches and photos of each class; None in a run without photos.
    """

    classes: int
    width: int
    entropy_low: np.ndarray
    entropy_high: np.ndarray
    in_training: np.ndarray
    block_share: float
    word_vectors: np.ndarray | None
    train: Callable[[], Iterable[TrainingPart]]
    counts: np.ndarray | None = None


@dataclass(frozen=True)
class Loss:
    """The functions of a loss, `LOSS` in its file. A memory is part of the training state.

    value: the loss f[] of a batch.
    blank: its memory as zeros, which gives the shapes; None: it remembers nothing.
    begin: its memory before its first stage; None: as blank.
    codes: (block, average) -> codes f[n d] of 0 and 1 and memory, once per block with the
      parameters fixed. The block has `features`, `labels`, `sketches`, `memory` and `settings`;
      average: the mean over devices. None: it makes no codes.
    figures: what a log shows of its memory, f[] by name. None: nothing.
    move: its memory after each step, by the batches of all devices; None: as before the step.
    """

    value: Callable[[LossInputs], jax.Array]
    blank: Callable[[Setup], Memory] | None = None
    begin: Callable[[Setup], Memory] | None = None
    codes: Callable[[LossInputs, Callable], tuple[jax.Array, Memory]] | None = None
    move: Callable[[LossInputs], Memory] | None = None
    figures: Callable[[Memory], dict[str, jax.Array]] | None = None
