"""What a person sees before the first step: what will run, on what, with which data."""

from collections.abc import Sequence

import jax

from sketchjax.config import Config
from sketchjax.models.network import Network
from sketchjax.run.results import device_name
from sketchjax.train.pretrained import variable_shapes
from sketchjax.train.split import TrainingSplit
from sketchjax.train.stages import Stage


def announcement(
    config: Config, split: TrainingSplit, network: Network, plan: Sequence[Stage]
) -> str:
    """The run in three lines: model and device, data, stages."""
    parameters = jax.tree.leaves(variable_shapes(network, config)["params"])
    size = sum(leaf.size for leaf in parameters)
    manifest, unseen = split.manifest, int(split.unseen.sum())
    counts = {name: f"{count:,}" for name, count in manifest.counts.items()}
    counts["train"] = f"{split.size:,}"
    hashes = plan[-1].row.branch == "whole" and not config.model.recognition_features
    what = f"{config.model.bits}-bit codes for" if hashes else "recognition of"
    kept_out = f", {unseen} of them kept out of training," if unseen else ""
    cut = manifest.longer_than(config.data.points, "train")
    share = 100 * cut / manifest.counts["train"]
    epochs = ", ".join(
        f"{stage.name} {stage.blocks / stage.blocks_per_epoch:.3g}" for stage in plan
    )
    return (
        f"{config.name}: {what} {len(manifest.categories)} classes{kept_out or ','} "
        f"a model of {size:,} parameters, on {device_name()}\n"
        f"data: {counts['train']} training, {counts.get('validation', 0)} validation, "
        f"{counts['gallery']} gallery and {counts['query']} query sketches; {cut:,} of the "
        f"training sketches ({share:.2g} %) are cut to their first {config.data.points} points\n"
        f"epochs by stage: {epochs}; an epoch is {plan[0].steps_per_epoch:,} steps of "
        f"{config.train.batch_size} sketches"
    )
