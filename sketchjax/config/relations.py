"""The rules between the fields of a config."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from sketchjax.config.fields import ranking_sides
from sketchjax.config.rows import has_place, trained_parts
from sketchjax.data.class_lists import expanded
from sketchjax.data.folder.splits import SPLITS
from sketchjax.data.inputs import PHOTO, SIDES, SKETCH
from sketchjax.data.sources.categories import canonical
from sketchjax.fields import LARGEST_INT, Field, is_number, one_line
from sketchjax.losses.table import LOSSES, WEIGHT, Outputs, trains_classifier
from sketchjax.models.table import (
    ALL_ENCODERS,
    CLASSIFIER,
    EMBEDDING,
    EMBEDDINGS,
    ENCODERS,
    FUSION,
    HEAD,
    HEADS,
    SIDE_OF_HEAD,
    of_side,
)

Fields = Mapping[str, Any]


def broken_relations(fields: Fields, devices: int) -> list[str]:
    """One line for each set of fields that are invalid together.

    fields: `section.field`: value, each valid by itself; a rule is passed over where one of its
      fields is missing.
    devices: how many a batch is divided over.
    """
    return [
        *_of_pictures(fields),
        *_of_batches(fields, devices),
        *_of_data(fields),
        *_of_encoders(fields),
        *_of_sides(fields),
        *_of_embedding(fields),
        *_of_mirror_images(fields),
        *_of_losses(fields),
        *_of_plan(fields),
        *_of_classes(fields),
    ]


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(map(one_line, names))


# --- the network -----------------------------------------------------------------------------


_BRANCHES = {SKETCH: "model.branches", PHOTO: "model.photo_branches"}


def _branches(fields: Fields, *sides: str) -> list[str]:
    """The encoders that the network has on these sides, by default both: those whose rows exist."""
    return [
        name
        for side in sides or SIDES
        for name in fields.get(_BRANCHES[side], ())
        if f"model.encoders.{name}.kind" in fields
    ]


def _encoder(fields: Fields, name: str) -> dict[str, Any]:
    """The kind and settings of an encoder; empty where its kind is unknown."""
    prefix = f"model.encoders.{name}."
    own = {path.removeprefix(prefix): v for path, v in fields.items() if path.startswith(prefix)}
    return own if own.get("kind") in ENCODERS else {}


def _of_pictures(fields: Fields) -> list[str]:
    problems = []
    for side, field in ((SKETCH, "drawing.size"), (PHOTO, "photos.size")):
        for name in _branches(fields, side) if field in fields else ():
            own = _encoder(fields, name)
            row = ENCODERS[own["kind"]] if own else None
            if row is None or row.smallest is None or not own.keys() >= {*row.settings}:
                continue
            if fields[field] < (least := row.smallest(own)):
                problems.append(
                    f"{field}={fields[field]} is too small for model.encoders.{name}: "
                    f"{own['kind']} with these settings reads pictures of at least {least} pixels"
                )
    size, width = fields.get("drawing.size"), fields.get("drawing.stroke_width")
    if size is not None and width is not None and width > size / 4:
        problems.append(
            f"drawing.stroke_width={width!r} is more than a quarter of drawing.size={size}; "
            "take 1 to 2 pixels"
        )
    return problems


def _of_encoders(fields: Fields) -> list[str]:
    problems = []
    rows = dict.fromkeys(
        path.split(".")[2] for path in fields if path.startswith("model.encoders.")
    )
    own = (ALL_ENCODERS, HEAD, FUSION, *HEADS)
    reserved = (CLASSIFIER, *own, *(of_side(name, PHOTO) for name in own))
    for name in rows:
        kind = fields.get(f"model.encoders.{name}.kind")
        if kind is not None and kind not in ENCODERS:
            choices = ", ".join(ENCODERS)
            problems.append(f"model.encoders.{name}.kind={one_line(kind)}; choose one of {choices}")
        if not name.isidentifier():
            problems.append(
                f"model.encoders.{name}: an encoder's name has letters, digits and _ only"
            )
        elif name in reserved or name.endswith(f"_{CLASSIFIER}"):
            problems.append(
                f"model.encoders.{name}: the name is reserved; give the encoder another one than "
                f"{', '.join(reserved)} or ..._{CLASSIFIER}"
            )
    if "model.branches" not in fields:
        return problems
    there = ", ".join(rows) or "none"
    if not (fields["model.branches"] or fields.get("model.photo_branches")):
        problems.append(f"model.branches=() names no encoder; there are {there}")
    unknown = {
        path: [name for name in fields.get(path, ()) if name not in rows]
        for path in _BRANCHES.values()
    }
    problems += [
        f"{path} names {_listed(names)}, no row of model.encoders; there are {there}"
        for path, names in unknown.items()
        if names
    ]
    return problems


def _of_sides(fields: Fields) -> list[str]:
    """Whether each encoder can read its side, and the head goes with both."""
    problems, raster = [], fields.get("data.sketches") == "raster"
    encoders = [_encoder(fields, name) for name in _branches(fields)]
    reads = {
        SKETCH: ("picture",) if raster else ("picture", "sequence"),
        PHOTO: ("picture", "picture_and_contour"),
    }
    names = {SKETCH: "raster sketches" if raster else "sketches as strokes", PHOTO: "photos"}
    for side, path in _BRANCHES.items():
        for name in _branches(fields, side):
            own = _encoder(fields, name)
            if own and (view := ENCODERS[own["kind"]].view) not in reads[side]:
                problems.append(
                    f"{path} names {name}, but {own['kind']} reads the view {view}, which "
                    f"{names[side]} do not have"
                )
    if both := {*_branches(fields, SKETCH)} & {*_branches(fields, PHOTO)}:
        problems.append(
            f"model.branches and model.photo_branches both name {_listed(sorted(both))}; each "
            "side has encoders of its own, so give one of them another name"
        )
    views = {ENCODERS[own["kind"]].view for own in encoders if own}
    wanted = fields.get("data.source") and fields.get("photos.contours") == "none"
    if wanted and "picture_and_contour" in views:
        problems.append("photos.contours=none, but an encoder reads contour maps; choose canny")
    if not raster and fields.get("drawing.fit") == "ink":
        problems.append(
            "drawing.fit=ink is for data.sketches=raster; strokes always fill their own box"
        )
    head, photos = fields.get("model.head"), bool(_branches(fields, PHOTO))
    if photos and head in HEADS and HEADS[head].of_posterior:
        problems.append(f"model.head={head} is for sketches only; choose another with photos")
    if photos and (start := fields.get("train.head_start", "random")) != "random":
        problems.append(f"train.head_start={start} is for sketches only; choose random with photos")
    sides = [side for side in SIDES if _branches(fields, side)]
    asked = [part for row in fields.get("evaluation.rankings", ()) for part in ranking_sides(row)]
    problems += [
        f"evaluation.rankings names {side}/{split}, but {_BRANCHES[side]} has no encoder"
        for side, split in dict.fromkeys(asked)
        if sides and side not in sides
    ]
    return problems


def _of_embedding(fields: Fields) -> list[str]:
    head, embedding = fields.get("model.head"), fields.get("model.embedding", EMBEDDINGS[0])
    if head not in (None, "embedding") and embedding != EMBEDDINGS[0]:
        return [
            f"model.embedding={embedding} goes with model.head=embedding only, but "
            f"model.head={head}; set one of the two"
        ]
    if embedding == "batch_norm" and fields.get("train.batch_size") == 1:
        return [
            "train.batch_size=1 has no variance for model.embedding=batch_norm; take at least 2"
        ]
    return []


def _of_mirror_images(fields: Fields) -> list[str]:
    if fields.get("model.mirrored") and not fields.get("augmentation.flip", 1):
        return [
            "model.mirrored=True encodes mirror images, which no encoder is trained on with "
            "augmentation.flip=0; set augmentation.flip, such as 0.3, or model.mirrored=False"
        ]
    return []


# --- the losses ------------------------------------------------------------------------------


def _of_losses(fields: Fields) -> list[str]:
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


def _weight(given: Any) -> float:
    weight = given.get("weight", WEIGHT.default) if isinstance(given, Mapping) else given
    return weight if is_number(weight) else WEIGHT.default


def _weighted(losses: Mapping[str, Any]) -> list[str]:
    """The known losses of a stage whose weight is not 0."""
    return [name for name, given in losses.items() if name in LOSSES and _weight(given)]


# --- the stages ------------------------------------------------------------------------------


def _of_plan(fields: Fields) -> list[str]:
    if "plan" not in fields or "model.branches" not in fields:
        return []
    plan = fields["plan"]
    rows = dict.fromkeys(path.split(".")[1] for path in fields if path.startswith("stages."))
    problems = []
    if unknown := [name for name in plan if name not in rows]:
        there = ", ".join(rows) or "none"
        problems.append(f"plan names {_listed(unknown)}, no row of stages; there are {there}")
    problems += [
        f"stages.{name}: a stage's name has letters, digits and _ only"
        for name in plan
        if name in rows and not name.isidentifier()
    ]
    for name in _planned(fields):
        problems += _of_output(fields, name)
    running = _running(fields)
    for name in running:
        problems += _of_parts(fields, name) + _of_objective(fields, name)
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
            f"evaluation.after_stages names {_listed(wrong)}, no stage of the plan that reads the "
            f"{HEAD}"
        )
    return problems


def _planned(fields: Fields) -> list[str]:
    """The stages of the plan whose rows exist."""
    return [name for name in fields.get("plan", ()) if f"stages.{name}.output" in fields]


def _running(fields: Fields) -> list[str]:
    """The stages that run, as `config.rows.stage_rows` has it."""
    encoders = [*fields.get("model.branches", ()), *fields.get("model.photo_branches", ())]
    return [
        name
        for name in _planned(fields)
        if fields.get(f"stages.{name}.epochs", 1)
        and has_place(fields[f"stages.{name}.output"], encoders, fields.get("train.pretrained", ""))
    ]


def _inputs(fields: Fields, stage: str) -> tuple[str, ...]:
    return fields.get(f"stages.{stage}.inputs", (SKETCH,))


def _of_output(fields: Fields, stage: str) -> list[str]:
    output = fields[f"stages.{stage}.output"]
    if output == HEAD or f"model.encoders.{output}.kind" in fields:
        return []
    rows = [path.split(".")[2] for path in fields if path.startswith("model.encoders.")]
    choices = ", ".join(dict.fromkeys([HEAD, *rows]))
    return [f"stages.{stage}.output={one_line(output)}; choose one of {choices}"]


def _of_parts(fields: Fields, stage: str) -> list[str]:
    output, inputs = fields[f"stages.{stage}.output"], _inputs(fields, stage)
    trains, path = fields.get(f"stages.{stage}.trains"), f"stages.{stage}.trains"
    branches = {side: tuple(fields.get(_BRANCHES[side], ())) for side in SIDES}
    lacking = [side for side in inputs if not branches[side]]
    if lacking and any(branches.values()):
        return [
            f"stages.{stage}.inputs={one_line(inputs)}, but {_BRANCHES[lacking[0]]} names no "
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
            f"{path} names {_listed(unknown)}; the parts are {', '.join([*encoders, *words])} "
            f"and {' and '.join(heads)}"
        ]
    if output != HEAD and parts != (output,):
        return [f"{path}={one_line(trains)}, but its output {output} depends on {output} only"]
    return []


def _of_objective(fields: Fields, stage: str) -> list[str]:
    """Whether the losses of a stage that runs can be computed, and add up to something."""
    path, output = f"stages.{stage}.losses", fields[f"stages.{stage}.output"]
    if path not in fields:
        return []
    losses, head = fields[path], fields.get("model.head")
    if not any(map(_weight, losses.values())):
        return [f"{path}={one_line(losses)} has no weight above 0; give {path}.cross_entropy=1.0"]
    problems = []
    for name in _weighted(losses):
        declared = LOSSES[name]
        if output != HEAD and declared.reads != ("logits",):
            usable = [other for other, row in LOSSES.items() if row.reads == ("logits",)]
            problems.append(
                f"{path}.{name} reads {' and '.join(declared.reads)}, which only the {HEAD} has; a "
                f"stage whose output is one encoder can have {', '.join(usable)}"
            )
        elif _crosses(name, losses[name]) and len(_inputs(fields, stage)) == 1:
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


def _crosses(loss: str, given: Any) -> bool:
    """Whether a loss compares sketches with photos."""
    return LOSSES[loss].crosses(given if isinstance(given, Mapping) else {})


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
        for name in _weighted(fields.get(f"stages.{stage}.losses", {}))
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
        named = {name for own in losses for name in _weighted(own)}
        if not trains_classifier(named):
            return [f"{path} need a classifier; give a stage a loss such as cross_entropy, or ()"]
    splits = fields.get("data.splits", {})
    if isinstance(splits, Mapping) and not splits.get("validation", 1):
        return [f"{path} are chosen on validation sketches; give data.splits.validation some"]
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
    for stage in _running(fields) if batch else ():
        problems += _of_sampler(fields, f"stages.{stage}.sampler", batch)
        losses = fields.get(f"stages.{stage}.losses", {})
        pairs = [name for name in _weighted(losses) if LOSSES[name].pairs]
        if pairs and batch == 1:
            problems.append(
                f"train.batch_size=1 has no pairs for stages.{stage}.losses.{pairs[0]}; take at "
                "least 2"
            )
        elif pairs:
            problems += _of_pairs(fields, f"stages.{stage}", batch, pairs[0])
    unseen, categories = expanded(fields.get("data.unseen", ())), fields.get("data.categories", ())
    if unseen and fields.get("data.unseen_count"):
        problems.append("data.unseen names categories, data.unseen_count draws them; use one")
    there = {*map(canonical, categories)}
    missing = [name for name in unseen if categories and canonical(name) not in there]
    if missing:
        problems.append(f"data.unseen={one_line(missing)} are not among data.categories")
    return problems


def _of_pairs(fields: Fields, stage: str, batch: int, loss: str) -> list[str]:
    """Whether a balanced batch has pairs of one class and of two for a loss over pairs."""
    classes = fields.get(f"{stage}.sampler.classes", 0)
    # With both sides, there are the pairs of a sketch and a photo of one class.
    if classes == batch and len(_inputs(fields, stage.removeprefix("stages."))) == 1:
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


def _of_data(fields: Fields) -> list[str]:
    problems = []
    if fields.get("data.source") == "synthetic" and fields.get("data.synthetic_per_category") == 0:
        problems.append("data.synthetic_per_category=0 with data.source=synthetic; try 300")
    if fields.get("data.extra_train") and not fields.get("data.split_file"):
        problems.append(
            f"data.extra_train={fields['data.extra_train']} adds to a split file; set "
            "data.split_file, or ask data.splits.train for more"
        )
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
