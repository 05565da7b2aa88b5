"""The check of a config: what is missing or no field, text from a command line, and any junk."""

import copy
import subprocess
import sys
from contextlib import suppress

import jax
import numpy as np
import pytest
from config_fields import lines_of, problems_of, set_field
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict, config_dict

from sketchjax.config import as_literal, default, flat, split_list, wrong_text
from sketchjax.models.table import ENCODERS


def test_missing_fields_and_sections():
    config = default()
    del config.train.batch_size
    del config.augmentation
    assert problems_of(config) == [
        "augmentation is missing; start from sketchjax.config.default()",
        "train.batch_size is missing; start from sketchjax.config.default()",
    ]


@pytest.mark.parametrize("section", ["stages", "model.encoders", "model", "stages.joint.losses"])
def test_a_missing_section_of_rows_has_one_line(section):
    config = default()
    *above, name = section.split(".")
    inner = config
    for part in above:
        inner = inner[part]
    del inner[name]
    missing = [f"{section} is missing; start from sketchjax.config.default()"]
    # A row may leave any field out.
    assert lines_of(config) == ([] if section == "stages.joint.losses" else missing)


def test_an_empty_section_of_rows_has_no_rows():
    config = default()
    config.stages = ConfigDict()
    assert problems_of(config) == [
        "plan names 'cnn', 'rnn', 'joint', 'center', 'full', no row of stages; there are none"
    ]
    config = default()
    config.model.encoders = ConfigDict()
    assert problems_of(config)[0] == (
        "model.branches names 'cnn', 'rnn', no row of model.encoders; there are none"
    )


def test_an_unknown_kind_hides_no_other_problem():
    config = default()
    config.model.encoders.cnn.kind = "vgg"
    config.model.encoders.rnn.hidden = 0
    config.model.encoders.rnn.hiden = 8
    assert problems_of(config) == [
        "model.encoders.rnn.hidden=0; must be 1 to 65,536",
        "model.encoders.rnn.hiden=8 is no field; did you mean model.encoders.rnn.hidden?",
        f"model.encoders.cnn.kind='vgg'; choose one of {', '.join(ENCODERS)}",
    ]


def test_settings_of_another_kind_are_refused():
    config = default()
    config.model.encoders.cnn.kind = "bigru"
    config.model.encoders.cnn.layers = 1
    assert [line.split("=")[0] for line in problems_of(config)] == [
        f"model.encoders.cnn.{name}"
        for name in ("batch_norm", "dense_features", "stem_stride", "width")
    ]


@pytest.mark.parametrize("config", [None, {}, {"model": {"bits": 64}}, 3, "quickstart"])
def test_something_that_is_no_config(config):
    assert "sketchjax.config.default()" in problems_of(config)[0]


# --- whatever the fields hold ----------------------------------------------------------------


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no")


JUNK = [
    None, True, "", "joint", -1, 0, 1, 3, 10**400, 10**5000, -0.5, 0.0, 0.5, float("nan"),
    float("inf"), (), (0,), ("joint",), [None], {}, {"a": 1}, ConfigDict({"cross_entropy": 1.0}),
    object(), len, ([1],), ({"queries": 3, "gallery": []},), ConfigDict({3: 4}), "\ud83d",
    b"bytes", 1j, {1, 2}, np.zeros(3), np.int64(3), np.float32(2), ConfigDict({"train": ()}),
    config_dict.placeholder(int), config_dict.required_placeholder(int), Unprintable(),
    ConfigDict({"kind": ["alexnet"], "output": "head", "cross_entropy": {"weight": {"weight": 1}}}),
]  # fmt: skip
SECTIONS = [
    *("data", "data.splits", "model", "model.encoders", "model.encoders.cnn", "stages"),
    *("stages.full", "stages.new", "stages.cnn.losses", "stages.cnn.losses.supervised_hashing"),
    *("stages.full.sampler", "evaluation", "augmentation", "unknown", "model.unknown"),
    *("model.encoders.new", "model.encoders.rnn.width"),
]
PATHS = [*flat(default()), *SECTIONS]
# What the rules between fields read most.
ORDERS = ["plan", "model.branches", "model.encoders.rnn.kind", "stages.cnn.output",
          "stages.joint.trains", "evaluation.rankings", "evaluation.after_stages"]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(PATHS), st.sampled_from(range(len(JUNK)))), max_size=3))
