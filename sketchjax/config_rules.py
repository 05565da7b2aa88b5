"""What the fields of a config must be, each alone and one against the other."""

import re
from collections.abc import Callable
from typing import Any

STAGES = ("cnn", "rnn", "joint", "center", "full")
HASHING_STAGES = ("joint", "center", "full")
# A branch alone has no code features: of the losses it can have the first.
LOSSES = (
    "cross_entropy",
    "center",
    "quantization",
    "common_center",
    "contrastive",
    "semantic",
)
# The least side of a picture that an encoder can read, as strides of its stem and pixels.
SMALLEST_PICTURE = {"alexnet": (14, 7), "sketch_a_net": (22, 15), "resnet50": (0, 1)}
SPLITS = ("train", "validation", "gallery", "query")


def broken_rules(fields: dict[str, Any], devices: int) -> list[str]:
    """One line for each field, or pair of fields, that cannot be.

    fields: `section.field`: value, each of its right type; splits and losses as one dict each.
    Rules that name a missing field are left out. devices: how many a batch is spread over.
    """
    problems, sound = [], dict(fields)
    for name, value in fields.items():
        remedy = _impossible(name, value)
        if remedy:
            problems.append(f"{name}={shown(sound.pop(name))}; {remedy}")
    for names, is_right, remedy in _RULES:
        for name in set(names.split()) & sound.keys():
            if not is_right(sound[name]):
                # Out of `sound`, so that the rules between fields can rely on what is in it.
                problems += [f"{name}={shown(sound.pop(name))}; {remedy}"]
    problems.sort()
    problems += _of_picture(sound) + _of_batches(sound, devices) + _of_data(sound)
    for stage in STAGES:
        problems += _of_losses(sound, stage)
    problems += _of_model(sound) + _of_classes(sound)
    return problems


def is_number(value: Any) -> bool:
    """True for whole numbers and for floats, as far as float32 has them; booleans are none."""
    return type(value) in (int, float) and abs(value) <= _LARGEST_FLOAT


def shown(value: Any) -> str:
    """A value in one short line, whatever it is."""
    try:
        line = " ".join(repr(value).split())
    except Exception:  # whole numbers of more than 4300 digits, and what a class may do
        line = f"a {type(value).__name__}"
    return line if len(line) <= 80 else line[:77] + "..."


_LARGEST_FLOAT = 3.4028234e38
_LARGEST_INT = 2**31 - 1  # steps, sizes and indices are i32 on the devices


def _impossible(name: str, value: Any) -> str:
    """What to do about a value that no field of its type can have; empty where one can."""
    if type(value) is int and name != "seed" and abs(value) > _LARGEST_INT:
        return f"take at most {_LARGEST_INT}"
    for text in value if isinstance(value, tuple | list) else (value,):
        if type(text) is str and not _is_text(text):
            return "give text that can be part of a file's name: no zero bytes, no half characters"
    return ""


def _is_text(text: str) -> bool:
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def _one_of(*choices: str) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in choices, f"choose one of {', '.join(choices)}"


def _at_least(least: float) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value >= least, f"take at least {least}"


def _at_most(most: float) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value <= most, f"take at most {most}"


def _each_stage(*names: str) -> str:
    return " ".join(f"stages.{stage}.{name}" for stage in STAGES for name in names)


