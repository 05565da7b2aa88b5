"""The config's check: all problems at once, a line for each, and never anything but ConfigError."""

import importlib.util
import inspect
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict

from sketchjax.config import STAGES, default, flat, validate, wrong_text
from sketchjax.config_rules import SPLITS
from sketchjax.data import splits as data_splits
from sketchjax.data.splits import split_rule
from sketchjax.errors import ConfigError
from sketchjax.models.alexnet import AlexNet
from sketchjax.models.network import build
from sketchjax.ops.augment import augment
from sketchjax.train.stages import ROWS

CONFIGS = Path(__file__).parents[1] / "configs"
ARGUMENTS = {
    "quickstart": [()],
    "quickdraw55": [(), ("16",), ("64",)],
    "sketchmate": [(), ("64",), ("64,paper",)],
}


def set_field(config, path, value):
    """As a config file could: with any type in any place."""
    *sections, name = path.split(".")
    for section in sections:
        config = config[section]
    with config.ignore_type():
        config[name] = value


def problems_of(config, devices=1):
    with pytest.raises(ConfigError) as caught:
        validate(config, devices=devices)
    return caught.value.problems


def lines_of(config, devices=1):
    """The problems, none where the config can run; any other error passes through."""
    try:
        validate(config, devices=devices)
    except ConfigError as error:
        return error.problems
    return []