@settings(deadline=None, max_examples=300)
def test_only_config_error_whatever_the_fields_hold(changes):
    config = default()
    for path, number in changes:
        # A section that is gone, or is none any more, has no fields to set.
        with suppress(Exception):
            set_field(config, path, copy.deepcopy(JUNK[number]))
    for devices in (1, 3):
        assert all("\n" not in line for line in lines_of(config, devices))


def test_any_junk_in_place_of_rows():
    """Every pair of a place and a value: the test above may miss one."""
    for path in [*SECTIONS, *ORDERS]:
        for value in JUNK:
            config = default()
            with suppress(Exception):
                set_field(config, path, copy.deepcopy(value))
            lines_of(config)


def test_names_that_are_no_text():
    config = default()
    config.stages[3] = ConfigDict()  # next to names that are text: they cannot be sorted
    assert problems_of(config)[0].startswith("stages=TypeError(")
    config = default()
    with config.ignore_type():
        config[3] = 4
    assert problems_of(config)[0].startswith("not all sections have text as names")
    config = default()
    config.stages.full.losses = ConfigDict({3: 1.0})
    assert problems_of(config)[0].startswith("stages.full.losses.3=1.0 is no loss")


def test_a_config_that_holds_itself():
    config = default()
    config.model.model = config
    config.stages.full.losses.center = config.stages
    assert any("model.model" in line for line in problems_of(config))


def test_every_field_refuses_an_object():
    # An object fits nowhere: each field, one at a time, is named in full.
    for path in flat(default()):
        config = default()
        set_field(config, path, object())
        (line,) = problems_of(config)
        assert line.startswith(f"{path}=")


def test_a_config_file_may_write_any_type_anywhere():
    """So that `validate` reports all of them, and not ml_collections only the first."""
    config = default()
    config.model.bits = "64"
    config.model.encoders.cnn = 3
    config.stages.full.losses.center = "much"
    config.stages.full.losses.quantization = {"weight": "little"}
    config.data.splits = {"train": "most"}
    config.augmentation.shift = None
    config.evaluation.precision_at = 100
    lines = problems_of(config)
    for expected in (
        "augmentation.shift=None; give a number",
        "data.splits.train='most'; give how many",
        "evaluation.precision_at=100; give a tuple",
        "model.bits='64'; give a whole number",
        "model.encoders.cnn=3; give a section of fields",
        "stages.full.losses.center='much'; give a weight",
        "stages.full.losses.quantization.weight='little'; give a weight",
    ):
        assert any(line.startswith(expected) for line in lines), (expected, lines)
    assert len(lines) == 7


