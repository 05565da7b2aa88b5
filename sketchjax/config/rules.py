"""What the fields of a config must be, each alone; `config_relations` has one against the other."""

import re
from collections.abc import Callable
from typing import Any

from sketchjax.config.relations import (
    HASHING_STAGES,
    LARGEST_INT,
    SMALLEST_PICTURE,
    STAGES,
    broken_relations,
    shown,
)

# The splits that can ask, in words: settings can be chosen by others than tell what they are worth.
QUERIES = {"query": "queries", "validation": "validation queries"}


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
    problems += broken_relations(sound, devices)
    return problems


def _impossible(name: str, value: Any) -> str:
    """What to do about a value that no field of its type can have; empty where one can."""
    if type(value) is int and name != "seed" and abs(value) > LARGEST_INT:
        return f"take at most {LARGEST_INT}"
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


def _is_range(text: str) -> bool:
    """Whether it is FIRST:END with at least one whole number from FIRST to END - 1."""
    match = re.fullmatch(r"(\d{1,12}):(\d{1,12})", text, re.ASCII)
    return match is not None and int(match[1]) < int(match[2])


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
    ("evaluation.queries", *_one_of(*QUERIES)),
    (
        "profile.steps",
        lambda v: not v or _is_range(v),
        "give FIRST:END, such as 10:13 for steps 10 to 12, or leave it empty",
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
    ("train.head_rate", lambda v: v > 0, "take 1 to 10"),
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
        lambda v: all(type(k) is int and 1 <= k <= LARGEST_INT for k in v),
        "give whole numbers of at least 1",
    ),
    (
        "evaluation.after_stages",
        lambda v: all(type(name) is str and name in HASHING_STAGES for name in v),
        f"only {', '.join(HASHING_STAGES)} have codes",
    ),
)
