"""What each field of a config may hold: all problems at once, one line per field with a remedy."""

import numpy as np
import pytest
from config_fields import problems_of, set_field
from ml_collections import ConfigDict

from sketchjax.config import default, validate
from sketchjax.config.check import known_fields
from sketchjax.config.fields import FIELDS
from sketchjax.errors import ConfigError
from sketchjax.models.table import ENCODERS

BAD = [
    # Of another type
    ("seed", "0", "a whole number"),
    ("seed", 1.5, "a whole number"),
    ("name", None, "text"),
    ("plan", "full", "a tuple"),
    ("plan", ("full", 3), "names as text"),
    ("plan", (["full"],), "names as text"),
    ("data.dir", 3, "text"),
    ("data.categories", "cat", "a tuple"),
    ("data.categories", ("cat", 3), "names as text"),
    ("data.recognized_only", 1, "True or False"),
    ("data.unseen", "cat", "a tuple"),
    ("data.unseen", (3,), "names as text"),
    ("data.unseen_count", "3", "a whole number"),
    ("data.word_vectors", None, "text"),
    ("model.encoders.cnn.kind", None, "text"),
    ("model.branches", "cnn", "a tuple"),
    ("model.branches", (["cnn"],), "names as text"),
    ("model.bits", "64", "such as 64"),
    ("model.bits", True, "a whole number"),
    ("model.bits", None, "a whole number"),
    ("model.encoders.cnn.batch_norm", "yes", "True or False"),
    ("model.encoders.cnn.dropout", "half", "a number"),
    ("model.encoders.cnn.width", float("nan"), "a number"),
    ("drawing.size", 48.0, "a whole number"),
    ("drawing.stroke_width", float("inf"), "a number"),
    ("stages.cnn.learning_rate", [1e-3], "a number"),
    ("stages.cnn.learning_rate", np.float32(1e-3), "a number"),
    ("stages.rnn.epochs", "1", "a number"),
    ("stages.rnn.output", None, "text"),
    ("stages.rnn.trains", "rnn", "a tuple"),
    ("stages.joint.sampler.classes", 1.0, "a whole number"),
    ("stages.joint.sampler", 16, "a section"),
    ("stages.full.losses", 1.0, "a section"),
    ("evaluation.precision_at", 200, "a tuple"),
    ("evaluation.rankings", "query:gallery", "a tuple"),
    ("model.encoders.rnn", 3, "a section"),
    ("model.encoders", 3, "a section"),
    ("model", None, "a section"),
    ("stages", "all", "a section"),
    ("stages.full", 3, "a section"),
    ("data.splits", 9000, "a section"),
    ("train.batch_size", ConfigDict({"a": 1}), "a whole number"),
    # Of the right type and out of bounds
    ("seed", -1, "0 to 4,294,967,295"),
    ("seed", 2**32, "0 to 4,294,967,295"),
    ("model.bits", 0, "multiple of 8"),
    ("model.bits", 12, "multiple of 8"),
    ("model.bits", -8, "multiple of 8"),
    ("model.dtype", "float16", "float32, bfloat16"),
    ("model.head", "hashing", "hash, embedding, features"),
    ("evaluation.feature_distances", ("snr", "moon"), "names of snr, euclidean, cosine, each once"),
    ("evaluation.feature_distances", ("snr", "snr"), "names of snr, euclidean, cosine, each once"),
    ("model.embedding", "unit", "raw, unit_length, batch_norm"),
    ("model.embedding", "batch_norm", "with model.head=embedding only, but model.head=hash"),
    (
        "model.encoders.cnn.kind",
        "resnet",
        ", ".join(ENCODERS),
    ),
    ("model.features", 0, "1 to 65,536"),
    ("data.unseen_count", -1, "0 to 65,536"),
    ("stages.joint.sampler.classes", -1, "0 to 65,536"),
    ("stages.joint.sampler.each", -1, "0 to 65,536"),
    ("model.fusion_features", -1, "0 to 65,536"),
    ("model.dropout", 1.0, "below 1"),
    ("model.mirrored", "no", "True or False"),
    ("model.photo_branches", ("moon",), "no row of model.encoders"),
    ("stages.joint.inputs", ("moon",), "give one or both of sketch, photo, each once"),
    ("data.sketches", "moon", "choose one of strokes"),
    ("photos.contours", "moon", "choose one of"),
    ("photos.validation", 1.0, "below 1"),
    ("photos.sketches_each", 0, "1 to 1,000"),
    ("photos.size", 0, "1 to 4,096"),
    ("photo_augmentation.scale", 2.0, "0 to 1"),
    ("photo_augmentation.anisotropy", 2.0, "0 to 1"),
    ("photo_augmentation.shift", 2.0, "0 to 1"),
    ("photo_augmentation.contrast", 2.0, "0 to 1"),
    ("photo_augmentation.brightness", -1.0, "0 to 1"),
    ("photo_augmentation.hue", 1.5, "0 to 1"),
    ("photo_augmentation.saturation", -0.1, "0 to 1"),
    ("photo_augmentation.negative", 2.0, "0 to 1"),
    ("photos.painted_size", 16, "32"),
    ("model.encoders.cnn.width", 0.0, "0.01 to 64"),
    ("model.encoders.cnn.stem_stride", 0, "at least 1"),
    ("model.encoders.cnn.dense_features", -4, "0 to 65,536"),
    ("model.encoders.cnn.dropout", 1.0, "below 1"),
    ("model.encoders.rnn.dropout", -0.1, "below 1"),
    ("model.encoders.rnn.hidden", 0, "1 to 65,536"),
    ("model.encoders.rnn.layers", 0, "1 to 64"),
    ("model.encoders.rnn.implementation", "cudnn", "linen, fused"),
    ("data.points", 1, "2 to 65,535"),
    ("data.shards", 0, "1 to 99,999"),
    ("data.shards", 100_000, "1 to 99,999"),
    ("data.on_bad", "ignore", "stop, skip"),
    ("data.feed", "disk", "auto, resident, stream"),
    ("data.max_per_category", -1, "at least 0"),
    ("data.extra_train", -1, "at least 0"),
    ("data.source", "synthetic", "data.synthetic_per_category=0"),
    ("drawing.fit", "paper", "canvas, ink"),
    ("drawing.fit", "ink", "strokes always fill their own box"),
    ("drawing.size", 62, "at least 63 pixels"),
    ("drawing.size", 0, "1 to 4,096"),
    ("drawing.stroke_width", 0.0, "1 to 2 pixels"),
    ("drawing.stroke_width", 100.0, "1 to 2 pixels"),
    ("augmentation.drop_stroke", 1.0, "below 1"),
    ("augmentation.flip", 1.5, "0 to 1"),
    ("augmentation.rotation", -10.0, "0 to 360"),
    ("augmentation.scale", -0.1, "0 to 1"),
    ("augmentation.jitter", -1, "0 to 255"),
    *((f"augmentation.{name}", -0.1, "0 to 1") for name in ("stroke_shift", "deform", "shear")),
    *((f"augmentation.{name}", 1.5, "0 to 1") for name in ("anisotropy", "shift")),
    ("train.batch_size", 0, "1 to 1,000,000"),
    ("train.inner_steps", 0, "1 to 1,000,000"),
    ("train.outer_steps", -2, "1 to 1,000,000"),
    ("train.weight_decay", -1e-4, "at least 0"),
    ("train.clip_norm", -1.0, "at least 0"),
    ("train.averaging", 1.0, "0.99 to 0.9999"),
    ("train.max_skipped", 0, "at least 1"),
    ("train.rollback_factor", 1.0, "a factor above 1"),
    ("train.checkpoint_seconds", -1.0, "at least 0"),
    ("train.keep_checkpoints", 0, "at least 1"),
    ("train.workers", -1, "0 to 1,000"),
    ("train.cpu_devices", 0, "1 to 1,024"),
    ("stages.joint.epochs", -1, "0 to 1,000,000"),
    ("stages.joint.learning_rate", 0.0, "0.001"),
    *(
        ("profile.steps", steps, "FIRST:END, such as 10:13")
        for steps in ("10", "10:", "a:b", "-1:3", "13:10", "13:13", "10:13:16", " 1:2", "٣:٩")
    ),
    ("train.head_rate", 0.0, "take 1 to 10"),
    ("train.head_rate", -10.0, "take 1 to 10"),
    ("train.head_start", "zeros", "choose one of random, codewords, itq, lda"),
    ("stages.joint.schedule", "linear", "cosine, steps, constant"),
    ("stages.joint.warmup_epochs", -0.5, "0 to 1,000,000"),
    ("stages.joint.augmentation", 1.5, "0 to 1"),
    ("evaluation.batch_size", 0, "1 to 1,000,000"),
    ("evaluation.precision_at", (0, 200), "from 1 to 2,147,483,647"),
    ("evaluation.precision_at", (1.5,), "from 1 to 2,147,483,647"),
    ("evaluation.posterior_bits", (12,), "multiples of 8 from 8 to 512"),
    ("evaluation.posterior_bits", (16, 520), "multiples of 8 from 8 to 512"),
    ("evaluation.after_stages", ("cnn",), "no stage of the plan that reads the head"),
    ("evaluation.after_stages", (3,), "names as text"),
    ("evaluation.retrieved", 0, "1 to 1,000"),
    ("evaluation.queries_shown", 0, "1 to 1,000"),
    # Far too large
    ("seed", 10**400, "0 to 4,294,967,295"),
    ("model.bits", 8192, "multiple of 8"),
    ("model.bits", 10**40, "multiple of 8"),
    ("model.encoders.cnn.width", 1e6, "0.01 to 64"),
    ("model.encoders.cnn.stem_stride", 10**10, "at most 2,147,483,647"),
    ("model.encoders.cnn.dense_features", 10**6, "0 to 65,536"),
    ("model.encoders.rnn.layers", 65, "1 to 64"),
    ("drawing.size", 10**5, "1 to 4,096"),
    ("model.features", 10**6, "1 to 65,536"),
    ("stages.joint.sampler.classes", 10**5, "0 to 65,536"),
    ("data.points", 2**20, "2 to 65,535"),
    ("data.max_per_category", 2**31, "at most 2,147,483,647"),
    ("data.synthetic_per_category", 10**8, "0 to 10,000,000"),
    ("data.splits.train", 2**31, "how many"),
    ("train.batch_size", 2**24, "1 to 1,000,000"),
    ("train.workers", 10**4, "0 to 1,000"),
    ("train.weight_decay", 1e39, "a number"),
    ("train.clip_norm", 1e40, "a number"),
    ("stages.cnn.epochs", 10**9, "0 to 1,000,000"),
    ("evaluation.precision_at", (2**31,), "from 1 to 2,147,483,647"),
    ("evaluation.queries_shown", 10**6, "1 to 1,000"),
    ("augmentation.rotation", 361.0, "0 to 360"),
    ("augmentation.scale", 1.5, "0 to 1"),
    ("augmentation.jitter", 300, "0 to 255"),
    # Text that no file name can hold
    ("name", "half \ud83d", "give text"),
    ("data.dir", "data\0", "give text"),
    ("data.categories", ("cat", "s\0n"), "give text"),
    # Names
    ("data.categories", ("cat", "cat"), "each once"),
    ("data.categories", ("cat", ""), "each once"),
    ("data.unseen", ("cat", "cat"), "each once"),
    ("plan", ("joint", "joint"), "each once"),
    ("model.branches", ("cnn", "cnn"), "each once"),
    # Rankings
    *(
        ("evaluation.rankings", rows, "'query:gallery'; the splits are train, validation, gallery")
        for rows in (
            (),
            ("query",),
            ("query:gallery:train",),
            ("query:test",),
            ("video/query:gallery",),
            ("/query:gallery",),
            ({"queries": "query"},),
            ({"queries": "query", "gallery": "gallery", "k": 3},),
            ({"queries": 3, "gallery": "gallery"},),
            ({"queries": "test", "gallery": "gallery"},),
            (["query", "gallery"],),
            (None,),
        )
    ),
    # Losses that the stage cannot have
    ("stages.cnn.losses.center", 0.01, "is one encoder can have cross_entropy"),
    ("stages.rnn.losses.quantization", 0.01, "is one encoder can have cross_entropy"),
    ("stages.cnn.losses.supervised_hashing", 0.01, "reads activations, which only the head has"),
    ("stages.full.losses.centre", 0.01, "is no loss; did you mean center?"),
    ("stages.full.losses.center", -0.01, "at least 0"),
    ("stages.full.losses.center", "much", "at least 0"),
    (
        "stages.cnn.losses.cross_entropy",
        0.0,
        "has no weight above 0; give stages.cnn.losses.cross_entropy=1.0",
    ),
    ("stages.rnn.losses", {}, "has no weight above 0; give stages.rnn.losses.cross_entropy=1.0"),
    # Splits
    ("data.splits", {}, "train, query, gallery"),
    ("data.splits", {"train": 100}, "query, gallery"),
    ("data.splits.query", 0, "query"),
    ("data.splits.train", -5, "how many"),
    ("data.splits.train", "most", "how many"),
    ("data.splits.train", 0.8, "mixes"),
    ("data.splits.test", 5, "train, validation, gallery, query"),
    ("data.splits", {"train": 0.8, "gallery": 0.2, "query": 0.1}, "more than 1"),
    # Fields that do not exist
    ("model.bit", 16, "did you mean model.bits?"),
    ("trian", 16, "did you mean train?"),
    ("moons", 2, "leave it out"),
    ("train.batchsize", 16, "did you mean train.batch_size?"),
    ("stages.joint.learning_rates", 0.1, "did you mean stages.joint.learning_rate?"),
    ("model.encoders.rnn.hiden", 4, "did you mean model.encoders.rnn.hidden?"),
    ("augmentation.rotate", 10, "did you mean augmentation.rotation?"),
]


