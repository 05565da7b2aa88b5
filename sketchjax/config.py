"""The config of a run: every field with its default, and the check of all of them at once.

A config file under `configs/` starts from `default()` and changes what its experiment needs.
"""

import difflib
from collections.abc import Callable
from typing import Any, TypeAlias

from ml_collections import ConfigDict

from sketchjax.errors import ConfigError

# A ConfigDict; its own annotations say that any field may be of any type, which helps nobody.
Config: TypeAlias = Any

STAGES = ("cnn", "rnn", "joint", "center", "full")


def default() -> Config:
    """Our recipe at the sizes of the paper; each field's comment says what it is."""
    config = ConfigDict()
    config.name = "sketchmate"
    config.seed = 0
    config.debug = False  # show the traceback of an error that is the user's to mend

    config.data = data = ConfigDict()
    data.dir = ""  # the converted folder; empty: WORKDIR/data
    data.source = ""  # drawings to convert when `dir` is not there yet; `synthetic` draws its own
    data.split_file = ""  # CSV of key_id,split; empty: the sizes below
    data.splits = ConfigDict({"train": 9000, "validation": 1000, "gallery": 1000, "query": 100})
    data.categories = ()  # empty: all
    data.recognized_only = False
    data.max_per_category = 0  # 0: no limit
    data.on_bad = "stop"  # or `skip`: leave bad records out and count them
    data.shards = 8
    data.points = 128  # longer sketches are cut to their first points
    data.synthetic_per_category = 0

    # The picture, drawn on the device; lengths in pixels.
    config.drawing = ConfigDict({"size": 224, "stroke_width": 1.5})

    # Random changes to the points of training sketches.
    config.augmentation = ConfigDict(
        {
            "drop_stroke": 0.05,  # probability that a stroke is left out
            "jitter": 0.0,  # of each point, in units of the drawing's 255
            "stroke_shift": 0.0,  # of each stroke, as a fraction of the drawing's box
            "deform": 0.0,  # smooth bending, as a fraction of the box
            "flip": 0.0,  # probability of a mirror image
            "scale": 0.1,  # relative change of size
            "anisotropy": 0.1,  # relative change of width against height
            "shear": 0.1,
            "rotation": 10.0,  # degrees either way
            "shift": 0.04,  # of the whole, as a fraction of the box
        }
    )

    config.model = model = ConfigDict()
    model.bits = 64
    model.dtype = "float32"  # of the computation; parameters are float32 always
    model.fusion_features = 0  # 0: the raw concatenation of both branches
    model.cnn = ConfigDict(
        {
            "width": 1.0,
            "stem_stride": 4,
            "dense_features": 0,  # 0: 4096 times the width
            "batch_norm": True,
            "dropout": 0.5,
        }
    )
    model.rnn = ConfigDict({"hidden": 512, "layers": 2, "dropout": 0.0, "implementation": "linen"})

    config.train = train = ConfigDict()
    train.batch_size = 256  # over all devices
    train.inner_steps = 8  # k: steps with the codes fixed, a block of k batches
    train.outer_steps = 4  # m: blocks in one dispatch
    train.weight_decay = 1e-4
    train.clip_norm = 1.0
    train.checkpoint_seconds = 300.0
    train.keep_checkpoints = 2
    train.workers = 0  # processes that read ahead
    train.pretrained = ""  # workdir of a finished run whose CNN and RNN branches to take

    # Weights of the losses by stage (SketchMate, section 4.1).
    alone = {"cross_entropy": 1.0}
    centered = {"cross_entropy": 1.0, "center": 0.01}
    full = centered | {"quantization": 0.0001}
    config.stages = ConfigDict()
    for stage, epochs, losses in zip(
        STAGES, (20, 20, 5, 5, 5), (alone, alone, alone, centered, full), strict=True
    ):
        config.stages[stage] = ConfigDict(
            {
                "epochs": epochs,  # 0 leaves the stage out
                "learning_rate": 1e-3,
                "schedule": "cosine",  # warm up, then decay to 0; `steps`: / 10 every 10 epochs
                "warmup_epochs": 0.5,
                "losses": losses,
            }
        )

    config.evaluation = ConfigDict(
        {
            "batch_size": 512,
            "precision_at": (100, 200),
            "after_stages": ("joint", "center", "full"),
            "retrieved": 36,  # sketches shown for each query of the report
            "queries_shown": 6,
        }
    )
    return config


