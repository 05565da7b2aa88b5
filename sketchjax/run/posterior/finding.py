"""The source of posterior codes that a finished run leaves: its model, data and config."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from sketchjax.config import default, flat, parts_of_ranking
from sketchjax.data.feed.items import totals_of
from sketchjax.data.folder.manifest import NAME, Manifest
from sketchjax.data.folder.shards import check_shards
from sketchjax.data.folder.unseen import unseen_categories
from sketchjax.data.inputs import Form, part_name, side_and_split
from sketchjax.errors import CheckpointError, ConfigError, DataError
from sketchjax.models.table import EMBEDDING, HEAD
from sketchjax.retrieval.model import load
from sketchjax.retrieval.passes import Task
from sketchjax.run.elsewhere import classifies
from sketchjax.run.posterior.source import Source
from sketchjax.run.writers import read_results
from sketchjax.train.data import can_choose, least_to_choose


def find_source(path: Path, data: Path | None, task: Task) -> Source:
    """The model, its data and what its run said about them; raises as `recode` does."""
    workdir = workdir_of(path)
    if workdir and path.is_dir() and workdir.samefile(path) and read_results(path) is None:
        raise DataError(
            f"the run in {path} has not finished; rerun its command with the same --workdir first"
        )
    model, fields = load(path), _config_of(workdir)
    forms, head = model.architecture.forms, model.architecture.head
    if head != EMBEDDING and any(form.kind != "strokes" for form in forms.values()):
        raise CheckpointError(
            f"{path} reads photos or raster sketches, whose posterior codes are made from the "
            f"classifier of an embedding, but its head is {head}; give a run with "
            f"model.head={EMBEDDING}"
        )
    if model.output != HEAD or not classifies(model):
        raise CheckpointError(
            f"{path} has no trained classifier over all its encoders, which posterior codes come "
            "from; give a run whose last stage trains the head with a loss on its logits, such as "
            "cross_entropy"
        )
    if data is None:
        if workdir is None:
            raise ConfigError(f"{path} is not in the workdir of a run; name the data with --data")
        own = fields["data.dir"]
        data = Path(own).expanduser() if own else workdir / "data"
        if not data.is_absolute() and own and not (data / NAME).exists():
            raise DataError(
                f"{workdir} was trained with data.dir={own}, which is relative to the folder that "
                f"the training was started in, and there is no such data folder in {Path.cwd()}; "
                "name it with --data"
            )
    manifest = check_shards(data)
    if list(manifest.categories) != model.categories:
        raise DataError(
            f"{data} has other categories than the model ({len(manifest.categories)} and "
            f"{len(model.categories)}), or the same in another order; give the data folder that it "
            "was trained on"
        )
    pairs = [parts_of_ranking(row) for row in fields["evaluation.rankings"]]
    needed = [part_name(side, split) for split in ("train", "validation") for side in forms]
    needed += [part for pair in pairs for part in pair]
    if empty := [part for part in dict.fromkeys(needed) if not _count(manifest, forms, part)]:
        raise DataError(
            f"{data} has nothing in the split {' and '.join(empty)}; posterior codes are "
            "fitted on train, chosen on validation, and scored on the run's rankings"
        )
    unseen = unseen_categories(
        manifest.categories, fields["data.unseen"], fields["data.unseen_count"], fields["seed"]
    )
    kinds = {side: form.kind for side, form in forms.items()}
    if not can_choose(manifest, kinds, unseen):
        raise DataError(
            f"{data} has no {least_to_choose(kinds)}, by which posterior codes are chosen; convert "
            "it with a larger share for validation"
        )
    amounts = {
        name.removeprefix("augmentation."): value
        for name, value in fields.items()
        if name.startswith("augmentation.")
    }
    batch = fields["evaluation.batch_size"]
    return Source(model, data, manifest, unseen, pairs, amounts, batch, task)


def workdir_of(path: Path) -> Path | None:
    """The workdir that a model is in, if it is in one.

    By its path as it was given, and then by where its links lead to.
    """
    places = Path(os.path.abspath(path)), path.resolve()
    folders = (folder for place in places for folder in (place, *place.parents[:2]))
    return next((folder for folder in folders if (folder / "config.json").is_file()), None)


def _count(manifest: Manifest, forms: Mapping[str, Form], part: str) -> int:
    """The items of a part of the data; 0 where the model has no such side."""
    side, split = side_and_split(part)
    return totals_of(manifest, forms[side].kind).get(split, 0) if side in forms else 0


def _config_of(workdir: Path | None) -> dict[str, Any]:
    """The fields of a run's config by their path; those it lacks have their default."""
    fields = flat(default())
    if workdir is not None:
        path = workdir / "config.json"
        try:
            fields |= dict(orjson.loads(path.read_bytes()))
        except (orjson.JSONDecodeError, TypeError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read as a config ({error})") from error
    return fields
