"""Configs that cannot run: as flags, as files, and with any JSON in their fields.

Whatever the fields hold, a config is either refused in plain lines or can be used; until all of it
is right, nothing slow is imported.
"""

import copy
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_run import CONFIG, tiny_config

from sketchjax.config import architecture, default, flat, rankings, validate
from sketchjax.config.check import known_fields
from sketchjax.data.inputs import Strokes
from sketchjax.errors import ConfigError
from sketchjax.models import network as networks
from sketchjax.train import stages
from sketchjax.train.workdir import keep_config

# Flags after --config and --workdir, and a part of each line of the answer.
FLAGS = [
    (["model.bits=abc"], ["model.bits='abc'; give a whole number, such as 64"]),
    (["model.bits="], ["model.bits=''; give a whole number"]),
    (["model.bits=3.5"], ["model.bits='3.5'; give a whole number"]),
    (["model.bits", "x"], ["model.bits='x'; give a whole number"]),
    (["model.bits=12"], ["model.bits=12; take a multiple of 8"]),
    (["model.bitz=3"], ["model.bitz='3' is no field; did you mean model.bits?"]),
    (["mdoel.bits=3"], ["mdoel.bits='3' is no field; did you mean model.bits?"]),
    (["moons=3"], ["moons='3' is no field; leave it out"]),
    (["model=3"], ["model='3'; it is a section: give model.FIELD"]),
    (["model.bits.x=3"], ["model.bits.x='3' is no field"]),
    (["=3"], ["='3' is no field"]),
    (["train.clip_norm=x"], ["train.clip_norm='x'; give a number, such as 1.0"]),
    (["train.clip_norm=nan"], ["train.clip_norm=nan; give a number"]),
    (["train.clip_norm=-1"], ["train.clip_norm=-1.0; must be at least 0"]),
    # The config has a whole number there.
    (["stages.joint.epochs=x"], ["stages.joint.epochs='x'; give a number, such as 1.0"]),
    (["stages.joint.epochs=nan"], ["stages.joint.epochs=nan; give a number, such as 1.0"]),
    (["stages.joint.epochs=1e7"], ["stages.joint.epochs=10000000.0; must be 0 to 1,000,000"]),
    (["train.batch_size=1e2"], ["train.batch_size='1e2'; give a whole number, such as 256"]),
    (
        ["model.encoders.cnn.batch_norm=maybe"],
        ["model.encoders.cnn.batch_norm='maybe'; give True or False"],
    ),
    (["model.encoders.cnn.widht=1"], ["did you mean model.encoders.cnn.width?"]),
    (["model.encoders.cnn=1"], ["it is a section: give model.encoders.cnn.FIELD"]),
    (["model.encoders.cnn.kind=vgg"], ["model.encoders.cnn.kind='vgg'; choose one of alexnet"]),
    (["model.branches=cnn,moon"], ["model.branches names 'moon', no row of model.encoders"]),
    (["plan=cnn,moon,joint,center,full"], ["plan names 'moon', no row of stages"]),
    (["stages.joint.epoch=3"], ["did you mean stages.joint.epochs?"]),
    (["stages.joint.trains=cnn,hash"], ["stages.joint.trains names 'hash'; the parts are"]),
    (["stages.joint.output=hash"], ["stages.joint.output='hash'; choose one of head, cnn, rnn"]),
    (["stages.joint.sampler.classes=3"], ["does not divide over stages.joint.sampler.classes=3"]),
    (["evaluation.rankings=query:moon"], ["evaluation.rankings=('query:moon',); give rows"]),
    (["data.categories=(cat"], ["data.categories='(cat'; give values with commas"]),
    (["data.on_bad=ignore"], ["data.on_bad='ignore'; choose one of stop, skip"]),
    (["data.splits.train=most"], ["data.splits.train='most'; give a number"]),
    (["data.splits.train=7.5"], ["data.splits="]),
    (["evaluation.precision_at=abc"], ["evaluation.precision_at=('abc',); give whole numbers"]),
    (["stages.full.losses.center=-1"], ["stages.full.losses.center=-1.0; give a weight"]),
    (["stages.cnn.losses.center=1"], ["--config.stages.cnn.losses.center names no field"]),
    (["stages.jont.epochs=1"], ["names no field of the config, which has no stages.jont;"]),
    (["drawing.size=20"], ["drawing.size=20 is too small", "at least 35 pixels"]),
    (
        ["model.bits=abc", "model.bitz=3", "train.batch_size=0", "seed=-1"],
        ["4 problems", "model.bits='abc'", "model.bitz='3'", "train.batch_size=0", "seed=-1"],
    ),
    (["model.bits=abc", "train.clip_norm=x"], ["2 problems", "model.bits", "train.clip_norm"]),
]


