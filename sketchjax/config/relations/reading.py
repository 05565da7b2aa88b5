"""How the rules read a config: its fields by their paths, `section.field`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sketchjax.config.rows import has_place
from sketchjax.data.inputs import PHOTO, SIDES, SKETCH
from sketchjax.fields import is_number, one_line
from sketchjax.losses.table import LOSSES, WEIGHT
from sketchjax.models.table import ENCODERS

Fields = Mapping[str, Any]

# The field that names the encoders of a side.
BRANCHES = {SKETCH: "model.branches", PHOTO: "model.photo_branches"}

_LONGEST_NAME = 64  # bytes: a stage's name becomes that of a file, which may have 255


def wrong_name(path: str, of: str) -> list[str]:
    """What is wrong with the name of a row, the last part of its path.

    of: what has the name, such as `a stage`.
    """
    name = path.rpartition(".")[2]
    if not name.isidentifier():
        return [f"{path}: {of}'s name has letters, digits and _ only"]
    if len(name.encode()) > _LONGEST_NAME:
        return [f"{path}: {of}'s name has at most {_LONGEST_NAME} bytes; take a shorter one"]
    return []


def listed(names: Iterable[Any]) -> str:
    """Names for a message."""
    return ", ".join(map(one_line, names))


def branches_of(fields: Fields, *sides: str) -> list[str]:
    """The encoders that the network has on these sides, by default both: those whose rows exist."""
    return [
        name
        for side in sides or SIDES
        for name in fields.get(BRANCHES[side], ())
        if f"model.encoders.{name}.kind" in fields
    ]


def encoder_of(fields: Fields, name: str) -> dict[str, Any]:
    """The kind and settings of an encoder; empty where its kind is unknown."""
    prefix = f"model.encoders.{name}."
    own = {path.removeprefix(prefix): v for path, v in fields.items() if path.startswith(prefix)}
    return own if own.get("kind") in ENCODERS else {}


def inputs_of(fields: Fields, stage: str) -> tuple[str, ...]:
    """The sides that a stage reads."""
    return fields.get(f"stages.{stage}.inputs", (SKETCH,))


def planned_stages(fields: Fields) -> list[str]:
    """The stages of the plan whose rows exist."""
    return [name for name in fields.get("plan", ()) if f"stages.{name}.output" in fields]


def running_stages(fields: Fields) -> list[str]:
    """The stages that run, as `config.rows.stage_rows` has it."""
    encoders = [*fields.get("model.branches", ()), *fields.get("model.photo_branches", ())]
    return [
        name
        for name in planned_stages(fields)
        if fields.get(f"stages.{name}.epochs", 1)
        and has_place(fields[f"stages.{name}.output"], encoders, fields.get("train.pretrained", ""))
    ]


def weight_of(given: Any) -> float:
    """The weight of a loss, which is given by itself or with settings; its default if invalid."""
    weight = given.get("weight", WEIGHT.default) if isinstance(given, Mapping) else given
    return weight if is_number(weight) else WEIGHT.default


def weighted(losses: Mapping[str, Any]) -> list[str]:
    """The known losses of a stage whose weight is not 0."""
    return [name for name, given in losses.items() if name in LOSSES and weight_of(given)]
