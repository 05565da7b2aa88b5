"""The config: its files, its fields, and that whatever they hold there is only ConfigError."""

import importlib.util
import inspect
from pathlib import Path

import jax
import numpy as np
import pytest
from config_fields import lines_of, problems_of, set_field
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict

from sketchjax.config import STAGES, default, flat, validate, wrong_text
from sketchjax.config.relations import SPLITS
from sketchjax.data.folder import splits as data_splits
from sketchjax.models.network import build
from sketchjax.ops.augment import augment
from sketchjax.train.stages import ROWS

CONFIGS = Path(__file__).parents[1] / "configs"
ARGUMENTS = {
    "quickstart": [()],
    "quickdraw55": [(), ("16",), ("64",)],
    "sketchmate": [(), ("64",), ("64,paper",)],
}


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


@pytest.mark.parametrize("config", [None, {}, {"model": {"bits": 64}}, 3, "quickstart"])
def test_what_is_no_config_at_all(config):
    assert "sketchjax.config.default()" in problems_of(config)[0]


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
