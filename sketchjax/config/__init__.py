"""The config of a run: its default, and the check of all fields at once.

A config file under `configs/` starts from `default()` and changes what its experiment needs.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import chain
from typing import Any, TypeAlias

from ml_collections import ConfigDict

from sketchjax.config.check import (
    as_literal,
    flat,
    known_fields,
    pattern,
    problems_of,
    split_list,
    wrong_text,
)
from sketchjax.config.fields import FIELDS, FREE, ranking_sides
from sketchjax.config.real_data import real_data
from sketchjax.config.rows import (
    StageRow,
    encoder,
    encoder_rows,
    set_encoders,
    set_photo_encoders,
    set_stages,
    stage,
    stage_rows,
)
from sketchjax.config.sketchmate import set_sketchmate
from sketchjax.data.inputs import PHOTO, SKETCH, part_name
from sketchjax.errors import ConfigError
from sketchjax.fields import one_line
from sketchjax.models.architecture import FITS, Architecture, Drawing
from sketchjax.models.table import HEADS

__all__ = [
    "Config",
    "StageRow",
    "architecture",
    "as_literal",
    "default",
    "encoder",
    "flat",
    "is_fixed",
    "is_resumable",
    "kinds",
    "parts_of_ranking",
    "questions",
    "rankings",
    "real_data",
    "set_encoders",
    "set_photo_encoders",
    "set_stages",
    "split_list",
    "stage",
    "stage_rows",
    "validate",
    "wrong_text",
]

# A ConfigDict; its own annotations say that any field may be of any type, which helps nobody.
Config: TypeAlias = Any


def default() -> Config:
    """Our recipe at the sizes of SketchMate's paper; `config.fields` says what each field is."""
    # Any type is accepted anywhere, so that `validate` can report everything that is wrong.
    config = ConfigDict(type_safe=False)
    for path, field in FIELDS.items():
        if "*" in path:
            continue
        *sections, name = path.split(".")
        section: Any = config
        for part in sections:
            if part not in section:
                section[part] = ConfigDict(type_safe=False)
            section = section[part]
        section[name] = copy.deepcopy(field.default)
    set_sketchmate(config)
    return config


def validate(config: Config, *, devices: int = 1) -> None:
    """Check every field by itself and against the others, before any work.

    devices: how many a batch is divided over.
    Raises ConfigError with one line per problem, and nothing else whatever the fields hold.
    """
    if not isinstance(config, ConfigDict):
        raise ConfigError(
            f"{one_line(config)} is no config; return one that began as sketchjax.config.default()"
        )
    problems = problems_of(config, devices)
    if problems:
        raise ConfigError(problems)


def is_resumable(path: str) -> bool:
    """Whether a field may change between two calls on one workdir: no figure depends on it."""
    field = FIELDS.get(pattern(path))
    return field is not None and field.resumable


def is_fixed(path: str) -> bool:
    """Whether every config has this field, whatever rows, splits and losses it names."""
    return path in FIELDS and "*" not in path and path not in FREE


def kinds(config: Config) -> dict[str, str]:
    """The sides that a config's network has, each with the kind of its items in the data folder."""
    both = {
        SKETCH: (config.model.branches, config.data.sketches),
        PHOTO: (config.model.photo_branches, PHOTO),
    }
    return {side: kind for side, (branches, kind) in both.items() if branches}


def rankings(config: Config) -> list[tuple[str, str]]:
    """The (queries, gallery) of each ranking, such as ("query", "photo/gallery").

    The first is the run's headline.
    """
    return [parts_of_ranking(row) for row in config.evaluation.rankings]


def parts_of_ranking(row: Any) -> tuple[str, str]:
    """The queries and the gallery of a row of `evaluation.rankings`, by `part_name`."""
    queries, gallery = (part_name(*part) for part in ranking_sides(row))
    return queries, gallery


def architecture(config: Config, categories: list[str], offset_scale: float) -> Architecture:
    """What a network is built from.

    categories: names of the data's categories, in the order of their labels.
    offset_scale: the unit of the sequence's offsets, in drawing units; the manifest has it.
    """
    model = config.model
    return Architecture(
        encoders=encoder_rows(config, model.branches),
        head=model.head,
        width=model.bits if HEADS[model.head].threshold is not None else model.features,
        fusion_features=model.fusion_features,
        dropout=model.dropout,
        embedding=model.embedding,
        dtype=model.dtype,
        drawing=Drawing(config.drawing.size, config.drawing.stroke_width, offset_scale),
        points=config.data.points,
        categories=list(categories),
        sketches=config.data.sketches,
        fit=config.drawing.fit == FITS[1],
        photo_encoders=encoder_rows(config, model.photo_branches),
        photo_size=config.photos.size if model.photo_branches else 0,
        mirrored=model.mirrored,
    )


_OF_SIDE = {
    PHOTO: ("photos.", "photo_augmentation.", "model.photo_branches"),
    SKETCH: ("drawing.", "augmentation.", "data.points", "model.branches"),
}
_BOTH_FLIP = "augmentation.flip"  # a photo is mirrored with its sketches, or by itself


def questions(config: Config) -> Iterator[tuple[str, str]]:
    """What a report lists of a config: (question, dotted field), grouped by question.

    Fields of a side that the config has no encoder of are left out.
    """
    sides = {PHOTO: config.model.photo_branches, SKETCH: config.model.branches}
    away = tuple(chain(*(_OF_SIDE[side] for side, branches in sides.items() if not branches)))
    known = {
        path: field
        for path, field in known_fields(config).items()
        if path == _BOTH_FLIP or not path.startswith(away)
    }
    order = dict.fromkeys(field.question for field in known.values() if field.question)
    for question in order:
        for path, field in known.items():
            if field.question == question:
                yield question, path