def shown(value) -> str:
    """A value as its line shows it."""
    if isinstance(value, dict):
        value = ConfigDict(value)
    if isinstance(value, ConfigDict):
        value = value.to_dict()
    return " ".join(repr(value).split())[:40]


@pytest.mark.parametrize("path, value, expected", BAD, ids=lambda part: ascii(part)[:30])
def test_each_bad_value_has_one_line(path, value, expected):
    """It names the field, the value and the remedy."""
    config = default()
    set_field(config, path, value)
    lines = problems_of(config)
    assert len(lines) == 1, lines
    assert expected in lines[0]
    # The field, or its section where the line is about more than one field.
    assert path in lines[0] or path.rsplit(".", 1)[0] in lines[0]
    names_only = path == "data.source" or (path.endswith("losses.supervised_hashing"))
    value_of_a_place = path.startswith("stages.") and "is one encoder" in lines[0]
    if not names_only and not value_of_a_place:
        assert shown(value).strip("()[],'") in lines[0] or shown(value) in lines[0]
    assert "\n" not in lines[0]
    assert len(lines[0]) < 250


def test_every_field_has_a_bad_value():
    """Or a new field could come without a rule."""
    tested = {path for path, _, _ in BAD}
    rows = {"stages.*.": ("cnn", "rnn", "joint", "full"), "model.encoders.*.": ("cnn", "rnn")}
    free = {"data.source", "data.split_file", "train.pretrained", "train.teacher"}
    untested = []
    for pattern in FIELDS:
        star = next((star for star in rows if pattern.startswith(star)), None)
        paths = tuple(pattern.replace("*", name) for name in rows.get(star, ("",)))
        if pattern not in free and not any(path.startswith(paths) for path in tested):
            untested.append(pattern)
    assert untested == []