@pytest.mark.parametrize("fields, expected", FLAGS, ids=lambda part: part[0][:40])
def test_fields_on_the_command_line(ask, tmp_path, fields, expected):
    flags = [f"--config.{fields[0]}", *fields[1:]]
    if "=" in fields[-1]:
        flags = [f"--config.{field}" for field in fields]
    said, code = ask(f"--config={CONFIG}", f"--workdir={tmp_path / 'w'}", *flags)
    assert code == 64, said
    assert said.startswith("ConfigError: The config cannot run"), said
    for part in expected:
        assert part in said, said
    assert not {"Traceback", "RAISED", "IMPORTED"} & {*said.replace(":", " ").split()}, said
    assert not (tmp_path / "w").exists()


def test_valid_fields_run(ask, tmp_path):
    """Or the tests above could pass with a command that refuses everything."""
    flags = [
        *("model.bits=32", "model.encoders.cnn.batch_norm=false", "evaluation.precision_at=(1, 5)"),
        *("plan=cnn,rnn,full", "evaluation.after_stages=full", "stages.full.trains=head"),
        *("evaluation.rankings=query:gallery,validation:gallery", "stages.full.losses.center=0.5"),
        *("stages.full.sampler.classes=2", "data.unseen=clock", "model.branches=rnn,cnn"),
        # Fractions where the config has whole numbers.
        *("stages.cnn.epochs=0.5", "stages.rnn.epochs=1e-1", "stages.full.epochs=2"),
    ]
    said, code = ask(
        f"--config={CONFIG}",
        f"--workdir={tmp_path / 'w'}",
        *(f"--config.{flag}" for flag in flags),
        *("--config.data.categories", "cat,sun,clock", "--config.data.recognized_only"),
        *("--noconfig.model.encoders.cnn.batch_norm", "--config.name", "a title"),
    )
    assert (said, code) == ("RUNS\n", 0)


START = "from sketchjax.config import default\ndef get_config():\n    config = default()\n    "
FILES = {
    "wrong types": (
        START + "config.model.bits = '64'; config.seed = None; config.trian = 3; return config",
        ["3 problems", "model.bits='64'; give a whole", "seed=None; give", "did you mean train?"],
    ),
    "a section gone": (
        START + "config.model = 3; return config",
        ["model=3; give a section"],
    ),
    "an unknown section": (
        START + "\n    config.modle.bits = 3\n    return config",
        ["'modle' (config.py, line 5: config.modle.bits = 3)"],
    ),
    "nothing returned": (START, ["None is no config; return one that began as"]),
    "a dict": (
        "def get_config(): return {'model': {'bits': 3}}",
        ["is no config; return one that began as sketchjax.config.default()"],
    ),
    "an exit": ("import sys\ndef get_config(): sys.exit(0)", ["SystemExit: 0 (config.py, line 2"]),
    "an error": ("def get_config(): return {}['moons']", ["KeyError: 'moons' (config.py, line 1"]),
    "an error in two lines": (
        "def get_config(): raise ValueError('one\\n  two')",
        ["ValueError: one two (config.py, line 1"],
    ),
    "no python": ("\0\1\2", ["the config file cannot be loaded"]),
    "no text": ("def get_config(): return '\udcff'", ["the config file cannot be loaded"]),
}


