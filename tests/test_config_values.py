"""What each field of a config can be: all problems at once, a line for each with a remedy."""

import numpy as np
import pytest
from config_fields import problems_of, set_field
from ml_collections import ConfigDict

from sketchjax.config import default, validate
from sketchjax.errors import ConfigError

BAD = [
    # Of another type
    ("seed", "0", "a whole number"),
    ("seed", 1.5, "a whole number"),
    ("name", None, "text"),
    ("debug", 1, "True or False"),
    ("data.dir", 3, "text"),
    ("data.categories", "cat", "a tuple"),
    ("data.categories", ("cat", 3), "names as text"),
    ("data.unseen", "cat", "a tuple"),
    ("data.unseen", (3,), "names as text"),
    ("data.unseen_count", "3", "a whole number"),
    ("data.word_vectors", None, "text"),
    ("model.cnn.encoder", None, "text"),
    ("train.classes_per_batch", 1.0, "a whole number"),
    ("model.bits", "64", "such as 64"),
    ("model.bits", True, "a whole number"),
    ("model.bits", None, "a whole number"),
    ("model.cnn.batch_norm", "yes", "True or False"),
    ("model.cnn.dropout", "half", "a number"),
    ("model.cnn.width", float("nan"), "a number"),
    ("drawing.size", 48.0, "a whole number"),
    ("drawing.stroke_width", float("inf"), "a number"),
    ("stages.cnn.learning_rate", [1e-3], "a number"),
    ("stages.cnn.learning_rate", np.float32(1e-3), "a number"),
    ("stages.rnn.epochs", 0.5, "a whole number"),
    ("evaluation.precision_at", 200, "a tuple"),
    ("model.rnn", 3, "a section"),
    ("model", None, "a section"),
    ("stages", "all", "a section"),
    ("data.splits", 9000, "a section"),
    ("train.batch_size", ConfigDict({"a": 1}), "a whole number"),
    # Of the right type and out of bounds
    ("seed", -1, "from 0"),
    ("seed", 2**32, "4294967295"),
    ("model.bits", 0, "multiple of 8"),
    ("model.bits", 12, "multiple of 8"),
    ("model.bits", -8, "multiple of 8"),
    ("model.dtype", "float16", "float32, bfloat16"),
    ("model.branches", "whole", "both, cnn, rnn"),
    ("model.cnn.encoder", "resnet", "alexnet, sketch_a_net, resnet50"),
    ("model.recognition_features", -1, "at least 0"),
    ("data.unseen_count", -1, "at least 0"),
    ("train.classes_per_batch", -1, "at least 0"),
    ("model.fusion_features", -1, "at least 0"),
    ("model.cnn.width", 0.0, "at least 0.01"),
    ("model.cnn.stem_stride", 0, "at least 1"),
    ("model.cnn.dense_features", -4, "at least 0"),
    ("model.cnn.dropout", 1.0, "below 1"),
    ("model.rnn.dropout", -0.1, "below 1"),
    ("model.rnn.hidden", 0, "at least 1"),
    ("model.rnn.layers", 0, "at least 1"),
    ("model.rnn.implementation", "cudnn", "linen, fused"),
    ("data.points", 1, "at least 2"),
    ("data.shards", 0, "1 to 99999"),
    ("data.shards", 100_000, "1 to 99999"),
    ("data.on_bad", "ignore", "stop, skip"),
    ("data.max_per_category", -1, "at least 0"),
    ("data.source", "synthetic", "data.synthetic_per_category=0"),
    ("drawing.size", 62, "try a size of 63"),
    ("drawing.size", 0, "at least 1"),
    ("drawing.stroke_width", 0.0, "1 to 2 pixels"),
    ("drawing.stroke_width", 100.0, "1 to 2 pixels"),
    ("augmentation.drop_stroke", 1.0, "below 1"),
    ("augmentation.flip", 1.5, "from 0 to 1"),
    ("augmentation.rotation", -10.0, "at least 0"),
    ("augmentation.scale", -0.1, "at least 0"),
    ("augmentation.jitter", -1, "at least 0"),
    ("train.batch_size", 0, "at least 1"),
    ("train.inner_steps", 0, "at least 1"),
    ("train.outer_steps", -2, "at least 1"),
    ("train.weight_decay", -1e-4, "at least 0"),
    ("train.clip_norm", -1.0, "at least 0"),
    ("train.checkpoint_seconds", -1.0, "at least 0"),
    ("train.keep_checkpoints", 0, "at least 1"),
    ("train.workers", -1, "at least 0"),
    ("stages.joint.epochs", -1, "at least 0"),
    ("stages.joint.learning_rate", 0.0, "0.001"),
    *(
        ("profile.steps", steps, "FIRST:END, such as 10:13")
        for steps in ("10", "10:", "a:b", "-1:3", "13:10", "13:13", "10:13:16", " 1:2", "٣:٩")
    ),
    ("train.head_rate", 0.0, "take 1 to 10"),
    ("train.head_rate", -10.0, "take 1 to 10"),
    ("stages.joint.schedule", "linear", "cosine, steps, constant"),
    ("stages.joint.warmup_epochs", -0.5, "at least 0"),
    ("evaluation.batch_size", 0, "at least 1"),
    ("evaluation.queries", "train", "one of query, validation"),
    ("evaluation.precision_at", (0, 200), "at least 1"),
    ("evaluation.precision_at", (1.5,), "at least 1"),
    ("evaluation.after_stages", ("cnn",), "have codes"),
    ("evaluation.after_stages", (3,), "have codes"),
    ("evaluation.retrieved", 0, "at least 1"),
    ("evaluation.queries_shown", 0, "at least 1"),
    # Far too much
    ("seed", 10**400, "4294967295"),
    ("model.bits", 8192, "at most 4096"),
    ("model.bits", 10**40, "at most 2147483647"),
    ("model.cnn.width", 1e6, "at most 64"),
    ("model.cnn.dense_features", 10**6, "at most 65536"),
    ("model.rnn.layers", 65, "at most 64"),
    ("drawing.size", 10**5, "at most 4096"),
    ("model.recognition_features", 10**6, "at most 65536"),
    ("train.classes_per_batch", 10**5, "at most 65536"),
    ("data.points", 2**20, "at most 65535"),
    ("data.max_per_category", 2**31, "at most 2147483647"),
    ("data.synthetic_per_category", 10**8, "at most 10000000"),
    ("data.splits.train", 2**31, "how many"),
    ("train.batch_size", 2**24, "at most 1000000"),
    ("train.workers", 10**4, "at most 1000"),
    ("train.weight_decay", 1e39, "a number"),
    ("train.clip_norm", 1e40, "a number"),
    ("stages.cnn.epochs", 10**9, "at most 1000000"),
    ("evaluation.precision_at", (2**31,), "at least 1"),
    ("evaluation.queries_shown", 10**6, "at most 1000"),
    ("augmentation.rotation", 361.0, "at most 360"),
    ("augmentation.scale", 1.5, "at most 1"),
    ("augmentation.jitter", 300, "at most 255"),
    # Text that no file can have
    ("name", "half \ud83d", "give text"),
    ("data.dir", "data\0", "give text"),
    ("data.categories", ("cat", "s\0n"), "give text"),
    ("data.categories", ("cat", "cat"), "each name once"),
    ("data.categories", ("cat", ""), "each name once"),
    ("data.unseen", ("cat", "cat"), "each name once"),
    # Losses that the stage cannot have
    ("stages.cnn.losses.center", 0.01, "cross_entropy"),
    ("stages.rnn.losses.quantization", 0.01, "cross_entropy"),
    ("stages.cnn.losses.contrastive", 0.01, "stage cnn can have cross_entropy"),
    ("stages.full.losses.centre", 0.01, "cross_entropy, center, quantization, common_center"),
    ("stages.full.losses.center", -0.01, "at least 0"),
    ("stages.full.losses.center", "much", "at least 0"),
    (
        "stages.cnn.losses.cross_entropy",
        0.0,
        "has no weight above 0; give stages.cnn.losses.cross_entropy=1.0",
    ),
    ("stages.rnn.losses", {}, "has no weight above 0; give stages.rnn.losses.cross_entropy=1.0"),
    # Splits
    ("data.splits", {}, "train, gallery, query"),
    ("data.splits", {"train": 100}, "gallery, query"),
    ("data.splits.query", 0, "query"),
    ("data.splits.train", -5, "how many"),
    ("data.splits.train", "most", "how many"),
    ("data.splits.train", 0.8, "mixes"),
    ("data.splits.test", 5, "train, validation, gallery, query"),
    ("data.splits", {"train": 0.8, "gallery": 0.2, "query": 0.1}, "more than 1"),
    # Fields that are not there
    ("model.bit", 16, "did you mean model.bits?"),
    ("trian", 16, "did you mean train?"),
    ("moons", 2, "leave it out"),
    ("train.batchsize", 16, "did you mean train.batch_size?"),
    ("stages.joint.learning_rates", 0.1, "did you mean stages.joint.learning_rate?"),
    ("augmentation.rotate", 10, "did you mean augmentation.rotation?"),
]


