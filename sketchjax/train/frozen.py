"""Training of a head only, on features of encoders that stay as they are: seconds, not hours.

Losses, schedules, batches and steps are those of a run. What comes before the head is computed once
and held by the devices, so that many objectives can be compared on one pair of encoders.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import msgspec
import numpy as np

from sketchjax.config import StageRow
from sketchjax.config.rows import loss_terms
from sketchjax.data.feed.order import BalancedOrder, Order
from sketchjax.data.inputs import SKETCH
from sketchjax.losses.loss import Memory, Setup, TrainingPart
from sketchjax.losses.objective import begin_memory
from sketchjax.models.architecture import Architecture
from sketchjax.models.network import Layers, Network
from sketchjax.models.table import HEAD
from sketchjax.parallel import AXIS, average
from sketchjax.retrieval.encode import Encoded
from sketchjax.train import stages
from sketchjax.train.feed import ResidentFeed
from sketchjax.train.head_start import check_start, head_layer, look, started
from sketchjax.train.loop import check_state, run_stage
from sketchjax.train.stages import Stage
from sketchjax.train.state import start
from sketchjax.train.step import Training

_VIEW = "features"
_BLOCK = 4096  # rows that pass through a head at once


class Given(nn.Module):
    """Features as they are."""

    def __call__(
        self, values: jax.Array, train: bool = False, keys: jax.Array | None = None
    ) -> jax.Array:
        """values: f[b e].  Returns f[b e]."""
        return values


@dataclass(frozen=True)
class HeadNetwork(Network):
    """A head with its classifier; its inputs are what the head reads, f32[b e].

    reads: e.
    """

    reads: int = 1

    def blank(self, side: str = SKETCH) -> Any:
        return np.zeros((1, self.reads), np.float32)

    def augmented(self, keys: jax.Array, flips: jax.Array, inputs: Any, side: str = SKETCH) -> Any:
        return inputs

    def views(self, inputs: Any, output: str) -> dict[str, tuple[jax.Array, ...]]:
        return {_VIEW: (inputs,)}


def head_network(
    architecture: Architecture, reads: int, *, dropout: float = 0.0, axis_name: str | None = AXIS
) -> HeadNetwork:
    """The head of an architecture, without its encoders.

    architecture: head, width and categories count.
    reads: e, the features that the head reads.
    dropout: the share of them that is dropped in training.
    axis_name: the devices' axis, as for `models.network.build`.
    """
    layers = Layers(
        encoders=((_VIEW, _VIEW, Given),),
        head=architecture.head,
        width=architecture.width,
        classes=architecture.classes,
        embedding=architecture.embedding,
        axis_name=axis_name,
        dropout=dropout,
    )
    own = msgspec.structs.replace(architecture, encoders={}, fusion_features=0, dropout=dropout)
    return HeadNetwork(own, layers, reads=reads)


@dataclass(frozen=True)
class Frozen:
    """The training sketches as a head sees them.

    features: f32[n e].
    labels: i32[n].
    entropy: f32[n], image entropy.
    entropy_low, entropy_high: f[l], each class's bounds of image entropy.
    """

    features: np.ndarray
    labels: np.ndarray
    entropy: np.ndarray
    entropy_low: np.ndarray
    entropy_high: np.ndarray


class _Held(NamedTuple):
    features: Any
    label: Any
    instance: Any = None


class _FeatureFeed(ResidentFeed):
    """Batches of features that the devices hold."""

    def __init__(self, held: _Held, order: Order):
        super().__init__(held, order, points=0, position=0)  # pyright: ignore[reportArgumentType]

    def pick(self, held: Any, index: jax.Array) -> tuple[Any, jax.Array]:
        return held.features[index], held.label[index]


@dataclass(frozen=True)
class Settings:
    """How a head is trained, besides its stages.

    batch: sketches of a step, over all devices, which divide it.
    inner_steps: k, steps of a block.
    weight_decay, clip_norm, head_start: as `train.*` of a config.
    seed: of everything random.
    """

    batch: int = 256
    inner_steps: int = 8
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    head_start: str = "random"
    seed: int = 0


def head_stage(
    name: str,
    losses: dict[str, Any],
    *,
    number: int = 0,
    epochs: float,
    learning_rate: float,
    classes: int = 0,
) -> StageRow:
    """A stage that trains a head.

    name: of the stage.
    losses: as in a config: by name, a weight or a section of settings.
    number: its place, which seeds its random numbers.
    epochs: its length.
    learning_rate: at its highest; a cosine follows a warm-up of a tenth of an epoch.
    classes: of a balanced batch; 0: batches are drawn from all sketches alike.
    """
    return StageRow(
        name=name,
        number=number,
        trains=(HEAD,),
        output=HEAD,
        losses=loss_terms(losses),
        epochs=epochs,
        learning_rate=learning_rate,
        schedule="cosine",
        warmup_epochs=0.1,
        classes=classes,
        each=0,
    )


def train_head(
    network: HeadNetwork, rows: Sequence[StageRow], frozen: Frozen, settings: Settings
) -> dict[str, Any]:
    """Train a head through all its stages; returns the network's variables.

    rows: the stages, in order, as `head_stage` makes them.
    frozen: what it is trained on.
    Raises DataError when a batch has more sketches than there are, NotFiniteError when the loss is
    not finite, ConfigError when the head cannot start as the settings say.
    """
    variables = network.initialise(jax.random.key(settings.seed))
    variables = _started(network, variables, frozen, settings)
    held = _Held(frozen.features, frozen.labels.astype(np.int32))
    memories: dict[str, Memory] = {}
    for row in rows:
        order = _order(frozen, row, settings)
        stage = _stage(network, row, order)
        setup = _setup(network, variables, frozen, stage)
        memories = begin_memory(row.losses, setup, memories)
        optimizer = stages.optimizer(
            stage, weight_decay=settings.weight_decay, clip_norm=settings.clip_norm
        )
        feed = _FeatureFeed(held, order)
        training = Training(network, stage, optimizer, average, settings.seed, feed.load)
        state = start(optimizer, stage, variables, memories)
        for logged in run_stage(training, state, feed, outer_steps=order.blocks_per_epoch):
            state = logged.state
        check_state(state, row.name)
        variables, memories = state.variables, state.memories
    return jax.device_get(variables)


def head_outputs(
    network: HeadNetwork, variables: Any, features: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A head's features f32[n d] and predictions i32[n] of what it reads, f32[n e].

    variables: of the network.
    """
    apply = jax.jit(network.apply)
    found = [
        apply(variables, features[first : first + _BLOCK])
        for first in range(0, len(features), _BLOCK)
    ]
    made = np.concatenate([np.asarray(part.features) for part in found])
    return made, np.concatenate([np.asarray(part.logits.argmax(-1), np.int32) for part in found])


