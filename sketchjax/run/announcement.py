"""What a person sees before the first step: what will run, on what, with which data."""

from __future__ import annotations

import jax

from sketchjax.config import Config
from sketchjax.data.feed.items import totals_of
from sketchjax.data.inputs import items_of
from sketchjax.models.table import HEAD, HEADS
from sketchjax.run.results import device_name
from sketchjax.train.split import TrainingSplit
from sketchjax.train.stages import Stage
from sketchjax.train.trainer import Trainer


def announcement(config: Config, trainer: Trainer) -> str:
    """The run in three lines: model and device, data, stages."""
    sides, plan, network = trainer.supply.splits, trainer.plan, trainer.network
    size = sum(leaf.size for leaf in jax.tree.leaves(network.shapes()["params"]))
    split = trainer.supply.split
    manifest, unseen = split.manifest, int(split.unseen.sum())
    has_codes = HEADS[config.model.head].threshold is not None and plan[-1].row.output == HEAD
    what = f"{network.architecture.width}-bit codes for" if has_codes else "recognition of"
    kept_out = f", {unseen} of them kept out of training," if unseen else ","
    steps = {stage.name: _epoch(config, stage) for stage in plan}
    same = len(set(steps.values())) == 1
    epochs = ", ".join(
        f"{stage.name} {stage.epochs:.3g}" + ("" if same else f" of {steps[stage.name]}")
        for stage in plan
    )
    epoch = f"; an epoch is {steps[plan[0].name]}" if same else ""
    return (
        f"{config.name}: {what} {len(manifest.categories)} classes{kept_out} "
        f"a model of {size:,} parameters, on {device_name()}\n"
        f"data: {'; '.join(_side(config, side, split) for side, split in sides.items())}\n"
        f"epochs by stage: {epochs}{epoch}"
    )


def _epoch(config: Config, stage: Stage) -> str:
    return (
        f"{stage.steps_per_epoch:,} steps of {config.train.batch_size} {items_of(stage.row.inputs)}"
    )


def _side(config: Config, side: str, split: TrainingSplit) -> str:
    """The items of a side by split, and of strokes how many are cut."""
    manifest, kind = split.manifest, split.form.kind
    counts = {name: f"{count:,}" for name, count in totals_of(manifest, kind).items()}
    line = (
        f"{split.size:,} training, {counts.get('validation', 0)} validation, "
        f"{counts.get('gallery', 0)} gallery and {counts.get('query', 0)} query {items_of([side])}"
    )
    if kind != "strokes":
        return line
    cut = manifest.longer_than(config.data.points, "train")
    share = 100 * cut / manifest.counts["train"]
    return (
        f"{line}; {cut:,} of the training sketches ({share:.2g} %) are cut to their first "
        f"{config.data.points} points"
    )
