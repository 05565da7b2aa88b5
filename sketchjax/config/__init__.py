"""The config of a run: every field with its default, and the check of all of them at once.

A config file under `configs/` starts from `default()` and changes what its experiment needs.
"""

import difflib
from typing import Any, TypeAlias

from ml_collections import ConfigDict

from sketchjax.config.relations import STAGES, is_number, shown
from sketchjax.config.rules import broken_rules
from sketchjax.errors import ConfigError

# A ConfigDict; its own annotations say that any field may be of any type, which helps nobody.
Config: TypeAlias = Any


def default() -> Config:
    """Our recipe at the sizes of the paper; each field's comment says what it is."""
    # Any type goes in anywhere, so that `validate` tells of all that are wrong at once.
    config = ConfigDict(type_safe=False)
    config.name = "sketchmate"
    config.seed = 0
    config.debug = False  # show the traceback of an error that is the user's to mend

    config.data = data = ConfigDict(type_safe=False)
    data.dir = ""  # the converted folder; empty: WORKDIR/data
    data.source = ""  # drawings to convert when `dir` is not there yet; `synthetic` draws its own
    data.split_file = ""  # CSV of key_id,split; empty: the sizes below
    data.splits = {"train": 9000, "validation": 1000, "gallery": 1000, "query": 100}
    data.categories = ()  # empty: all
    # Categories kept out of training, to score codes of what was never seen: by name, or so many
    # drawn by the seed. Scores are then of their queries against their gallery.
    data.unseen = ()
    data.unseen_count = 0
    # Text file of word vectors (GloVe, word2vec) for losses that need them; empty: of the names'
    # spelling, which knows no meaning.
    data.word_vectors = ""
    data.recognized_only = False
    data.max_per_category = 0  # 0: no limit
    data.on_bad = "stop"  # or `skip`: leave bad records out and count them
    data.shards = 8
    # `resident`: the training split lies on the devices; `stream`: the host reads and sends it;
    # `auto`: resident where it needs at most a quarter of their free memory.
    data.feed = "auto"
    data.points = 128  # longer sketches are cut to their first points
    data.synthetic_per_category = 0

    # The picture, drawn on the device; lengths in pixels.
    config.drawing = {"size": 224, "stroke_width": 1.5}

    # Random changes to the points of training sketches.
    config.augmentation = {
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

    config.model = model = ConfigDict(type_safe=False)
    model.bits = 64
    model.branches = "both"  # or `cnn` or `rnn` alone
    model.dtype = "float32"  # of the computation; parameters are float32 always
    model.fusion_features = 0  # 0: the raw concatenation of both branches
    # Above 0: no hash layer, but a rectified layer of so many features, for recognition alone.
    model.recognition_features = 0
    model.cnn = {
        "encoder": "alexnet",  # or `sketch_a_net`, `resnet50`
        "width": 1.0,
        "stem_stride": 4,
        "dense_features": 0,  # 0: 4096 times the width
        "batch_norm": True,
        "dropout": 0.5,
    }
    model.rnn = {"hidden": 512, "layers": 2, "dropout": 0.0, "implementation": "linen"}

    config.train = train = ConfigDict(type_safe=False)
    train.batch_size = 256  # over all devices
    # Above 0: batches of so many classes with as many sketches each; 0: drawn from all alike.
    train.classes_per_batch = 0
    train.inner_steps = 8  # k: steps with the codes fixed, a block of k batches
    train.outer_steps = 4  # m: blocks in one dispatch
    train.weight_decay = 1e-4
    train.clip_norm = 1.0
    # Learning rate of what stands after the branches (the hash layer, the classifier) over the
    # stage's: the branches come trained, it begins from nothing.
    train.head_rate = 1.0
    train.max_skipped = 10  # so many steps in a row that are not finite end the run
    train.rollback_factor = 0.0  # go back where the loss is so many times its median; 0: never
    train.checkpoint_seconds = 300.0
    train.keep_checkpoints = 2
    train.workers = 0  # processes that read ahead
    # Workdirs of runs whose trained branches to take, or their files of weights (.safetensors), for
    # all that those hold; commas between. Stages of single branches are then left out.
    train.pretrained = ""

    # Weights of the losses by stage (SketchMate, section 4.1).
    alone = {"cross_entropy": 1.0}
    centered = {"cross_entropy": 1.0, "center": 0.01}
    full = centered | {"quantization": 0.0001}
    config.stages = ConfigDict(type_safe=False)
    for stage, epochs, losses in zip(
        STAGES, (20, 20, 5, 5, 5), (alone, alone, alone, centered, full), strict=True
    ):
        config.stages[stage] = {
            "epochs": epochs,  # 0 leaves the stage out
            "learning_rate": 1e-3,
            "schedule": "cosine",  # warm up, then decay to 0; `steps`: / 10 every 10 epochs
            "warmup_epochs": 0.5,
            "losses": losses,
        }

    config.profile = {"steps": ""}  # FIRST:END, steps of the run to trace

    config.evaluation = {
        "batch_size": 512,
        "queries": "query",  # the split that asks; `validation`: to choose settings by
        "precision_at": (100, 200),
        "after_stages": ("joint", "center", "full"),
        "retrieved": 36,  # sketches shown for each query of the report
        "queries_shown": 6,
    }
    return config


# Sections whose names are free, within the rules for them.
FREE_SECTIONS = ("data.splits", *(f"stages.{stage}.losses" for stage in STAGES))
_KINDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple: "a tuple",
    ConfigDict: "a section of fields",
}


