"""The five stages of SketchMate's Algorithm 1, as rows of data."""

from dataclasses import dataclass

import jax
import optax

from sketchjax.config import Config
from sketchjax.config.relations import has_place
from sketchjax.models.two_branch import HEAD


@dataclass(frozen=True)
class Row:
    """What makes a stage: its name, and what it trains: `cnn`, `rnn` or the `whole` network.

    What else its objective needs, such as class centres or fixed codes, its losses know.
    """

    name: str
    branch: str


ROWS = (
    Row("cnn", "cnn"),
    Row("rnn", "rnn"),
    Row("joint", "whole"),
    Row("center", "whole"),
    Row("full", "whole"),
)


@dataclass(frozen=True)
class Stage:
    """A row with its schedule: `blocks` blocks of `inner_steps` steps in all.

    number: its place in ROWS, which seeds its random numbers; losses: weights by name; head_rate:
    the learning rate of what stands after the branches over that of the rest.
    """

    row: Row
    number: int
    losses: dict[str, float]
    learning_rate: float
    head_rate: float
    schedule: str
    blocks: int
    blocks_per_epoch: int
    inner_steps: int
    warmup_steps: int

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def steps(self) -> int:
        return self.blocks * self.inner_steps

    @property
    def steps_per_epoch(self) -> int:
        return self.blocks_per_epoch * self.inner_steps


def plan(config: Config, blocks_per_epoch: int) -> list[Stage]:
    """The stages that a config runs, in order.

    A stage's blocks are rounded up to whole dispatches, so that every dispatch has one shape.
    """
    stages = []
    for number, row in enumerate(ROWS):
        settings = config.stages[row.name]
        given = config.model.branches, config.train.pretrained
        if settings.epochs == 0 or not has_place(row.name, *given):
            continue
        dispatches = -(-settings.epochs * blocks_per_epoch // config.train.outer_steps)
        stages.append(
            Stage(
                row=row,
                number=number,
                losses={name: weight for name, weight in settings.losses.items() if weight},
                learning_rate=settings.learning_rate,
                head_rate=config.train.head_rate,
                schedule=settings.schedule,
                blocks=int(dispatches) * config.train.outer_steps,
                blocks_per_epoch=blocks_per_epoch,
                inner_steps=config.train.inner_steps,
                warmup_steps=round(
                    settings.warmup_epochs * blocks_per_epoch * config.train.inner_steps
                ),
            )
        )
    return stages


def learning_rate(stage: Stage) -> optax.Schedule:
    """`cosine`: linear warm-up, then cosine decay to 0; `steps`: divided by 10 every 10 epochs."""
    if stage.schedule == "cosine":
        warmup = min(stage.warmup_steps, stage.steps // 2)
        return optax.warmup_cosine_decay_schedule(
            stage.learning_rate if warmup == 0 else 0.0,
            stage.learning_rate,
            warmup,
            stage.steps,
        )
    if stage.schedule == "steps":
        return optax.exponential_decay(
            stage.learning_rate, 10 * stage.steps_per_epoch, 0.1, staircase=True
        )
    return optax.constant_schedule(stage.learning_rate)


def optimizer(stage: Stage, *, weight_decay: float, clip_norm: float):
    """Adam under the stage's schedule; decoupled weight decay on kernels, clipping by norm."""
    parts = [optax.clip_by_global_norm(clip_norm)] if clip_norm else []
    parts.append(
        optax.adamw(learning_rate(stage), weight_decay=weight_decay, mask=_kernels)
        if weight_decay
        else optax.adam(learning_rate(stage))
    )
    if stage.head_rate != 1:
        parts.append(optax.masked(optax.scale(stage.head_rate), _head))
    return optax.chain(*parts)


def _head(params):
    """True for all of the parts that stand after the branches."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[0].key in HEAD, params)


def _kernels(params):
    """True for the kernels: biases and normalisation are not decayed."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
