"""What a person sees before the first step: what will run, on what, with which data."""

from collections.abc import Sequence

import jax

from sketchjax.config import Config
from sketchjax.data.manifest import Manifest
from sketchjax.models.network import Network
from sketchjax.report.results import device_name
from sketchjax.train.pretrained import variable_shapes
from sketchjax.train.stages import Stage


def announcement(
    config: Config, manifest: Manifest, network: Network, plan: Sequence[Stage]
) -> str:
    """The run in three lines: model and device, data, stages."""
    parameters = jax.tree.leaves(variable_shapes(network, config)["params"])
    size = sum(leaf.size for leaf in parameters)
    counts = {name: f"{count:,}" for name, count in manifest.counts.items()}
    cut = manifest.longer_than(config.data.points, "train")
    share = 100 * cut / manifest.counts["train"]
    epochs = ", ".join(
        f"{stage.name} {stage.blocks / stage.blocks_per_epoch:.3g}" for stage in plan
    )
    return (
        f"{config.name}: {config.model.bits}-bit codes for {len(manifest.categories)} classes, "
        f"a model of {size:,} parameters, on {device_name()}\n"
        f"data: {counts['train']} training, {counts.get('validation', 0)} validation, "
        f"{counts['gallery']} gallery and {counts['query']} query sketches; {cut:,} of the "
        f"training sketches ({share:.2g} %) are cut to their first {config.data.points} points\n"
        f"epochs by stage: {epochs}; an epoch is {plan[0].steps_per_epoch:,} steps of "
        f"{config.train.batch_size} sketches"
    )
