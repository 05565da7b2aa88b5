"""The rules for batches: devices, classes and pairs."""

from __future__ import annotations

from sketchjax.config.relations.reading import Fields, inputs_of, running_stages, weighted
from sketchjax.data.class_lists import expanded
from sketchjax.losses.table import LOSSES


def of_devices(fields: Fields, devices: int) -> list[str]:
    """Whether the devices can share the batches equally."""
    return [
        f"{name}={fields[name]} does not divide over {devices} devices; "
        f"try {max(1, fields[name] // devices) * devices}; a run that began with {fields[name]} "
        "resumes on a number of devices that divides it"
        for name in ("train.batch_size", "evaluation.batch_size")
        if fields.get(name, devices) % devices
    ]


def of_classes(fields: Fields) -> list[str]:
    """Whether batches have the classes and pairs that the stages ask for."""
    problems, batch = [], fields.get("train.batch_size", 0)
    for stage in running_stages(fields) if batch else ():
        problems += _of_sampler(fields, f"stages.{stage}.sampler", batch)
        losses = fields.get(f"stages.{stage}.losses", {})
        pairs = [name for name in weighted(losses) if LOSSES[name].pairs]
        if pairs and batch == 1:
            problems.append(
                f"train.batch_size=1 has no pairs for stages.{stage}.losses.{pairs[0]}; take at "
                "least 2"
            )
        elif pairs:
            problems += _of_pairs(fields, f"stages.{stage}", batch, pairs[0])
    return problems


def _of_pairs(fields: Fields, stage: str, batch: int, loss: str) -> list[str]:
    """Whether a balanced batch has pairs of one class and of two for a loss over pairs."""
    classes = fields.get(f"{stage}.sampler.classes", 0)
    # With both sides, there are the pairs of a sketch and a photo of one class.
    if classes == batch and len(inputs_of(fields, stage.removeprefix("stages."))) == 1:
        return [
            f"{stage}.sampler.classes={classes} leaves one sketch of each class to a batch of "
            f"{batch}, so {stage}.losses.{loss} has no pair of one class; take at most "
            f"{max(1, batch // 2)} classes"
        ]
    if classes == 1:
        return [
            f"{stage}.sampler.classes=1 gives {stage}.losses.{loss} no pair of two classes; take "
            "at least 2"
        ]
    return []


def _of_sampler(fields: Fields, path: str, batch: int) -> list[str]:
    classes, each = fields.get(f"{path}.classes", 0), fields.get(f"{path}.each", 0)
    if each and not classes:
        return [f"{path}.each={each} needs {path}.classes; give both"]
    if each and classes * each != batch:
        return [
            f"{path} asks for {classes} x {each} sketches, but train.batch_size={batch}; make them "
            "equal"
        ]
    if classes and batch % classes:
        return [
            f"train.batch_size={batch} does not divide over {path}.classes={classes}; "
            f"try {max(1, batch // classes) * classes}"
        ]
    categories, unseen = fields.get("data.categories", ()), expanded(fields.get("data.unseen", ()))
    trained = len({*categories} - {*unseen}) - fields.get("data.unseen_count", 0)
    if classes and categories and classes > trained:
        return [
            f"{path}.classes={classes}, but data.categories has {max(0, trained)} for training; "
            "ask for at most that many"
        ]
    return []
