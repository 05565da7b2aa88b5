"""What a person sees before the first step: what will run, on what, with which data."""

from __future__ import annotations

import jax

from sketchjax.config import Config
from sketchjax.data.feed.items import totals_of
from sketchjax.data.inputs import PHOTO
from sketchjax.models.table import HEAD, HEADS
from sketchjax.run.results import device_name
from sketchjax.train.split import TrainingSplit
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
    epochs = ", ".join(f"{stage.name} {stage.epochs:.3g}" for stage in plan)
    return (
        f"{config.name}: {what} {len(manifest.categories)} classes{kept_out} "
        f"a model of {size:,} parameters, on {device_name()}\n"
        f"data: {'; '.join(_side(config, side, split) for side, split in sides.items())}\n"
        f"epochs by stage: {epochs}; an epoch is {plan[0].steps_per_epoch:,} steps of "
        f"{config.train.batch_size} sketches"
    )


def _side(config: Config, side: str, split: TrainingSplit) -> str:
    """The items of a side by split, and of strokes how many are cut."""
    manifest, kind = split.manifest, split.form.kind
    counts = {name: f"{count:,}" for name, count in totals_of(manifest, kind).items()}
    words = "photos" if side == PHOTO else "sketches"
    line = (
        f"{split.size:,} training, {counts.get('validation', 0)} validation, "
        f"{counts.get('gallery', 0)} gallery and {counts.get('query', 0)} query {words}"
    )
    if kind != "strokes":
        return line
    cut = manifest.longer_than(config.data.points, "train")
    share = 100 * cut / manifest.counts["train"]
    return (
        f"{line}; {cut:,} of the training sketches ({share:.2g} %) are cut to their first "
        f"{config.data.points} points"
    )