def test_configs_are_checked_without_jax():
    code = (
        "import sys; from sketchjax.config import default, validate; validate(default()); "
        "print({'jax', 'flax', 'optax', 'orbax', 'grain'} & {*sys.modules})"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


# --- fields given as text --------------------------------------------------------------------


def test_flat_names_every_field():
    fields = flat(default())
    assert fields["model.encoders.cnn.width"] == 1.0
    assert fields["stages.full.losses.quantization"] == 0.0001
    assert fields["plan"] == ("cnn", "rnn", "joint", "center", "full")
    assert fields["stages.joint.sampler.classes"] == 0
    leaves = jax.tree.leaves(default().to_dict(), is_leaf=lambda node: not isinstance(node, dict))
    assert len(fields) == len(leaves)


@pytest.mark.parametrize(
    "path, text, expected",
    [
        ("model.bits", "abc", "model.bits='abc'; give a whole number, such as 64"),
        ("model.bits", "3.5", "give a whole number"),
        ("model.bits", "", "give a whole number"),
        ("train.clip_norm", "x", "train.clip_norm='x'; give a number"),
        ("model.encoders.cnn.batch_norm", "maybe", "give True or False"),
        ("model.encoders.mine.hidden", "many", "give a whole number, such as 512"),
        ("data.splits.train", "most", "give a number"),
        ("stages.mine.losses.triplet.margin", "wide", "give a number"),
        ("data.categories", "(cat", "data.categories='(cat'; give values with commas"),
        ("data.categories", "[cat]", "give values with commas"),
        ("model", "3", "it is a section: give model.FIELD"),
        ("data.splits", "3", "it is a section: give data.splits.FIELD"),
        ("stages", "3", "it is a section: give stages.FIELD"),
        ("stages.full", "x", "it is a section: give stages.full.FIELD"),
        ("stages.full.losses", "x", "it is a section: give stages.full.losses.FIELD"),
        ("model.encoders", "x", "it is a section"),
        ("model.encoders.cnn", "x", "it is a section"),
        ("model.bitz", "3", "did you mean model.bits?"),
        ("modell.bits", "3", "did you mean model.bits?"),
        ("stages.mine.epoch", "3", "did you mean stages.mine.epochs?"),
        ("stages.mine.sampler.clases", "3", "did you mean stages.mine.sampler.classes?"),
        ("model.encoders.mine.hiden", "3", "did you mean model.encoders.mine.hidden?"),
        ("", "", "leave it out"),
    ],
)
def test_text_that_a_field_cannot_be(path, text, expected):
    assert expected in wrong_text(path, text)


@pytest.mark.parametrize(
    "path, text",
    [
        *(("model.bits", text) for text in ("64", "-3", " 8")),
        *(("train.clip_norm", text) for text in ("1", "1e-3", "nan")),
        *(("model.encoders.cnn.batch_norm", text) for text in ("true", "False", "0", "1")),
        *(("evaluation.precision_at", text) for text in ("100", "(1, 2)", "1,2")),
        *(("stages.mine.trains", text) for text in ("cnn", "encoders,head", "('cnn',)", "")),
        ("evaluation.rankings", "query:gallery,validation:gallery"),
        ("data.splits.train", "0.5"),
        ("stages.full.losses.center", "0.1"),
        ("stages.mine.losses.orthohash.targets", "hadamard"),
        ("stages.mine.losses.supervised_hashing.margin", "24"),
        ("stages.mine.losses.contrastive.distance", "cosine"),
        ("stages.mine.losses.contrastive.distance", "moon"),
        ("stages.mine.sampler.each", "4"),
        ("model.encoders.mine.kind", "moon"),  # a matter of the rules
        ("name", ""),
    ],
)
def test_text_that_is_left_to_the_rules(path, text):
    assert wrong_text(path, text) is None


@given(st.sampled_from([*PATHS, "", ".", "stages..x", "model.encoders.x"]), st.text(max_size=12))
def test_any_text_is_answered_in_one_line(path, text):
    line = wrong_text(path, text)
    assert line is None or "\n" not in line
    if line is None:
        assert isinstance(as_literal(path, text), str)


@pytest.mark.parametrize(
    "path, text, literal",
    [
        ("data.categories", "cat,clock", "('cat', 'clock')"),
        ("data.categories", " cat , clock ", "('cat', 'clock')"),
        ("data.categories", "cat", "('cat',)"),
        ("data.categories", "", "()"),
        ("data.categories", '"salt, pepper",cat', "('salt, pepper', 'cat')"),
        ("data.categories", "2,3D glasses", "('2', '3D glasses')"),  # names, not numbers
        ("data.categories", "('cat', 'sun')", "('cat', 'sun')"),
        ("data.categories", "['cat']", "['cat']"),
        ("base.data.categories", "cat,sun", "('cat', 'sun')"),
        ("plan", "cnn,joint", "('cnn', 'joint')"),
        ("stages.mine.trains", "encoders,head", "('encoders', 'head')"),
        ("model.branches", "rnn", "('rnn',)"),
        ("evaluation.precision_at", "10,20", "(10, 20)"),
        ("evaluation.posterior_bits", "16,32", "(16, 32)"),
        ("evaluation.precision_at", "10,x,-3", "(10, 'x', -3)"),
        ("evaluation.rankings", "query:gallery, sketch/query:train",
         "('query:gallery', 'sketch/query:train')"),
        ("model.bits", "64", "64"),
        ("name", "a,b", "a,b"),
        ("moons", "a,b", "a,b"),
    ],
)  # fmt: skip
def test_several_values_become_a_literal(path, text, literal):
    assert as_literal(path, text) == literal


@pytest.mark.parametrize(
    "text, names",
    [
        ("cat,clock", ["cat", "clock"]),
        ('"salt, pepper", "the ""moon"""', ["salt, pepper", 'the "moon"']),
        ('5" nail,cat', ['5" nail', "cat"]),
        ("cat,,clock", ["cat", "", "clock"]),
        ("cat\nclock\r\nsun", ["cat", "clock", "sun"]),
        ("", []),
    ],
)
def test_names_are_split_at_commas(text, names):
    assert split_list(text) == names