def _order(frozen: Frozen, row: StageRow, settings: Settings) -> Order:
    key = settings.seed, row.number
    size = len(frozen.labels)
    if not row.classes:
        return Order(size, settings.batch, settings.inner_steps, key)
    return BalancedOrder(
        size, settings.batch, settings.inner_steps, key, labels=frozen.labels, classes=row.classes
    )


def _stage(network: HeadNetwork, row: StageRow, order: Order) -> Stage:
    """The stage, with its epochs rounded up: a dispatch is one epoch."""
    per_epoch = order.blocks_per_epoch
    return Stage(
        row=row,
        parts=network.layers.parts_of((HEAD,), HEAD),
        head_parts=network.layers.head_parts(),
        head_rate=1.0,
        blocks=math.ceil(row.epochs) * per_epoch,
        blocks_per_epoch=per_epoch,
        inner_steps=order.inner_steps,
        warmup_steps=round(row.warmup_epochs * per_epoch * order.inner_steps),
    )


def _setup(network: HeadNetwork, variables: Any, frozen: Frozen, stage: Stage) -> Setup:
    """What the losses of a stage may look at before the stage begins."""

    def train() -> Iterator[TrainingPart]:
        features, _ = head_outputs(network, variables, frozen.features)
        yield TrainingPart(features, frozen.labels, frozen.entropy)

    classes = network.architecture.classes
    return Setup(
        classes=classes,
        width=network.architecture.width,
        entropy_low=frozen.entropy_low,
        entropy_high=frozen.entropy_high,
        in_training=np.isin(np.arange(classes), frozen.labels),
        block_share=1 / stage.blocks_per_epoch,
        word_vectors=None,
        train=train,
    )


def _started(network: HeadNetwork, variables: Any, frozen: Frozen, settings: Settings) -> Any:
    """The variables, with the head's dense layer set as `settings.head_start` says."""
    kind, architecture = settings.head_start, network.architecture
    if kind == "random":
        return variables
    check_start(kind, variables["params"][architecture.head], (), architecture.head)
    count = len(frozen.labels)
    whole = Encoded(
        features=frozen.features,
        predictions=frozen.labels,
        labels=frozen.labels,
        places=np.arange(count),
        key_ids=np.zeros(count, np.uint64),
        entropy=frozen.entropy,
    )
    seen = look((whole,), architecture.classes, count, settings.seed)
    layer = head_layer(kind, seen, architecture.width, settings.seed)
    return started(variables, architecture.head, layer)