# Names of fields, what they must be, and what to do about it.
_RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("seed", lambda v: 0 <= v < 2**32, f"take a seed from 0 to {2**32 - 1}"),
    ("model.bits", lambda v: v > 0 and v % 8 == 0, "take a multiple of 8, 16 to 64 usually"),
    ("model.dtype", *_one_of("float32", "bfloat16")),
    ("model.rnn.implementation", *_one_of("linen", "fused")),
    ("model.branches", *_one_of("both", "cnn", "rnn")),
    ("model.cnn.encoder", *_one_of(*SMALLEST_PICTURE)),
    # With less, the first convolution has no channel left.
    ("model.cnn.width", *_at_least(0.01)),
    ("data.on_bad", *_one_of("stop", "skip")),
    ("data.feed", *_one_of("auto", "resident", "stream")),
    ("data.points", *_at_least(2)),
    (
        "profile.steps",
        lambda v: re.fullmatch(r"|(\d{1,12}):(\d{1,12})", v) is not None,
        "give FIRST:END, such as 10:13, or leave it empty",
    ),
    (
        "train.rollback_factor",
        lambda v: v == 0 or v > 1,
        "take 0 for never, or how many times its median the loss may be, such as 3",
    ),
    ("data.shards", lambda v: 1 <= v <= 99_999, "take 1 to 99999"),
    (
        "data.categories data.unseen",
        lambda v: all(type(name) is str for name in v),
        "give names as text",
    ),
    (
        "data.categories data.unseen",
        lambda v: len({*v}) == len(v) and "" not in v,
        "give each name once",
    ),
    ("drawing.stroke_width", lambda v: v > 0, "take 1 to 2 pixels at a size of 224"),
    (_each_stage("schedule"), *_one_of("cosine", "steps", "constant")),
    (_each_stage("learning_rate"), lambda v: v > 0, "take 0.001, say"),
    (
        "model.cnn.dropout model.rnn.dropout augmentation.drop_stroke",
        lambda v: 0 <= v < 1,
        "take a probability of at least 0, below 1",
    ),
    ("augmentation.flip", lambda v: 0 <= v <= 1, "take a probability from 0 to 1"),
    (
        "augmentation.jitter augmentation.stroke_shift augmentation.deform augmentation.scale "
        "augmentation.anisotropy augmentation.shear augmentation.rotation augmentation.shift "
        "data.max_per_category data.synthetic_per_category data.unseen_count "
        "model.fusion_features model.recognition_features model.cnn.dense_features "
        "train.weight_decay train.clip_norm train.checkpoint_seconds train.workers "
        "train.classes_per_batch " + _each_stage("epochs", "warmup_epochs"),
        *_at_least(0),
    ),
    (
        "drawing.size model.cnn.stem_stride model.rnn.hidden model.rnn.layers "
        "train.batch_size train.inner_steps train.outer_steps train.keep_checkpoints "
        "train.max_skipped "
        "evaluation.batch_size evaluation.retrieved evaluation.queries_shown",
        *_at_least(1),
    ),
    # Far above what is of use, and far below what ends a machine.
    ("model.bits drawing.size", *_at_most(4096)),
    (
        "model.rnn.hidden model.fusion_features model.recognition_features "
        "model.cnn.dense_features data.unseen_count train.classes_per_batch",
        *_at_most(65_536),
    ),
    ("model.rnn.layers model.cnn.width", *_at_most(64)),
    ("data.points", *_at_most(65_535)),
    ("data.synthetic_per_category", *_at_most(10_000_000)),
    ("train.workers evaluation.retrieved evaluation.queries_shown", *_at_most(1000)),
    (
        "train.batch_size train.inner_steps train.outer_steps evaluation.batch_size "
        + _each_stage("epochs", "warmup_epochs"),
        *_at_most(1_000_000),
    ),
    ("augmentation.jitter", *_at_most(255)),
    ("augmentation.rotation", *_at_most(360)),
    (
        "augmentation.stroke_shift augmentation.deform augmentation.scale "
        "augmentation.anisotropy augmentation.shear augmentation.shift",
        *_at_most(1),
    ),
    (
        "evaluation.precision_at",
        lambda v: all(type(k) is int and 1 <= k <= _LARGEST_INT for k in v),
        "give whole numbers of at least 1",
    ),
    (
        "evaluation.after_stages",
        lambda v: all(type(name) is str and name in HASHING_STAGES for name in v),
        f"only {', '.join(HASHING_STAGES)} have codes",
    ),
)


def _of_picture(fields: dict[str, Any]) -> list[str]:
    size, stride = fields.get("drawing.size"), fields.get("model.cnn.stem_stride")
    width = fields.get("drawing.stroke_width")
    problems = []
    encoder = fields.get("model.cnn.encoder")
    if None not in (size, stride, encoder) and fields.get("model.branches") != "rnn":
        smallest = SMALLEST_PICTURE[encoder][0] * stride + SMALLEST_PICTURE[encoder][1]
        if size < smallest:
            problems.append(
                f"drawing.size={size} leaves nothing after the last pooling with "
                f"model.cnn.stem_stride={stride}; try a size of {smallest} or more"
            )
    if size is not None and width is not None and width > size / 4:
        problems.append(
            f"drawing.stroke_width={width!r} is more than a quarter of drawing.size={size}; "
            "take 1 to 2 pixels"
        )
    return problems


def _of_batches(fields: dict[str, Any], devices: int) -> list[str]:
    return [
        f"{name}={fields[name]} does not divide over {devices} devices; "
        f"try {max(1, fields[name] // devices) * devices}"
        for name in ("train.batch_size", "evaluation.batch_size")
        if fields.get(name, devices) % devices
    ]