@pytest.mark.parametrize("name", FILES)
def test_config_files(ask, tmp_path, name):
    content, expected = FILES[name]
    file = tmp_path / "config.py"
    file.write_text(content, errors="surrogateescape")
    said, code = ask(f"--config={file}", f"--workdir={tmp_path / 'w'}")
    assert code == 64, said
    lines = [line for line in said.splitlines() if "WARNING" not in line and "W1" not in line[:2]]
    assert lines[0].startswith("ConfigError: The config cannot run"), said
    for part in expected:
        assert part in said, said
    assert all(line.startswith("  - ") for line in lines[1:]), said


def test_a_folder_may_have_a_colon_in_its_name(ask, tmp_path):
    """What follows the first colon is an argument only where what precedes it is a file."""
    folder = tmp_path / "a:b"
    folder.mkdir()
    (folder / "tiny.py").write_text(CONFIG.read_text().replace("config():", "config(bits='16'):"))
    for file in (folder / "tiny.py", f"{folder}/tiny.py:8:9"):
        said, code = ask(f"--config={file}", f"--workdir={tmp_path / 'w'}")
        assert (said, code) == ("RUNS\n", 0)
    (folder / "bad.py").write_text("def get_config():\n    raise KeyError('no')\n")
    said, code = ask(f"--config={folder}/bad.py", f"--workdir={tmp_path / 'w'}")
    assert "KeyError: 'no' (bad.py, line 2: raise KeyError('no'))" in said


def test_an_error_of_the_file_is_not_blamed_on_a_flag(ask, tmp_path):
    file = tmp_path / "config.py"
    file.write_text("def get_config(): return {}['joint']")
    flags = [f"--config={file}", f"--workdir={tmp_path / 'w'}", "--config.stages.joint.epochs=1"]
    said, code = ask(*flags)
    assert code == 64
    assert "KeyError: 'joint' (config.py, line 1" in said


def test_debug_shows_the_traceback(ask, tmp_path):
    file = tmp_path / "config.py"
    file.write_text("def get_config(): return {}['moons']")
    said, code = ask(f"--config={file}", f"--workdir={tmp_path / 'w'}", "--debug")
    assert code == 64
    assert "Traceback" in said
    assert "NoneType: None" not in said


def test_the_answer_takes_no_time(ask, tmp_path):
    began = time.monotonic()
    for _ in range(5):
        _, code = ask(f"--config={CONFIG}", f"--workdir={tmp_path / 'w'}", "--config.seed=-1")
        assert code == 64
    assert time.monotonic() - began < 5


# --- whatever JSON can hold ------------------------------------------------------------------

TEXT = st.one_of(
    st.sampled_from(
        ["", "auto", "stream", "cosine", "steps", "constant", "linen", "fused", "float32", "joint"]
    ),
    st.sampled_from(["bfloat16", "skip", "synthetic", "cat", "0:3", "/nowhere", "train"]),
    st.text(max_size=8),
)
NUMBERS = st.one_of(
    st.integers(-2, 130),
    st.sampled_from([2**31 - 1, 2**31, 2**32, 2**63, 10**30, 1e-300, 1e30, 1e39, 1e300]),
    st.floats(-0.1, 2.0),
    st.floats(allow_nan=False, allow_infinity=False),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXT),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(
                st.sampled_from(["train", "gallery", "query", "cross_entropy", "center", "epochs"]),
                st.text(max_size=5),
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=4,
)
FIELDS = sorted(flat(default()))
FRACTIONS = [name for name in FIELDS if type(flat(default())[name]) is float]
SIZES = [name for name in FIELDS if type(flat(default())[name]) is int]
SECTIONS = [
    *("data", "data.splits", "model", "model.encoders", "model.encoders.cnn", "stages"),
    *(
        "stages.full",
        "stages.full.sampler",
        "stages.cnn.losses",
        "stages.full.losses.supervised_hashing",
    ),
]
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(FRACTIONS), st.floats(0.01, 0.9)),
        st.tuples(st.sampled_from(SIZES), st.integers(1, 130)),
        st.tuples(st.sampled_from(FIELDS), NUMBERS),
        st.tuples(st.sampled_from(FIELDS), JSON),
        st.tuples(st.sampled_from([*FIELDS, *SECTIONS, "unknown"]), JSON),
    ),
    min_size=1,
    max_size=3,
)


