"""The rules for losses: their settings, and what a stage can compute."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from sketchjax.config.relations.reading import Fields, inputs_of, weight_of, weighted
from sketchjax.data.inputs import SIDES
from sketchjax.fields import Field, is_number, one_line
from sketchjax.losses.table import LOSSES, WEIGHT, Outputs
from sketchjax.models.table import HEAD, HEADS


def of_settings(fields: Fields) -> list[str]:
    """Names and settings of the losses of all rows, whether they run or not."""
    problems = []
    for path, losses in fields.items():
        if not (path.startswith("stages.") and path.endswith(".losses")):
            continue
        for name, given in losses.items():
            if name in LOSSES:
                problems += _wrong_settings(f"{path}.{name}", name, given)
            else:
                near = difflib.get_close_matches(name, LOSSES, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(LOSSES)}"
                problems.append(f"{path}.{name}={one_line(given)} is no loss; {hint}")
    return problems


def _wrong_settings(path: str, loss: str, given: Any) -> list[str]:
    known: dict[str, Field] = {"weight": WEIGHT, **LOSSES[loss].settings}
    is_section = isinstance(given, Mapping)
    problems = []
    for key, value in (given if is_section else {"weight": given}).items():
        name = f"{path}.{key}" if is_section else path
        if key not in known:
            problems.append(f"{name}={one_line(value)} is no setting; there are {', '.join(known)}")
        elif not _is_valid(known[key], value):
            what = "give a weight of at least 0" if key == "weight" else known[key].remedy
            is_word = type(known[key].default) is str
            if not is_word and not is_number(value) and key != "weight":
                what = f"give a number, such as {known[key].default!r}"
            problems.append(f"{name}={one_line(value)}; {what}")
    return problems


def _is_valid(field: Field, value: Any) -> bool:
    is_like = type(value) is str if type(field.default) is str else is_number(value)
    return is_like and field.is_valid(value)


def _misfit(fields: Fields, loss: str, given: Any) -> str:
    """What is wrong with a loss's settings together, for this head; empty: nothing."""
    declared = LOSSES[loss]
    settings = {key: field.default for key, field in declared.settings.items()}
    settings |= given if isinstance(given, Mapping) else {}
    needed = ("model.head", "model.embedding", "model.bits")
    if declared.misfit is None or not fields.keys() >= {*needed}:
        return ""
    if not all(_is_valid(field, settings[key]) for key, field in declared.settings.items()):
        return ""
    return declared.misfit(settings, Outputs(*(fields[name] for name in needed)))


def _crosses(loss: str, given: Any) -> bool:
    """Whether a loss compares sketches with photos."""
    return LOSSES[loss].crosses(given if isinstance(given, Mapping) else {})


def of_objective(fields: Fields, stage: str) -> list[str]:
    """Whether the losses of a stage that runs can be computed, and add up to something."""
    path, output = f"stages.{stage}.losses", fields[f"stages.{stage}.output"]
    if path not in fields:
        return []
    losses, head = fields[path], fields.get("model.head")
    if not any(map(weight_of, losses.values())):
        return [f"{path}={one_line(losses)} has no weight above 0; give {path}.cross_entropy=1.0"]
    problems = []
    for name in weighted(losses):
        declared = LOSSES[name]
        if output != HEAD and declared.reads != ("logits",):
            usable = [other for other, row in LOSSES.items() if row.reads == ("logits",)]
            problems.append(
                f"{path}.{name} reads {' and '.join(declared.reads)}, which only the {HEAD} has; a "
                f"stage whose output is one encoder can have {', '.join(usable)}"
            )
        elif _crosses(name, losses[name]) and len(inputs_of(fields, stage)) == 1:
            problems.append(
                f"{path}.{name} compares sketches with photos; give stages.{stage}.inputs={SIDES!r}"
            )
        elif "teacher" in declared.needs and not fields.get("train.teacher"):
            problems.append(
                f"{path}.{name} needs a teacher; give train.teacher the workdir or model file of a "
                "finished run"
            )
        elif output == HEAD and head is not None and head not in (declared.heads or HEADS):
            problems.append(
                f"{path}.{name} does not go with model.head={head}; set its weight to 0, or "
                f"model.head to {' or '.join(declared.heads)}"
            )
        elif misfit := _misfit(fields, name, losses[name]):
            problems.append(f"{path}.{name}.{misfit}")
    return problems