def validate(config: Config, *, devices: int = 1) -> None:
    """Check every field against the others and the number of devices, before any work.

    Raises ConfigError with one line for each problem, and nothing else whatever the fields hold.
    """
    if not isinstance(config, ConfigDict):
        raise ConfigError(
            f"{shown(config)} is no config; return one that began as sketchjax.config.default()"
        )
    problems: list[str] = []
    fields = _well_typed(config, default(), "", problems)
    problems += broken_rules(fields, devices)
    if problems:
        raise ConfigError(problems)


def _well_typed(section: Config, known: Config, prefix: str, problems: list[str]) -> dict[str, Any]:
    """The fields of the types that `known` has, as `section.field`: value; the rest as problems."""
    problems += [
        _unknown(f"{prefix}{name}", shown(section[name])) for name in section if name not in known
    ]
    fields: dict[str, Any] = {}
    for name, usual in known.items():
        path = f"{prefix}{name}"
        if name not in section:
            problems.append(f"{path} is missing; start from sketchjax.config.default()")
            continue
        value = section[name]
        if not _is_like(value, usual):
            example = "" if isinstance(usual, ConfigDict) else f", such as {usual!r}"
            problems.append(f"{path}={shown(value)}; give {_KINDS[type(usual)]}{example}")
        elif path in FREE_SECTIONS:
            fields[path] = value.to_dict()
        elif isinstance(usual, ConfigDict):
            fields |= _well_typed(value, usual, f"{path}.", problems)
        else:
            fields[path] = value
    return fields


def _is_like(value: Any, usual: Any) -> bool:
    """Whether a value has the type of a field's default; whole numbers are numbers too."""
    if isinstance(usual, ConfigDict):
        return isinstance(value, ConfigDict)
    if isinstance(usual, tuple):
        return type(value) in (tuple, list)
    return is_number(value) if type(usual) is float else type(value) is type(usual)


def _unknown(path: str, value: str) -> str:
    near = difflib.get_close_matches(path, [*flat(default()), *default()], n=1)
    remedy = f"did you mean {near[0]}?" if near else "leave it out"
    return f"{path}={value} is no field; {remedy}"


def wrong_text(path: str, text: str) -> str | None:
    """Why a field cannot be given as this text on the command line, in a line; None where it can.

    Looks at its name and type alone; whether the value can be is `validate`'s to say.
    """
    known = flat(default())
    if path.startswith(tuple(f"{section}." for section in FREE_SECTIONS)):
        usual = 0.5
    elif path in known:
        usual = known[path]
    elif any(name.startswith(f"{path}.") for name in known):
        return f"{path}={shown(text)}; it is a section: give {path}.FIELD"
    else:
        return _unknown(path, shown(text))
    try:
        _READERS.get(type(usual), str)(text)
    except ValueError:
        return f"{path}={shown(text)}; give {_KINDS[type(usual)]}, such as {usual!r}"
    return None


def _read_bool(text: str) -> bool:
    if text.lower() not in ("true", "t", "1", "false", "f", "0"):
        raise ValueError
    return text.lower() in ("true", "t", "1")


_READERS = {bool: _read_bool, int: int, float: float}


def flat(config: Config, prefix: str = "") -> dict[str, object]:
    """All fields as `section.field`: value."""
    fields: dict[str, object] = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            fields.update(flat(value, f"{prefix}{key}."))
        else:
            fields[f"{prefix}{key}"] = value
    return fields