@pytest.mark.parametrize(
    "file, arguments",
    [
        pytest.param(file, arguments, id=":".join((file.name, *arguments)))
        for file in sorted(CONFIGS.glob("*.py"))
        for arguments in ARGUMENTS.get(file.stem, [()])
    ],
)
def test_every_config_of_the_project_can_run(file, arguments, monkeypatch):
    monkeypatch.delenv("SKETCHJAX_DATA", raising=False)
    spec = importlib.util.spec_from_file_location(f"config_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for devices in (1, 2, 4):
        validate(module.get_config(*arguments), devices=devices)
    monkeypatch.setenv("SKETCHJAX_DATA", "drawings")
    validate(module.get_config(*arguments))
    network = build(module.get_config(*arguments), classes=3, offset_scale=1.0, axis_name="devices")
    shapes = jax.eval_shape(lambda key: network.initialise(key, 4), jax.random.key(0))
    if arguments:
        bits = int(arguments[0].split(",")[0])
        assert shapes["params"]["hash"]["kernel"].shape[1] == bits


def test_the_default_can_run_and_a_change_stays_in_its_place():
    validate(default())
    config = default()
    config.stages.cnn.losses.cross_entropy = 0.5
    assert config.stages.rnn.losses.cross_entropy == 1.0
    assert default().stages.cnn.losses.cross_entropy == 1.0


def test_names_are_those_of_the_rooms_below():
    assert tuple(row.name for row in ROWS) == STAGES
    assert SPLITS == data_splits.SPLITS
    amounts = set(inspect.signature(augment).parameters) - {"keys", "points", "length"}
    assert set(default().augmentation) == amounts


BAD = [
    # Of another type
    ("seed", "0", "a whole number"),
    ("seed", 1.5, "a whole number"),
    ("name", None, "text"),
    ("debug", 1, "True or False"),
    ("data.dir", 3, "text"),
    ("data.categories", "cat", "a tuple"),
    ("data.categories", ("cat", 3), "names as text"),
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
    ("stages.joint.schedule", "linear", "cosine, steps, constant"),
    ("stages.joint.warmup_epochs", -0.5, "at least 0"),
    ("evaluation.batch_size", 0, "at least 1"),
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
    # Losses that the stage cannot have
    ("stages.cnn.losses.center", 0.01, "cross_entropy"),
    ("stages.rnn.losses.quantization", 0.01, "cross_entropy"),
    ("stages.joint.losses.center", 0.01, "cross_entropy"),
    ("stages.center.losses.quantization", 0.01, "cross_entropy, center"),
    ("stages.full.losses.centre", 0.01, "center, quantization"),
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


@pytest.mark.parametrize("devices, tried", [(3, 255), (512, 512)])
def test_batches_divide_over_the_devices(devices, tried):
    lines = problems_of(default(), devices=devices)
    assert f"train.batch_size=256 does not divide over {devices} devices; try {tried}" in lines
    assert len(lines) == (2 if devices == 3 else 1)


def test_a_missing_field_and_a_missing_section():
    config = default()
    del config.train.batch_size
    del config.augmentation
    del config.stages.cnn
    assert problems_of(config) == [
        "augmentation is missing; start from sketchjax.config.default()",
        "stages.cnn is missing; start from sketchjax.config.default()",
        "train.batch_size is missing; start from sketchjax.config.default()",
    ]
    config = default()
    config.stages = ConfigDict()
    assert [line.split()[0] for line in problems_of(config)] == [
        f"stages.{stage}" for stage in sorted(STAGES)
    ]


def test_no_stage_with_codes():
    config = default()
    for stage in ("joint", "center", "full"):
        config.stages[stage].epochs = 0
    assert problems_of(config) == [
        "no stage trains the hash layer; give stages.joint.epochs at least 1"
    ]


@pytest.mark.parametrize("config", [None, {}, {"model": {"bits": 64}}, 3, "quickstart"])
def test_what_is_no_config_at_all(config):
    assert "sketchjax.config.default()" in problems_of(config)[0]


def test_what_may_be():
    config = default()
    config.train.clip_norm = 0  # a whole number where a number belongs
    config.train.weight_decay = 0.0
    config.data.categories = ["cat", "clock"]
    config.evaluation.precision_at = ()
    config.evaluation.after_stages = ["full"]
    config.stages.cnn.epochs = 0
    config.stages.cnn.losses = {}  # of a stage that does not run
    config.stages.joint.losses.center = 0.0
    del config.stages.full.losses.center
    config.data.splits = {"train": 0.8, "gallery": 0.15, "query": 0.05, "validation": 0}
    validate(config)
    config.data.splits = {}
    config.data.split_file = "splits.csv"  # then the sizes are not read
    validate(config)


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_the_smallest_picture_is_the_smallest_that_the_network_takes(stride):
    def takes(size):
        network, image = AlexNet(width=0.01, stem_stride=stride), jnp.zeros((1, size, size, 1))
        try:
            shapes = jax.eval_shape(network.init, jax.random.key(0), image)
        except (TypeError, ValueError, ZeroDivisionError):
            return False
        return min(shapes["params"]["dense6"]["dense"]["kernel"].shape) > 0

    config = default()
    config.drawing.size = 8
    config.model.cnn.stem_stride = stride
    config.model.cnn.width = 0.01
    (line,) = problems_of(config)
    smallest = int(line.split("try a size of ")[1].split()[0])
    assert takes(smallest)
    assert not takes(smallest - 1)
    config.drawing.size = smallest
    validate(config)


@given(
    st.dictionaries(
        st.sampled_from([*SPLITS, "test"]),
        st.one_of(st.integers(-1, 50), st.floats(-0.1, 1.1), st.sampled_from([0, 0.0, 0.25, 0.5])),
    )
)
@settings(deadline=None, max_examples=200)
def test_splits_that_pass_can_be_converted(splits):
    config = default()
    config.data.splits = splits
    lines = lines_of(config)
    assert all("data.splits" in line for line in lines)
    if lines:
        return
    rule = split_rule(splits)
    (shares,) = rule.settings().values()
    assert min(shares[name] for name in ("train", "gallery", "query")) > 0


JUNK = [
    None, True, "", "joint", -1, 0, 1, 3, 10**400, 10**5000, -0.5, 0.0, 0.5, float("nan"),
    float("inf"), (), (0,), ("joint",), [None], {}, {"a": 1}, ConfigDict({"cross_entropy": 1.0}),
    object(), len,
    b"bytes", 1j, {1, 2}, np.zeros(3), np.int64(3), np.float32(2), ConfigDict({"train": ()}),
]  # fmt: skip
PATHS = [
    *flat(default()),
    *("data", "data.splits", "model", "model.cnn", "stages", "stages.full", "stages.cnn.losses"),
    *("evaluation", "augmentation", "unknown", "model.unknown"),
]


@given(st.lists(st.tuples(st.sampled_from(PATHS), st.sampled_from(range(len(JUNK)))), max_size=3))
@settings(deadline=None, max_examples=300)
def test_nothing_but_config_error_whatever_the_fields_hold(changes):
    config = default()
    for path, number in changes:
        # A section that is gone, or is none any more, has no fields to set.
        try:
            set_field(config, path, JUNK[number])
        except (AttributeError, KeyError, IndexError, TypeError, OverflowError):
            continue
    for devices in (1, 3):
        assert all("\n" not in line for line in lines_of(config, devices))


def test_every_field_refuses_what_it_cannot_be():
    # An object fits nowhere: each field, one at a time, is told by its full name.
    for path in flat(default()):
        config = default()
        set_field(config, path, object())
        (line,) = problems_of(config)
        assert line.startswith(f"{path}=")


def test_flat_names_every_field():
    fields = flat(default())
    assert fields["model.cnn.width"] == 1.0
    assert fields["stages.full.losses.quantization"] == 0.0001
    assert len(fields) == sum(1 for _ in jax.tree.leaves(default().to_dict(), is_leaf=_is_field))


def _is_field(node):
    return not isinstance(node, dict)


@pytest.mark.parametrize(
    "path, text, told",
    [
        ("model.bits", "abc", "model.bits='abc'; give a whole number, such as 64"),
        ("model.bits", "3.5", "give a whole number"),
        ("model.bits", "", "give a whole number"),
        ("train.clip_norm", "x", "train.clip_norm='x'; give a number"),
        ("model.cnn.batch_norm", "maybe", "give True or False"),
        ("data.splits.train", "most", "give a number"),
        ("model", "3", "it is a section: give model.FIELD"),
        ("stages.full", "x", "it is a section"),
        ("model.bitz", "3", "did you mean model.bits?"),
        ("modell.bits", "3", "did you mean model.bits?"),
        ("", "", "leave it out"),
    ],
)
def test_what_a_field_cannot_be_on_the_command_line(path, text, told):
    assert told in wrong_text(path, text)


@pytest.mark.parametrize(
    "path, text",
    [
        *(("model.bits", text) for text in ("64", "-3", " 8")),
        *(("train.clip_norm", text) for text in ("1", "1e-3", "nan")),
        *(("model.cnn.batch_norm", text) for text in ("true", "False", "0", "1")),
        *(("evaluation.precision_at", text) for text in ("100", "(1, 2)")),
        ("data.splits.train", "0.5"),
        ("stages.full.losses.center", "0.1"),
        ("name", ""),
    ],
)
def test_what_it_can_be_is_left_to_the_rules(path, text):
    assert wrong_text(path, text) is None


def test_a_config_file_may_write_any_type_anywhere():
    """So that `validate` tells of all of them, and not ml_collections of the first."""
    config = default()
    config.model.bits = "64"
    config.model.cnn = 3
    config.stages.full.losses.center = "much"
    config.data.splits = {"train": "most"}
    config.augmentation.shift = None
    config.evaluation.precision_at = 100
    lines = problems_of(config)
    for wanted in (
        "augmentation.shift=None; give a number",
        "data.splits.train='most'; give how many",
        "evaluation.precision_at=100; give a tuple",
        "model.bits='64'; give a whole number",
        "model.cnn=3; give a section of fields",
        "stages.full.losses.center='much'; give a weight",
    ):
        assert any(line.startswith(wanted) for line in lines), (wanted, lines)
    assert len(lines) == 6
