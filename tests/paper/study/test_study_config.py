"""Fields of studies as text, and base configs and methods that do not fit together."""

import ast
from pathlib import Path

import pytest

from sketchjax.config import set_stages, stage
from sketchjax.errors import ConfigError
from sketchjax.paper.study.config import study_literal, validate_study, wrong_study_text
from sketchjax.paper.study.plan import plan_runs, run_problems


def plan(study):
    return plan_runs(study, Path("w"), Path("data"))


@pytest.mark.parametrize(
    "path, text, value",
    [
        ("bits", "16,64", (16, 64)),
        ("bits", "16", (16,)),
        ("bits", "(16, 64)", (16, 64)),
        ("seeds", "0, 1", (0, 1)),
        ("tables", "1,2", ("1", "2")),
        ("tables", "zero-shot", ("zero-shot",)),
        ("rows", "cel,cel_scl", ("cel", "cel_scl")),
        ("rows", "", ()),
        ("unseen", 'cat,"salt, pepper"', ("cat", "salt, pepper")),
        ("galleries", "1000,20000", (1000, 20_000)),
        ("head_rates", "32:5,64:2.5", ((32, 5), (64, 2.5))),
        ("head_rates", "()", ()),
        ("base.data.categories", "cat,clock", ("cat", "clock")),
        ("base.evaluation.rankings", "validation:gallery", ("validation:gallery",)),
    ],
)
def test_lists_are_given_with_commas(path, text, value):
    assert wrong_study_text(path, text) is None
    assert ast.literal_eval(study_literal(path, text)) == value


@pytest.mark.parametrize("path", ["bits", "seeds", "tables", "rows", "galleries", "head_rates"])
def test_values_that_are_no_numbers_are_refused(tiny_study, path):
    tiny_study[path] = ast.literal_eval(study_literal(path, "16x,1:x"))
    with pytest.raises(ConfigError) as raised:
        validate_study(tiny_study)
    assert len(raised.value.problems) == 2
    assert all("16x" in problem or "1:x" in problem or "'x'" in problem
               for problem in raised.value.problems)  # fmt: skip


@pytest.mark.parametrize(
    "path, text, message",
    [
        (
            "base.model.bots",
            "16",
            "base.model.bots='16' is no field; did you mean base.model.bits?",
        ),
        ("base.model", "3", "base.model='3'; it is a section: give base.model.FIELD"),
        ("base.seed", "x", "base.seed='x'; give a whole number, such as 0"),
    ],
)
def test_fields_of_the_base_are_named_in_full(path, text, message):
    assert wrong_study_text(path, text) == message


def test_fields_of_one_value_stay_as_they_are():
    for path, text in (("query", "cat"), ("name", "a, b"), ("zero_shot_bits", "16")):
        assert study_literal(path, text) == text


@pytest.mark.parametrize("section, name", [("stages", "full"), ("model.encoders", "cnn"),
                                           ("stages.full.losses", "quantization")])  # fmt: skip
def test_a_base_without_what_a_method_changes_is_refused(tiny_study, section, name):
    found = tiny_study.base
    for part in section.split("."):
        found = found[part]
    del found[name]
    with pytest.raises(ConfigError, match=f"base has no {name}, which it needs"):
        plan(tiny_study)


def test_a_base_with_other_stages_is_refused(tiny_study):
    set_stages(tiny_study.base, stage("whole", trains=("encoders", "head"), epochs=1))
    with pytest.raises(ConfigError, match="base has no cnn in its plan, which it needs"):
        plan(tiny_study)


def test_an_own_method_can_add_a_stage(tiny_study):
    _, row = stage("again", trains=("head",), epochs=2)
    changes = {"stages": {"again": row}, "plan": (*tiny_study.base.plan, "again")}
    own = {"label": "Mine", "begins": ("joint",), "trains": ("full",), "changes": changes}
    tiny_study.methods.mine = own
    validate_study(tiny_study)
    run = next(run for run in plan(tiny_study) if run.method == "mine")
    assert not run_problems(tiny_study, [run], Path("w"))
    assert run.config.stages.again.epochs == 2


def test_methods_that_start_from_each_other_are_refused(tiny_study):
    changes = {"seed": 1}
    tiny_study.methods.first = {"label": "1", "begins": ("second",), "changes": changes}
    tiny_study.methods.second = {"label": "2", "begins": ("first",), "changes": changes}
    validate_study(tiny_study)
    with pytest.raises(ConfigError, match="first-16 starts from second-16 starts from first-16"):
        plan(tiny_study)


def test_a_problem_of_many_runs_is_reported_once(tiny_study):
    tiny_study.base.train.batch_size = 0
    runs = plan(tiny_study)
    (problem,) = {
        problem
        for problem in run_problems(tiny_study, runs, Path("w"))
        if "train.batch_size=0" in problem
    }
    assert problem.startswith(f"{runs[0].name} and {len(runs) - 1} more: ")