def told_value(path, value) -> str:
    """A value as its line shows it: of a split or a loss, its section may show it."""
    if isinstance(value, dict):
        value = ConfigDict(value).to_dict()
    return " ".join(repr(value).split())[:40]


@pytest.mark.parametrize("path, value, told", BAD, ids=lambda part: ascii(part)[:30])
def test_each_bad_value_has_its_line(path, value, told):
    """It names the field, the value and the remedy."""
    config = default()
    set_field(config, path, value)
    lines = problems_of(config)
    assert len(lines) == 1, lines
    assert told in lines[0]
    # The field, or the section that it stands in where the line is about more than one.
    assert path in lines[0] or path.rsplit(".", 1)[0] in lines[0]
    assert path == "data.source" or told_value(path, value) in lines[0]
    assert "\n" not in lines[0]
    assert len(lines[0]) < 250


def test_two_that_are_wrong_are_both_told():
    """Each row with the one after it, of another field and section."""
    pairs = 0
    for (path, value, told), (path2, value2, told2) in zip(BAD, BAD[1:] + BAD[:1], strict=True):
        if {path, path2} & {"model", "stages", "model.rnn", "data.splits"} or path == path2:
            continue
        if path.split(".")[:2] == path2.split(".")[:2]:  # one line may tell of both
            continue
        config = default()
        set_field(config, path, value)
        set_field(config, path2, value2)
        lines = problems_of(config)
        assert len(lines) == 2, (path, path2, lines)
        assert any(told in line for line in lines), lines
        assert any(told2 in line for line in lines), lines
        pairs += 1
    assert pairs > 40


def test_all_problems_come_at_once():
    # One for each field that has a line of its own whatever is wrong with the others.
    own = (
        *("model", "stages", "model.rnn", "stages.rnn.losses", "stages.cnn.losses.cross_entropy"),
        "data.source",
    )
    chosen = {}
    for path, value, told in BAD:
        if path not in own and not path.startswith("data.splits."):
            chosen.setdefault(path, (value, told))
    config = default()
    for path, (value, _) in chosen.items():
        set_field(config, path, value)
    lines = problems_of(config)
    for path, (_, told) in chosen.items():
        assert any(told in line for line in lines), path
    assert len(lines) == len(set(lines)) == len(chosen) > 40
    with pytest.raises(ConfigError, match=f"{len(lines)} problems:\n  - "):
        validate(config)