def validate(config: Config, *, devices: int = 1) -> None:
    """Check every field against the others and the number of devices, before any work.

    Raises ConfigError with one line for each problem.
    """
    problems: list[str] = []
    check = _Check(config, problems)
    problems += _unknown_fields(config, default())
    model, data = config.model, config.data
    check("model.bits", lambda v: v > 0 and v % 8 == 0, "take a multiple of 8, 16 to 64 usually")
    check.one_of("model.dtype", ("float32", "bfloat16"))
    check.one_of("model.rnn.implementation", ("linen", "fused"))
    check.one_of("data.on_bad", ("stop", "skip"))
    for field in ("model.cnn.dropout", "model.rnn.dropout", "augmentation.drop_stroke"):
        check(field, lambda v: 0 <= v < 1, "take a probability of at least 0, below 1")
    for field in ("data.points", "data.shards", "model.rnn.hidden", "model.rnn.layers",
                  "train.batch_size", "train.inner_steps", "train.outer_steps",
                  "train.keep_checkpoints", "evaluation.batch_size", "drawing.size"):  # fmt: skip
        check(field, lambda v: v >= 1, "take at least 1")
    check("model.cnn.width", lambda v: v > 0, "take a factor above 0, 1 as published")
    check("drawing.stroke_width", lambda v: v > 0, "take 1 to 2 pixels at a size of 224")
    smallest = 35 + 28 * max(1, model.cnn.stem_stride - 1)
    if config.drawing.size >= 1 and _last_picture(config.drawing.size, model.cnn.stem_stride) < 1:
        problems.append(
            f"drawing.size={config.drawing.size} leaves nothing after the last pooling with "
            f"model.cnn.stem_stride={model.cnn.stem_stride}; try a size of {smallest} or more"
        )
    for name in ("train", "evaluation"):
        size = config[name].batch_size
        if size >= 1 and size % devices:
            problems.append(
                f"{name}.batch_size={size} does not divide over {devices} devices; "
                f"try {max(1, size // devices) * devices}"
            )
    for stage in STAGES:
        check(f"stages.{stage}.epochs", lambda v: v >= 0, "take 0 to leave the stage out")
        check(f"stages.{stage}.learning_rate", lambda v: v > 0, "take 0.001, say")
        check.one_of(f"stages.{stage}.schedule", ("cosine", "steps", "constant"))
    for stage in config.evaluation.after_stages:
        if stage not in ("joint", "center", "full"):
            problems.append(
                f"evaluation.after_stages names {stage!r}; only joint, center and full have codes"
            )
    if not any(config.stages[stage].epochs for stage in ("joint", "center", "full")):
        problems.append("no stage trains the hash layer; give stages.joint.epochs at least 1")
    if data.source == "synthetic" and data.synthetic_per_category < 1:
        problems.append("data.synthetic_per_category=0 with data.source=synthetic; try 300")
    if problems:
        raise ConfigError(problems)


class _Check:
    def __init__(self, config: Config, problems: list[str]):
        self.config, self.problems = config, problems

    def __call__(self, field: str, is_right: Callable, remedy: str) -> None:
        value = self.value(field)
        if value is not None and not is_right(value):
            self.problems.append(f"{field}={value!r}; {remedy}")

    def one_of(self, field: str, choices: tuple[str, ...]) -> None:
        self(field, lambda value: value in choices, f"choose one of {', '.join(choices)}")

    def value(self, field: str):
        node = self.config
        for part in field.split("."):
            if not isinstance(node, ConfigDict) or part not in node:
                return None
            node = node[part]
        return node


def _last_picture(size: int, stride: int) -> int:
    """Side of AlexNet's last feature map for a picture of `size`."""
    side = (size + 4 - 11) // stride + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1
    return side


def flat(config: Config, prefix: str = "") -> dict[str, object]:
    """All fields as `section.field`: value."""
    fields: dict[str, object] = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            fields.update(flat(value, f"{prefix}{key}."))
        else:
            fields[f"{prefix}{key}"] = value
    return fields


def _unknown_fields(config: Config, known: Config) -> list[str]:
    fields, names = flat(config), list(flat(known))
    problems = []
    for name in fields:
        if name in names or ".losses." in name:
            continue
        near = difflib.get_close_matches(name, names, n=1)
        problems.append(f"{name} is no field" + (f"; did you mean {near[0]}?" if near else ""))
    return problems
