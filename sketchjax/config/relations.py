"""What the fields of a config must be to one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sketchjax.config.fields import ranking_sides
from sketchjax.config.rows import has_place, trained_parts
from sketchjax.data.folder.splits import SPLITS
from sketchjax.fields import LARGEST_INT, Field, is_number, one_line
from sketchjax.losses.table import LOSSES, WEIGHT
from sketchjax.models.table import ALL_ENCODERS, CLASSIFIER, ENCODERS, FUSION, HEAD, HEADS

Fields = Mapping[str, Any]


def broken_relations(fields: Fields, devices: int) -> list[str]:
    """One line for each set of fields that are invalid together.

    fields: `section.field`: value, each valid by itself; rules that name a missing field are
      passed over.
    devices: how many a batch is divided over.
    """
    return [
        *_of_pictures(fields),
        *_of_batches(fields, devices),
        *_of_data(fields),
        *_of_network(fields),
        *_of_plan(fields),
        *_of_classes(fields),
    ]


# --- the network -----------------------------------------------------------------------------


def _branches(fields: Fields) -> list[str]:
    """The encoders that the network has, as far as their rows exist."""
    return [
        name for name in fields.get("model.branches", ()) if f"model.encoders.{name}.kind" in fields
    ]


def _encoder(fields: Fields, name: str) -> dict[str, Any]:
    prefix = f"model.encoders.{name}."
    own = {path.removeprefix(prefix): v for path, v in fields.items() if path.startswith(prefix)}
    return own if own.get("kind") in ENCODERS else {}


def _of_pictures(fields: Fields) -> list[str]:
    size, width = fields.get("drawing.size"), fields.get("drawing.stroke_width")
    problems = []
    for name in _branches(fields):
        own = _encoder(fields, name)
        smallest = ENCODERS[own["kind"]].smallest if own else None
        if size is None or smallest is None or not own.keys() >= {"stem_stride"}:
            continue
        if size < (least := smallest(own)):
            problems.append(
                f"drawing.size={size} leaves nothing after the last pooling with "
                f"model.encoders.{name}.stem_stride={own['stem_stride']}; try a size of {least} or "
                "more"
            )
    if size is not None and width is not None and width > size / 4:
        problems.append(
            f"drawing.stroke_width={width!r} is more than a quarter of drawing.size={size}; "
            "take 1 to 2 pixels"
        )
    return problems


def _of_network(fields: Fields) -> list[str]:
    problems = []
    rows = [path.split(".")[2] for path in fields if path.startswith("model.encoders.")]
    for name in dict.fromkeys(rows):
        kind = fields.get(f"model.encoders.{name}.kind")
        if kind is not None and kind not in ENCODERS:
            choices = ", ".join(ENCODERS)
            problems.append(f"model.encoders.{name}.kind={one_line(kind)}; choose one of {choices}")
        reserved = {HEAD, ALL_ENCODERS, FUSION, CLASSIFIER, *HEADS}
        if name in reserved or not name.isidentifier() or name.endswith(f"_{CLASSIFIER}"):
            problems.append(f"model.encoders.{name}: give the encoder another name")
    if "model.branches" not in fields:
        return problems
    if not fields["model.branches"]:
        problems.append(
            f"model.branches=() names no encoder; there are {', '.join(dict.fromkeys(rows))}"
        )
    there = ", ".join(dict.fromkeys(rows)) or "none"
    problems += [
        f"model.branches names {one_line(name)}, no row of model.encoders; there are {there}"
        for name in fields["model.branches"]
        if name not in rows
    ]
    return problems


# --- the stages ------------------------------------------------------------------------------


def _rows(fields: Fields) -> list[str]:
    return [name for name in fields.get("plan", ()) if f"stages.{name}.output" in fields]


def _runs(fields: Fields, stage: str) -> bool:
    """Whether a stage runs, as `config.rows.stage_rows` has it."""
    branches = fields.get("model.branches", ())
    output = fields[f"stages.{stage}.output"]
    pretrained = fields.get("train.pretrained", "")
    return bool(fields.get(f"stages.{stage}.epochs", 1)) and has_place(output, branches, pretrained)


def _of_plan(fields: Fields) -> list[str]:
    if "plan" not in fields or "model.branches" not in fields:
        return []
    problems = []
    named = {path.split(".")[1] for path in fields if path.startswith("stages.")}
    for name in fields["plan"]:
        if name not in named:
            problems.append(f"plan names {one_line(name)}, no row of stages")
        elif not name.isidentifier():
            problems.append(f"stages.{name}: a stage's name has letters, digits and _ only")
    running = [name for name in _rows(fields) if _runs(fields, name)]
    for name in running:
        problems += _of_parts(fields, name)
    for name in _rows(fields):
        problems += _of_losses(fields, name, name in running)
    problems += _of_purpose(fields, running)
    problems += [
        f"evaluation.after_stages names {one_line(name)}, no stage of the plan that reads the head"
        for name in fields.get("evaluation.after_stages", ())
        if fields.get(f"stages.{name}.output") != HEAD
    ]
    return problems


def _of_parts(fields: Fields, stage: str) -> list[str]:
    branches, encoders = fields["model.branches"], set(fields["model.branches"])
    output, trains = fields[f"stages.{stage}.output"], fields.get(f"stages.{stage}.trains")
    if trains is None:
        return []
    path = f"stages.{stage}.trains"
    if not trains:
        return [f"{path}=() trains nothing; name parts, such as ('encoders', 'head')"]
    unknown = [part for part in trained_parts(trains, branches) if part not in {*encoders, HEAD}]
    if unknown:
        return [
            f"{path} names {one_line(unknown[0])}; the parts are {', '.join(branches)}, "
            f"{ALL_ENCODERS} (all of these) and {HEAD}"
        ]
    if output != HEAD and trained_parts(trains, branches) != (output,):
        return [f"{path}={one_line(trains)}, but its output {output} depends on {output} only"]
    return []


def _of_purpose(fields: Fields, running: list[str]) -> list[str]:
    """Some stage has to train what the run is for."""
    if not fields.get("plan") or any(f"stages.{n}.output" not in fields for n in fields["plan"]):
        return [] if fields.get("plan") else ["plan=() has no stage; name rows of `stages`"]
    heads = [name for name in fields["plan"] if fields[f"stages.{name}.output"] == HEAD]
    first = f"stages.{heads[0]}" if heads else "a stage with output='head'"
    if not running:
        return [f"no stage trains anything; give {first}.epochs at least 1" if heads
                else "no stage trains anything"]  # fmt: skip
    if len(fields["model.branches"]) > 1 and fields[f"stages.{running[-1]}.output"] != HEAD:
        return [
            f"no stage trains the head last; give {first}.epochs at least 1, or name one encoder "
            "in model.branches to recognise with it alone"
        ]
    return []


def _of_losses(fields: Fields, stage: str, running: bool) -> list[str]:
    path, output = f"stages.{stage}.losses", fields[f"stages.{stage}.output"]
    losses = fields.get(path)
    if losses is None:
        return []
    problems = []
    for name, given in losses.items():
        if name not in LOSSES:
            choices = ", ".join(LOSSES)
            problems.append(f"{path}.{name}={one_line(given)} is no loss; there are {choices}")
            continue
        settings = given if isinstance(given, Mapping) else {"weight": given}
        known: dict[str, Field] = {"weight": WEIGHT, **LOSSES[name].settings}
        wrong = _wrong_settings(f"{path}.{name}", settings, known, isinstance(given, Mapping))
        problems += wrong
        if running and not wrong and settings.get("weight", WEIGHT.default):
            problems += _of_place(fields, path, name, output)
    if problems or not running:
        return problems
    weights = [v.get("weight", 1.0) if isinstance(v, Mapping) else v for v in losses.values()]
    if not any(weights):
        problems.append(
            f"{path}={one_line(losses)} has no weight above 0; give {path}.cross_entropy=1.0"
        )
    return problems


def _wrong_settings(
    path: str, settings: Mapping[str, Any], known: Mapping[str, Field], is_section: bool
) -> list[str]:
    problems = []
    for key, value in settings.items():
        name = f"{path}.{key}" if is_section else path
        if key not in known:
            problems.append(f"{name}={one_line(value)} is no setting; there are {', '.join(known)}")
        elif not is_number(value) or not known[key].is_valid(value):
            what = "give a weight of at least 0" if key == "weight" else known[key].remedy
            problems.append(f"{name}={one_line(value)}; {what}")
    return problems


def _of_place(fields: Fields, path: str, name: str, output: str) -> list[str]:
    """Whether a loss has a place in a stage that reads this output."""
    declared, head = LOSSES[name], fields.get("model.head", "hash")
    if output != HEAD:
        usable = [n for n, row in LOSSES.items() if row.reads == ("logits",)]
        if name not in usable:
            return [
                f"{path}.{name}: a stage that reads one encoder has no "
                f"{' or '.join(declared.reads)} of the head; it can have {', '.join(usable)}"
            ]
    elif head not in declared.heads:
        return [
            f"{path}.{name} needs codes, and model.head={head} gives none; set it to 0, or "
            f"model.head to {' or '.join(declared.heads)}"
        ]
    return []


# --- batches and data ------------------------------------------------------------------------


def _of_batches(fields: Fields, devices: int) -> list[str]:
    return [
        f"{name}={fields[name]} does not divide over {devices} devices; "
        f"try {max(1, fields[name] // devices) * devices}"
        for name in ("train.batch_size", "evaluation.batch_size")
        if fields.get(name, devices) % devices
    ]


def _of_classes(fields: Fields) -> list[str]:
    problems, batch = [], fields.get("train.batch_size", 0)
    for stage in _rows(fields):
        if not _runs(fields, stage):
            continue
        path = f"stages.{stage}.sampler"
        classes, each = fields.get(f"{path}.classes", 0), fields.get(f"{path}.each", 0)
        if classes and not each and batch % classes:
            problems.append(
                f"train.batch_size={batch} does not divide over {path}.classes={classes}; "
                f"try {max(1, batch // classes) * classes}, or give {path}.each"
            )
        elif classes and each and batch and classes * each != batch:
            problems.append(
                f"{path} asks for {classes} x {each} sketches, but train.batch_size={batch}; make "
                "them equal"
            )
        elif each and not classes:
            problems.append(f"{path}.each={each} without {path}.classes; give both")
        losses = fields.get(f"stages.{stage}.losses") or {}
        pairs = [name for name in losses if name in LOSSES and LOSSES[name].pairs]
        if pairs and batch == 1:
            problems.append(
                f"train.batch_size=1 has no pairs for stages.{stage}.losses.{pairs[0]}; take 2 or "
                "more"
            )
    unseen, all_names = fields.get("data.unseen", ()), fields.get("data.categories", ())
    if unseen and fields.get("data.unseen_count"):
        problems.append("data.unseen names categories, data.unseen_count draws them; use one")
    missing = [name for name in unseen if all_names and name not in all_names]
    if missing:
        problems.append(f"data.unseen={one_line(missing)} are not among data.categories")
    return problems


def _of_data(fields: Fields) -> list[str]:
    problems = []
    if fields.get("data.source") == "synthetic" and fields.get("data.synthetic_per_category") == 0:
        problems.append("data.synthetic_per_category=0 with data.source=synthetic; try 300")
    if "data.splits" in fields and not fields.get("data.split_file"):
        problems += _of_splits(fields["data.splits"], fields.get("evaluation.rankings", ()))
    return problems


def _of_splits(splits: Mapping[str, Any], rankings: Any) -> list[str]:
    problems = []
    for name, part in splits.items():
        if name not in SPLITS:
            problems.append(
                f"data.splits.{name}={one_line(part)} is no split; there are {', '.join(SPLITS)}"
            )
        elif not is_number(part) or not 0 <= part <= LARGEST_INT:
            problems.append(
                f"data.splits.{name}={one_line(part)}; give how many sketches, or a fraction"
            )
    if problems:
        return problems
    kinds = {type(part) for part in splits.values() if part}
    if len(kinds) > 1:
        problems.append(
            f"data.splits={one_line(splits)} mixes numbers of sketches and fractions; use one"
        )
    elif float in kinds and sum(splits.values()) > 1 + 1e-9:
        problems.append(
            f"data.splits={one_line(splits)} adds up to more than 1; take fractions of a whole"
        )
    asked = [split for row in rankings for _, split in ranking_sides(row)]
    empty = [name for name in dict.fromkeys(["train", *asked]) if not splits.get(name)]
    if empty:
        problems.append(
            f"data.splits={one_line(splits)} gives nothing to {', '.join(empty)}; each needs "
            "sketches"
        )
    return problems