def test_two_bad_values_are_both_reported():
    """Each row with the one after it, of another field and section."""
    pairs = 0
    whole = {"model", "stages", "stages.full", "model.encoders", "model.encoders.rnn", "plan"}
    whole |= {"data.splits", "model.branches"}
    following = BAD[1:] + BAD[:1]
    for (path, value, expected), (path2, value2, expected2) in zip(BAD, following, strict=True):
        if {path, path2} & whole or path == path2:
            continue
        if path.split(".")[:2] == path2.split(".")[:2]:  # one line may cover both
            continue
        config = default()
        set_field(config, path, value)
        set_field(config, path2, value2)
        lines = problems_of(config)
        assert len(lines) == 2, (path, path2, lines)
        assert any(expected in line for line in lines), lines
        assert any(expected2 in line for line in lines), lines
        pairs += 1
    assert pairs > 40


def test_all_problems_come_at_once():
    # One for each field that has its own line whatever is wrong with the others.
    depend = (
        *("model", "stages", "stages.full", "model.encoders", "model.encoders.rnn", "plan"),
        *("stages.rnn.losses", "stages.cnn.losses.cross_entropy", "data.source"),
        *("model.branches", "stages.joint.sampler", "stages.full.losses"),
        *("stages.cnn.losses.center", "stages.rnn.losses.quantization"),
        *(
            "stages.cnn.losses.supervised_hashing",
            "model.encoders.cnn.kind",
            "evaluation.after_stages",
        ),
    )
    chosen = {}
    for path, value, expected in BAD:
        if path not in depend and not path.startswith("data.splits."):
            chosen.setdefault(path, (value, expected))
    config = default()
    for path, (value, _) in chosen.items():
        set_field(config, path, value)
    lines = problems_of(config)
    for path, (_, expected) in chosen.items():
        assert any(expected in line for line in lines), path
    assert len(lines) == len(set(lines)) == len(chosen) > 40
    with pytest.raises(ConfigError, match=f"{len(lines)} problems:\n  - "):
        validate(config)


def test_the_default_of_every_field_is_valid():
    for path, field in known_fields(default()).items():
        if path not in ("plan", "model.branches") and not path.endswith((".kind", ".trains")):
            assert field.is_valid(field.default), path
        assert field.remedy or field.is_valid(object()), path
