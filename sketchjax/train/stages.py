"""The stages of a run: the rows of its config, with their schedules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import optax

from sketchjax.config import Config, StageRow, stage_rows
from sketchjax.config.rows import trained_parts
from sketchjax.losses.table import trains_classifier
from sketchjax.models.table import HEAD, of_side
from sketchjax.train.averaging import averaged
from sketchjax.train.vectors import HEAD_KERNELS, HEAD_OTHERS, KERNELS


@dataclass(frozen=True)
class Stage:
    """A stage with its schedule: `blocks` blocks of `inner_steps` steps each.

    row: the config's; its number seeds the stage's random numbers.
    parts: the parameters it changes, by top-level name.
    head_parts: the parameters after the encoders, by top-level name.
    head_rate: learning rate of the head over that of the encoders.
    blocks: in all.
    blocks_per_epoch: whole blocks of an epoch of this stage's batches.
    inner_steps: k, steps of a block.
    warmup_steps: steps over which the learning rate rises.
    classifies: whether it or a stage before it trains the classifier of its output, without which
      accuracy is no figure.
    """

    row: StageRow
    parts: tuple[str, ...]
    head_parts: tuple[str, ...]
    head_rate: float
    blocks: int
    blocks_per_epoch: int
    inner_steps: int
    warmup_steps: int
    classifies: bool = True

    @property
    def name(self) -> str:
        return self.row.name

    def output(self, side: str) -> str:
        """What the losses read of a side."""
        return of_side(HEAD, side) if self.row.output == HEAD else self.row.output

    @property
    def steps(self) -> int:
        return self.blocks * self.inner_steps

    @property
    def steps_per_epoch(self) -> int:
        return self.blocks_per_epoch * self.inner_steps

    @property
    def epochs(self) -> float:
        """The length of the stage in epochs."""
        return self.blocks / self.blocks_per_epoch


def plan(
    config: Config,
    parts_of: Callable[[tuple[str, ...], str], tuple[str, ...]],
    head_parts: tuple[str, ...],
    blocks_per_epoch: Callable[[StageRow], int],
) -> list[Stage]:
    """The stages that a config runs, in order.

    config: of the run.
    parts_of: (parts by name, output) -> the parameters, as `Layers.parts_of` gives them.
    head_parts: the parameters after the encoders, by top-level name.
    blocks_per_epoch: whole blocks of an epoch of a stage's batches.

    A stage's blocks are rounded up to whole dispatches, so that all dispatches have one shape.
    """
    stages, train = [], config.train
    classifiers = set()
    for row in stage_rows(config):
        if trains_classifier(row.losses):
            classifiers.add(row.output)
        epoch = blocks_per_epoch(row)
        dispatches = -(-row.epochs * epoch // train.outer_steps)
        named = trained_parts(row.trains, config.model.branches, config.model.photo_branches)
        stages.append(
            Stage(
                row=row,
                parts=parts_of(named, row.output),
                head_parts=head_parts,
                head_rate=train.head_rate,
                blocks=int(dispatches) * train.outer_steps,
                blocks_per_epoch=epoch,
                inner_steps=train.inner_steps,
                warmup_steps=round(row.warmup_epochs * epoch * train.inner_steps),
                classifies=row.output in classifiers,
            )
        )
    return stages


def learning_rate(stage: Stage) -> optax.Schedule:
    """The learning rate at each step of a stage.

    `cosine`: linear warm-up, then cosine decay to 0; `steps`: divided by 10 every 10 epochs.
    """
    row = stage.row
    if row.schedule == "cosine":
        warmup = min(stage.warmup_steps, stage.steps // 2)
        first = row.learning_rate if warmup == 0 else 0.0
        # Not optax.warmup_cosine_decay_schedule, which looks at the rate: it may be an argument of
        # a compiled step.
        return optax.join_schedules(
            [
                optax.linear_schedule(first, row.learning_rate, warmup),
                optax.cosine_decay_schedule(row.learning_rate, stage.steps - warmup),
            ],
            [warmup],
        )
    if row.schedule == "steps":
        return optax.exponential_decay(
            row.learning_rate, 10 * stage.steps_per_epoch, 0.1, staircase=True
        )
    return optax.constant_schedule(row.learning_rate)


def optimizer(
    stage: Stage, *, weight_decay: float, clip_norm: float, averaging: float = 0.0
) -> optax.GradientTransformation:
    """Adam with the stage's schedule, over the vectors that `vectors` makes of its parameters.

    stage: its schedule, and the rate of its head.
    weight_decay: decoupled, on kernels only; 0: none.
    clip_norm: the largest norm of the whole gradient; 0: no limit.
    averaging: the share of the mean of the weights that a step keeps; 0: no mean.
    """
    parts = [optax.clip_by_global_norm(clip_norm)] if clip_norm else []
    parts.append(
        optax.adamw(
            learning_rate(stage), weight_decay=weight_decay, mask=_only(KERNELS, HEAD_KERNELS)
        )
        if weight_decay
        else optax.adam(learning_rate(stage))
    )
    if stage.head_rate != 1:
        in_head = _only(HEAD_KERNELS, HEAD_OTHERS)
        parts.append(optax.masked(optax.scale(stage.head_rate), in_head))
    if averaging:
        parts.append(averaged(averaging))
    return optax.chain(*parts)


def _only(*groups: str) -> Callable[[dict], dict]:
    """A mask of vectors by group."""
    return lambda vectors: {group: group in groups for group in vectors}
