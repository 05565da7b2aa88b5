"""What a person sees before the first step: what will run, on what, with which data."""

from __future__ import annotations

import jax

from sketchjax.config import Config
from sketchjax.models.table import HEAD, HEADS
from sketchjax.run.results import device_name
from sketchjax.train.trainer import Trainer


def announcement(config: Config, trainer: Trainer) -> str:
    """The run in three lines: model and device, data, stages."""
    split, plan, network = trainer.supply.split, trainer.plan, trainer.network
    size = sum(leaf.size for leaf in jax.tree.leaves(network.shapes()["params"]))
    manifest, unseen = split.manifest, int(split.unseen.sum())
    counts = {name: f"{count:,}" for name, count in manifest.counts.items()}
    counts["train"] = f"{split.size:,}"
    has_codes = HEADS[config.model.head].threshold is not None and plan[-1].row.output == HEAD
    what = f"{network.architecture.width}-bit codes for" if has_codes else "recognition of"
    kept_out = f", {unseen} of them kept out of training," if unseen else ","
    cut = manifest.longer_than(config.data.points, "train")
    share = 100 * cut / manifest.counts["train"]
    epochs = ", ".join(f"{stage.name} {stage.epochs:.3g}" for stage in plan)
    return (
        f"{config.name}: {what} {len(manifest.categories)} classes{kept_out} "
        f"a model of {size:,} parameters, on {device_name()}\n"
        f"data: {counts['train']} training, {counts.get('validation', 0)} validation, "
        f"{counts.get('gallery', 0)} gallery and {counts.get('query', 0)} query sketches; {cut:,} "
        f"of the training sketches ({share:.2g} %) are cut to their first {config.data.points} "
        "points\n"
        f"epochs by stage: {epochs}; an epoch is {plan[0].steps_per_epoch:,} steps of "
        f"{config.train.batch_size} sketches"
    )