def _of_model(fields: dict[str, Any]) -> list[str]:
    """What a model and its stages must be to one another."""
    epochs = {stage: fields.get(f"stages.{stage}.epochs", 1) for stage in STAGES}
    branches, problems = fields.get("model.branches", "both"), []
    trained = [
        stage
        for stage in STAGES
        if epochs[stage]
        and (
            stage in HASHING_STAGES
            or (branches in ("both", stage) and not fields.get("train.pretrained"))
        )
    ]
    if not trained:
        problems.append("no stage trains anything; give stages.joint.epochs at least 1")
    elif branches == "both" and trained[-1] not in HASHING_STAGES:
        problems.append(
            "no stage trains the hash layer; give stages.joint.epochs at least 1, or "
            "model.branches=cnn or rnn to recognise with that branch alone"
        )
    if fields.get("model.recognition_features"):
        wrong = [
            f"stages.{stage}.losses.{loss}"
            for stage in HASHING_STAGES
            for loss in ("quantization", "contrastive", "semantic")
            if epochs[stage] and fields.get(f"stages.{stage}.losses", {}).get(loss)
        ]
        if wrong:
            problems.append(
                f"{', '.join(wrong)}: codes have no place in a network that recognises; set it "
                "to 0, or model.recognition_features to 0"
            )
    return problems


def _of_classes(fields: dict[str, Any]) -> list[str]:
    problems = []
    chosen, batch = fields.get("train.classes_per_batch", 0), fields.get("train.batch_size", 0)
    if chosen and batch % chosen:
        problems.append(
            f"train.batch_size={batch} does not divide over train.classes_per_batch={chosen}; "
            f"try {max(1, batch // chosen) * chosen}"
        )
    unseen, all_names = fields.get("data.unseen", ()), fields.get("data.categories", ())
    if unseen and fields.get("data.unseen_count"):
        problems.append("data.unseen names categories, data.unseen_count draws them; use one")
    missing = [name for name in unseen if all_names and name not in all_names]
    if missing:
        problems.append(f"data.unseen={shown(missing)} are not among data.categories")
    return problems


def _of_data(fields: dict[str, Any]) -> list[str]:
    problems = []
    if fields.get("data.source") == "synthetic" and fields.get("data.synthetic_per_category") == 0:
        problems.append("data.synthetic_per_category=0 with data.source=synthetic; try 300")
    if "data.splits" in fields and not fields.get("data.split_file"):
        problems += _of_splits(fields["data.splits"])
    return problems


def _of_splits(splits: dict[str, Any]) -> list[str]:
    problems = []
    for name, share in splits.items():
        if name not in SPLITS:
            problems.append(
                f"data.splits.{name}={shown(share)} is no split; there are {', '.join(SPLITS)}"
            )
        elif not is_number(share) or not 0 <= share <= _LARGEST_INT:
            problems.append(
                f"data.splits.{name}={shown(share)}; give how many sketches, or a fraction"
            )
    if problems:
        return problems
    kinds = {type(share) for share in splits.values() if share}
    if len(kinds) > 1:
        problems.append(
            f"data.splits={shown(splits)} mixes numbers of sketches and fractions; use one"
        )
    elif float in kinds and sum(splits.values()) > 1 + 1e-9:
        problems.append(
            f"data.splits={shown(splits)} adds up to more than 1; take fractions of a whole"
        )
    empty = [name for name in ("train", "gallery", "query") if not splits.get(name)]
    if empty:
        problems.append(
            f"data.splits={shown(splits)} gives nothing to {', '.join(empty)}; each needs sketches"
        )
    return problems


def _of_losses(fields: dict[str, Any], stage: str) -> list[str]:
    path = f"stages.{stage}.losses"
    known = LOSSES if stage in HASHING_STAGES else LOSSES[:1]
    weights = fields.get(path)
    if weights is None:
        return []
    problems = []
    for name, weight in weights.items():
        if name not in LOSSES:
            choices = ", ".join(LOSSES)
            problems.append(f"{path}.{name}={shown(weight)} is no loss; there are {choices}")
        elif not is_number(weight) or weight < 0:
            problems.append(f"{path}.{name}={shown(weight)}; give a weight of at least 0")
        elif weight and name not in known:
            problems.append(f"{path}.{name}={weight!r}; stage {stage} can have {', '.join(known)}")
    if not problems and fields.get(f"stages.{stage}.epochs") and not any(weights.values()):
        problems.append(
            f"{path}={shown(weights)} has no weight above 0; give {path}.cross_entropy=1.0"
        )
    return problems