def changed(config, changes):
    """As a config file would set them; what raises there is the file's own error."""
    for path, value in changes:
        *sections, name = path.split(".")
        inner = config
        try:
            for section in sections:
                inner = inner[section]
            inner[name] = copy.deepcopy(value)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
            continue
    return config


def usable(config, workdir: Path) -> networks.Network:
    """Take every step from a config to a network that needs no data."""
    keep_config(config, workdir)
    keep_config(config, workdir)
    (workdir / "config.json").unlink()
    built = networks.build(
        architecture(config, ["cat", "clock", "sun"], 20.0),
        axis_name="devices",
        augmentation=config.augmentation.to_dict(),
    )
    layers = built.layers
    plan = stages.plan(config, layers.parts_of, layers.head_parts(), lambda row: 3)
    assert plan
    assert rankings(config)
    for stage in plan:
        assert stage.steps > 0
        assert stage.row.losses
        rate = stages.learning_rate(stage)(0)
        assert rate >= 0
        stages.optimizer(
            stage, weight_decay=config.train.weight_decay, clip_norm=config.train.clip_norm
        )
    return built


def problems_of(config) -> list[str]:
    try:
        validate(config, devices=2)
    except ConfigError as error:
        str(error).encode()  # can be printed
        return error.problems
    return []


def test_any_json_is_refused_in_lines_or_can_be_used(tmp_path):
    seen = {"refused": 0, "used": 0}

    @given(CHANGES)
    @settings(deadline=None, max_examples=400, derandomize=True, database=None)
    def check(changes):
        config = changed(tiny_config(), changes)
        problems = problems_of(config)
        seen["refused" if problems else "used"] += 1
        assert all(line and "\n" not in line for line in problems)
        if not problems:
            usable(config, tmp_path)

    check()
    # A test that saw only one of the two would prove nothing.
    assert min(seen.values()) > 40, seen


# The least and the most of each field, where a test can hold it.
EDGES = [
    {
        "model.bits": 8,
        "model.encoders.cnn.width": 0.01,
        "model.encoders.cnn.dense_features": 1,
        "model.encoders.rnn.hidden": 1,
    },
    {"model.encoders.cnn.stem_stride": 1, "drawing.size": 21},
    {
        "model.encoders.rnn.layers": 4,
        "model.fusion_features": 1,
        "model.encoders.rnn.implementation": "linen",
    },
    {"data.points": 2, "model.encoders.cnn.dropout": 0, "model.encoders.rnn.dropout": 0},
    {"model.dtype": "bfloat16", "model.encoders.cnn.batch_norm": False, "model.bits": 4096},
    {"drawing.size": 96, "drawing.stroke_width": 24, "model.encoders.cnn.dropout": 0.999},
    {"stages.full.epochs": 1e-6, "stages.joint.epochs": 0, "model.branches": ("rnn",)},
]


@pytest.mark.parametrize("fields", EDGES, ids=lambda fields: next(iter(fields)))
def test_edges_that_pass_have_a_network(fields, tmp_path):
    config = tiny_config()
    config.update_from_flattened_dict(fields)
    validate(config)
    network = usable(config, tmp_path)
    shapes = network.shapes()
    assert shapes["params"]["hash"]["kernel"].shape[1] == config.model.bits
    assert min(leaf.size for leaf in jax.tree.leaves(shapes)) > 0
    points = np.zeros((2, config.data.points, 3), np.uint8)
    inputs = Strokes.of(points, np.array([1, 2], np.int32))
    assert jax.eval_shape(network.apply, shapes, inputs).logits.shape == (2, 3)


def test_every_field_refuses_every_other_kind_of_json():
    known = known_fields(default())
    for field in flat(default()):
        # Of splits and losses, the fields are the sections.
        kind = type(known[field].default) if field in known else float
        for other in (None, True, 3, 2.5, "text", [None], {"a": 1}):
            # ml_collections turns True into 1.0 where a float was.
            same = type(other) is kind or (kind is float and other in (3, True))
            if same or (kind is tuple and type(other) is list):
                continue
            config = changed(default(), [(field, other)])
            lines = problems_of(config)
            # Splits may share a line.
            named = "data.splits" if field.startswith("data.splits") else field
            assert any(named in line for line in lines), (field, other, lines)
