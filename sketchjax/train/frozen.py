"""Training of a head only, on features of encoders that stay as they are: seconds, not hours.

Losses, schedules, batches and steps are those of a run. What comes before the head is computed once
and held by the devices. The learning rate and the seed are arguments of the compiled steps: all
heads of one objective, on one pair of encoders or on several, are compiled once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import msgspec
import numpy as np
import optax

from sketchjax.config import StageRow
from sketchjax.config.rows import loss_terms
from sketchjax.data.feed.order import BalancedOrder, Order
from sketchjax.data.inputs import SKETCH
from sketchjax.losses.loss import Memory, Setup, TrainingPart
from sketchjax.losses.objective import begin_memory
from sketchjax.models.architecture import Architecture
from sketchjax.models.network import Layers, Network
from sketchjax.models.table import HEAD
from sketchjax.parallel import (
    AXIS,
    SPLIT,
    WHOLE,
    average,
    compile_for,
    hold,
    over_devices,
    place,
    place_split,
)
from sketchjax.retrieval.encode import Encoded
from sketchjax.train import stages
from sketchjax.train.feed import ResidentFeed
from sketchjax.train.head_start import check_start, head_layer, look, started
from sketchjax.train.loop import Compiled, check_state, run_stage
from sketchjax.train.stages import Stage
from sketchjax.train.state import State, start
from sketchjax.train.step import Training, dispatch

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

    @cached_property
    def compiled(self) -> Any:
        """`apply`, compiled."""
        return jax.jit(self.apply)

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
    own = msgspec.structs.replace(
        architecture, encoders={}, fusion_features=0, dropout=dropout, mirrored=False
    )
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

    @cached_property
    def held(self) -> tuple[Any, Any]:
        """Features and labels on the devices: sent there once, for all heads."""
        return hold((self.features, self.labels.astype(np.int32)))


class _Held(NamedTuple):
    """What the devices hold while a head trains.

    features: f32[n e].
    label: i32[n].
    rate: f32[], the learning rate at its highest.
    seed: i32[], of everything random in a step.
    """

    features: Any
    label: Any
    rate: Any
    seed: Any
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
    """

    batch: int = 256
    inner_steps: int = 8
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    head_start: str = "random"


def head_stage(
    name: str, losses: dict[str, Any], *, number: int = 0, epochs: float, classes: int = 0
) -> StageRow:
    """A stage that trains a head: a cosine schedule after a warm-up of a tenth of an epoch.

    name: of the stage.
    losses: as in a config: by name, a weight or a section of settings.
    number: its place, which seeds its random numbers.
    epochs: its length.
    classes: of a balanced batch; 0: batches are drawn from all sketches alike.
    """
    return StageRow(
        name=name,
        number=number,
        trains=(HEAD,),
        output=HEAD,
        losses=loss_terms(losses),
        epochs=epochs,
        learning_rate=1.0,  # that of each head is given to `HeadTrainer.train`
        schedule="cosine",
        warmup_epochs=0.1,
        classes=classes,
        each=0,
    )


class HeadTrainer:
    """Trains heads of one network through the same stages.

    network: the head.
    rows: the stages, in order, as `head_stage` makes them.
    settings: what else decides.

    Each stage is compiled once for all rates and seeds, and for all sketches of one shape.
    """

    def __init__(self, network: HeadNetwork, rows: Sequence[StageRow], settings: Settings):
        self.network, self.rows, self.settings = network, rows, settings
        self._programs: dict[Any, Any] = {}

    def train(self, frozen: Frozen, learning_rate: float, seed: int) -> dict[str, Any]:
        """Train a head through all its stages; returns the network's variables.

        frozen: what it is trained on.
        learning_rate: of each stage, at its highest.
        seed: of everything random.
        Raises DataError when a batch has more sketches than there are, NotFiniteError when the loss
        is not finite, ConfigError when the head cannot start as the settings say.
        """
        variables = self.network.initialise(jax.random.key(seed))
        variables = _started(self.network, variables, frozen, self.settings.head_start, seed)
        held = _Held(*frozen.held, np.float32(learning_rate), np.int32(seed))
        memories: dict[str, Memory] = {}
        for row in self.rows:
            order = _order(frozen, row, self.settings, seed)
            stage = _stage(self.network, row, order)
            setup = _setup(self.network, variables, frozen, stage)
            memories = begin_memory(row.losses, setup, memories)
            feed = _FeatureFeed(held, order)
            training = Training(
                self.network, stage, self._optimizer(stage), average, seed, feed.load
            )
            state = start(training.optimizer, stage, variables, memories)
            logs = run_stage(
                training,
                state,
                feed,
                outer_steps=order.blocks_per_epoch,
                compiled=self._compiled,
            )
            for logged in logs:
                state = logged.state
            check_state(state, row.name)
            variables, memories = state.variables, state.memories
        return jax.device_get(variables)

    def _compiled(
        self, training: Training, held: _Held, state: State, blocks: Any, devices: Any
    ) -> Compiled:
        """`train.loop.compile_dispatch`, but the program of an earlier head serves again."""
        stage = training.stage.row.number
        key = stage, str(jax.tree.map(lambda leaf: (np.shape(leaf), leaf.dtype), (held, blocks)))
        if key not in self._programs:
            on_devices = over_devices(
                partial(self._dispatch, training),
                inputs=(WHOLE, WHOLE, SPLIT),
                outputs=(WHOLE, WHOLE),
                devices=devices,
            )
            self._programs[key] = compile_for(on_devices, held, state, blocks)
        compiled, (held_there, there, split_there) = self._programs[key]
        held = place(held, held_there)
        return lambda state, blocks: compiled(
            held, place(state, there), place_split(blocks, split_there)
        )

    def _dispatch(self, training: Training, held: _Held, state: State, blocks: Any) -> Any:
        """`train.step.dispatch` with the rate and the seed that are held."""
        row = replace(training.stage.row, learning_rate=held.rate)
        stage = replace(training.stage, row=row)
        own = training._replace(stage=stage, optimizer=self._optimizer(stage), seed=held.seed)
        return dispatch(own, held, state, blocks)

    def _optimizer(self, stage: Stage) -> optax.GradientTransformation:
        settings = self.settings
        return stages.optimizer(
            stage, weight_decay=settings.weight_decay, clip_norm=settings.clip_norm
        )


def head_outputs(
    network: HeadNetwork, variables: Any, features: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A head's features f32[n d] and predictions i32[n] of what it reads, f32[n e].

    variables: of the network.
    """
    found = [
        network.compiled(variables, features[first : first + _BLOCK])
        for first in range(0, len(features), _BLOCK)
    ]
    made = np.concatenate([np.asarray(part.features) for part in found])
    return made, np.concatenate([np.asarray(part.logits.argmax(-1), np.int32) for part in found])


def _order(frozen: Frozen, row: StageRow, settings: Settings, seed: int) -> Order:
    key = seed, row.number
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


def _started(network: HeadNetwork, variables: Any, frozen: Frozen, kind: str, seed: int) -> Any:
    """The variables, with the head's dense layer set as a `head_start` says."""
    architecture = network.architecture
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
    seen = look((whole,), architecture.classes, count, seed)
    layer = head_layer(kind, seen, architecture.width, seed)
    return started(variables, architecture.head, layer)
