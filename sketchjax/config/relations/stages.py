"""The rules for the plan: its stages, what each trains, and what they lead to."""

from __future__ import annotations

from collections.abc import Mapping

from sketchjax.config.relations.losses import of_objective
from sketchjax.config.relations.reading import (
    BRANCHES,
    Fields,
    inputs_of,
    listed,
    planned_stages,
    running_stages,
    weighted,
    wrong_name,
)
from sketchjax.config.rows import trained_parts
from sketchjax.data.inputs import PHOTO, SIDES, SKETCH
from sketchjax.fields import one_line
from sketchjax.losses.table import LOSSES, trains_classifier
from sketchjax.models.table import (
    ALL_ENCODERS,
    EMBEDDING,
    HEAD,
    HEADS,
    SIDE_OF_HEAD,
    of_side,
)


def of_plan(fields: Fields) -> list[str]:
    """Each stage of the plan by itself, then all together."""
    if "plan" not in fields or "model.branches" not in fields:
        return []
    plan = fields["plan"]
    rows = dict.fromkeys(path.split(".")[1] for path in fields if path.startswith("stages."))
    problems = []
    if unknown := [name for name in plan if name not in rows]:
        there = ", ".join(rows) or "none"
        problems.append(f"plan names {listed(unknown)}, no row of stages; there are {there}")
    for name in plan:
        problems += wrong_name(f"stages.{name}", "a stage") if name in rows else []
    for name in planned_stages(fields):
        problems += _of_output(fields, name)
    running = running_stages(fields)
    for name in running:
        problems += _of_parts(fields, name) + of_objective(fields, name)
    problems += _of_purpose(fields, running) + _of_start(fields, running)
    problems += _of_teacher(fields, running)
    problems += _of_posterior_bits(fields, running)
    wrong = [
        name
        for name in fields.get("evaluation.after_stages", ())
        if name not in plan or fields.get(f"stages.{name}.output", HEAD) != HEAD
    ]
    if wrong:
        problems.append(
            f"evaluation.after_stages names {listed(wrong)}, no stage of the plan that reads the "
            f"{HEAD}"
        )
    return problems


def _of_output(fields: Fields, stage: str) -> list[str]:
    output = fields[f"stages.{stage}.output"]
    if output == HEAD or f"model.encoders.{output}.kind" in fields:
        return []
    rows = [path.split(".")[2] for path in fields if path.startswith("model.encoders.")]
    choices = ", ".join(dict.fromkeys([HEAD, *rows]))
    return [f"stages.{stage}.output={one_line(output)}; choose one of {choices}"]


def _of_parts(fields: Fields, stage: str) -> list[str]:
    output, inputs = fields[f"stages.{stage}.output"], inputs_of(fields, stage)
    trains, path = fields.get(f"stages.{stage}.trains"), f"stages.{stage}.trains"
    branches = {side: tuple(fields.get(BRANCHES[side], ())) for side in SIDES}
    lacking = [side for side in inputs if not branches[side]]
    if lacking and any(branches.values()):
        return [
            f"stages.{stage}.inputs={one_line(inputs)}, but {BRANCHES[lacking[0]]} names no "
            f"encoder; leave out {lacking[0]}"
        ]
    if output != HEAD and not (len(inputs) == 1 and output in branches[inputs[0]]):
        side = next(side for side in SIDES if output in branches[side])
        return [f"stages.{stage}.output={output} reads the {side} only; give inputs=({side!r},)"]
    if trains is None:
        return []
    if not trains:
        return [f"{path}=() trains nothing; name parts, such as ('encoders', 'head')"]
    parts = trained_parts(trains, branches[SKETCH], branches[PHOTO])
    known = [*(part for side in inputs for part in (*branches[side], of_side(HEAD, side)))]
    if unknown := [part for part in parts if part not in known]:
        encoders = [name for side in inputs for name in branches[side]]
        words = [f"{of_side(ALL_ENCODERS, side)} (all of these)" for side in inputs]
        heads = [of_side(HEAD, side) for side in inputs]
        return [
            f"{path} names {listed(unknown)}; the parts are {', '.join([*encoders, *words])} "
            f"and {' and '.join(heads)}"
        ]
    if output != HEAD and parts != (output,):
        return [f"{path}={one_line(trains)}, but its output {output} depends on {output} only"]
    return []


def _of_start(fields: Fields, running: list[str]) -> list[str]:
    """Whether there is a head to start, with codes to start it towards."""
    kind, head = fields.get("train.head_start", "random"), fields.get("model.head")
    if kind == "random":
        return []
    if head in HEADS and (HEADS[head].threshold is None or HEADS[head].of_posterior):
        return [
            f"train.head_start={kind}, but model.head={head} has no layer of codes; choose random"
        ]
    branches = fields["model.branches"]
    trains = [fields.get(f"stages.{name}.trains", (HEAD,)) for name in running]
    if any({*SIDE_OF_HEAD} & {*trained_parts(parts, branches)} for parts in trains):
        return []
    return [f"train.head_start={kind}, but no stage trains the {HEAD}; choose random"]


def _of_teacher(fields: Fields, running: list[str]) -> list[str]:
    """A teacher that nobody imitates would be forgotten in silence."""
    taught = any(
        "teacher" in LOSSES[name].needs
        for stage in running
        for name in weighted(fields.get(f"stages.{stage}.losses", {}))
    )
    if not fields.get("train.teacher") or taught:
        return []
    return [
        f"train.teacher={fields['train.teacher']} is given, but no stage has a loss that imitates "
        "it; add one, such as distillation, or give ''"
    ]


def _of_purpose(fields: Fields, running: list[str]) -> list[str]:
    """Some stage has to train what the run is for."""
    plan = fields["plan"]
    if not plan:
        return ["plan=() has no stage; name rows of `stages`"]
    if any(f"stages.{name}.output" not in fields for name in plan):
        return []
    heads = [name for name in plan if fields[f"stages.{name}.output"] == HEAD]
    first = f"stages.{heads[0]}" if heads else f"a stage with output={HEAD!r}"
    if not running:
        return [f"no stage trains anything; give {first}.epochs at least 1"]
    several = len(fields["model.branches"]) + len(fields.get("model.photo_branches", ())) > 1
    if several and fields[f"stages.{running[-1]}.output"] != HEAD:
        return [
            f"the last stage does not train the {HEAD}; give {first}.epochs at least 1, or name "
            "one encoder only in model.branches, to recognise with it"
        ]
    return []


def _of_posterior_bits(fields: Fields, running: list[str]) -> list[str]:
    """Posterior codes come from a network whose last stage trained the head and its classifier."""
    path = "evaluation.posterior_bits"
    if not fields.get(path) or not running:
        return []
    if fields[f"stages.{running[-1]}.output"] != HEAD:
        return [f"{path} needs a network whose last stage trains the {HEAD}; give ()"]
    if fields.get("model.photo_branches") or fields.get("data.sketches") == "raster":
        # Sketches and photos share the classifier of their embeddings, and nothing else.
        if fields.get("model.head") != EMBEDDING:
            return [f"{path} of pictures need model.head={EMBEDDING}; choose it, or give ()"]
        losses = [fields.get(f"stages.{name}.losses", {}) for name in running]
        named = {name for own in losses for name in weighted(own)}
        if not trains_classifier(named):
            return [f"{path} need a classifier; give a stage a loss such as cross_entropy, or ()"]
    splits = fields.get("data.splits", {})
    if isinstance(splits, Mapping) and not splits.get("validation", 1):
        return [f"{path} are chosen on validation sketches; give data.splits.validation some"]
    return []
