"""The runs of a study: which, in what order, with what config; and what can be wrong with them."""

import copy
import re
from pathlib import Path

import orjson
import pytest
from ml_collections import ConfigDict

from sketchjax.config import default, flat, stage_rows, validate
from sketchjax.config.fields import FREE
from sketchjax.losses.table import LOSSES
from sketchjax.paper import numbers as paper
from sketchjax.paper.study.config import validate_study
from sketchjax.paper.study.methods import METHODS, ROWS
from sketchjax.paper.study.plan import Key, plan_runs, run_problems

FOLDER = Path("data")


def planned(study, workdir=Path("w")):
    return {run.name: run for run in plan_runs(study, workdir, FOLDER)}


def trained(run):
    return [row.name for row in stage_rows(run.config)]


def losses(run, stage):
    return {name: weight for name, weight in run.config.stages[stage].losses.items() if weight}


def test_every_row_of_the_paper_has_its_method():
    for table, names in ROWS.items():
        if table == "2":
            continue  # its rows are shallow methods, on the features of one run
        ours = [METHODS[name].paper for name in names if METHODS[name].paper]
        assert sorted(ours) == sorted({row["model"] for row in paper.rows(table)}), table


def test_branches_are_trained_once_for_all(tiny_study):
    tiny_study.bits = (16, 64)
    runs = planned(tiny_study)
    assert sum(run.method == "cnn" and not run.zero_shot for run in runs.values()) == 1
    assert sum(run.method == "rnn" and not run.zero_shot for run in runs.values()) == 1
    assert {run.bits for run in runs.values() if run.method == "joint"} == {16, 64}
    # Tables 1 and 4 share their runs; the 17 methods at two lengths where they depend on them.
    by_bits = sum(method.by_bits for method in METHODS.values())
    normal = [run for run in runs.values() if not run.zero_shot]
    assert len(normal) == 2 * by_bits + len(METHODS) - by_bits


def test_each_run_comes_after_those_it_starts_from(tiny_study):
    tiny_study.seeds = (0, 3)
    seen = set()
    for run in plan_runs(tiny_study, Path("w"), FOLDER):
        assert set(run.needs) <= seen
        seen.add(run.name)
        sources = run.config.train.pretrained.split(",") if run.needs else []
        assert [str(Path("w/runs") / need) for need in run.needs] == [
            str(Path(source).parents[1]) for source in sources
        ]
        # A run starts from runs of its own seed, and zero-shot runs from zero-shot runs.
        assert all(need.startswith("seed3/") == (run.seed == 3) for need in run.needs)
        assert all(("zero-shot/" in need) == run.zero_shot for need in run.needs)


def test_a_run_starts_from_the_last_model_of_its_source(tiny_study):
    runs = planned(tiny_study)
    for run in runs.values():
        for need, source in zip(run.needs, run.config.train.pretrained.split(","), strict=False):
            assert Path(source).stem == trained(runs[need])[-1]


def test_the_four_variants_differ_only_in_their_losses(tiny_study):
    runs = planned(tiny_study)
    base = tiny_study.base.stages
    wanted = {
        "cel": ({}, {}),
        "cel_cl": (
            {"common_center": base.center.losses.center},
            {"common_center": base.full.losses.center},
        ),
        "cel_scl": ({"center": base.center.losses.center}, {"center": base.full.losses.center}),
        "full": (
            {"center": base.center.losses.center},
            {
                "center": base.full.losses.center,
                "quantization": base.full.losses.quantization,
            },
        ),
    }
    plain = None
    for name, (center, full) in wanted.items():
        run = runs[f"{name}-16"]
        assert losses(run, "center") == {"cross_entropy": 1.0} | center
        assert losses(run, "full") == {"cross_entropy": 1.0} | full
        assert trained(run) == ["center", "full"]
        rest = {
            field: value
            for field, value in flat(run.config).items()
            if ".losses" not in field and field != "name"
        }
        plain = plain or rest
        assert rest == plain


def test_competitors_train_one_branch_for_the_same_epochs(tiny_study):
    runs = planned(tiny_study)
    for name, loss in (
        ("dlbhc", "cross_entropy"),
        ("dsh_supervised", "supervised_hashing"),
        ("dsh_supervised_balanced", "supervised_hashing"),
        ("dsh_sketch", "semantic"),
    ):
        run = runs[f"{name}-16"]
        assert run.config.model.branches == ("cnn",)
        assert run.needs == ("cnn",)
        for stage in ("joint", "center", "full"):
            assert losses(run, stage) == {loss: 1.0}
            assert run.config.stages[stage].epochs == tiny_study.base.stages[stage].epochs
        balanced = name == "dsh_supervised_balanced"
        for row in stage_rows(run.config):
            assert bool(row.classes) == balanced


def test_which_heads_learn_at_the_study_s_rate(tiny_study):
    """2048 features need no such rate, and codes of word vectors collapse at it."""
    tiny_study.base.train.head_rate = 7.0
    rates = {run.method: run.config.train.head_rate for run in planned(tiny_study).values()}
    assert {name for name, rate in rates.items() if rate == 1} == {
        "dsh_sketch",
        "recognition_joint",
        "recognition_cel",
        "recognition_scl",
    }
    assert {*rates.values()} == {1, 7}
    assert {"full", "cel", "dlbhc", "dsh_supervised", "deep"} <= rates.keys()


def test_a_code_length_can_have_its_own_rate(tiny_study):
    tiny_study.bits, tiny_study.zero_shot_bits = (16, 64), 32
    tiny_study.base.train.head_rate = 7.0
    tiny_study.head_rates = ((64, 3.0), (32, 5.0), (128, 2.0))
    rates = {
        (run.method, run.bits): run.config.train.head_rate for run in planned(tiny_study).values()
    }
    assert [rates["full", bits] for bits in (16, 32, 64)] == [7, 5, 3]
    assert rates["deep", None] == 7
    assert {rates["dsh_sketch", bits] for bits in (16, 32, 64)} == {1}


def test_only_zero_shot_runs_keep_classes_out(tiny_study):
    for run in planned(tiny_study).values():
        assert tuple(run.config.data.unseen) == (("clock", "sun") if run.zero_shot else ())
    tiny_study.unseen, tiny_study.unseen_count = (), 2
    counts = {run.zero_shot: run.config.data.unseen_count for run in planned(tiny_study).values()}
    assert counts == {True: 2, False: 0}


def test_all_runs_have_valid_configs(tiny_study):
    for run in planned(tiny_study).values():
        validate(run.config)
        for stage in trained(run):
            assert set(losses(run, stage)) <= set(LOSSES)


def test_folder_names():
    assert Key("full", 64, 0).name == "full-64"
    assert Key("cnn", None, 2).name == "seed2/cnn"
    assert Key("full", 32, 1, zero_shot=True).name == "seed1/zero-shot/full-32"


def test_an_own_method_is_a_row_of_table_1(tiny_study):
    own = {"losses": {"cross_entropy": 1.0, "quantization": 0.25}}
    tiny_study.methods.mine = {
        "label": "Mine",
        "begins": ("joint",),
        "trains": ("center", "full"),
        "changes": {"stages": {"full": own}},
    }
    run = planned(tiny_study)["mine-16"]
    assert trained(run) == ["center", "full"]
    assert losses(run, "full") == own["losses"]
    assert losses(run, "center") == dict(tiny_study.base.stages.center.losses)
    assert run.needs == ("joint-16",)
    assert not run_problems(tiny_study, [run], Path("w"))


def test_rows_selects_methods_and_what_they_need(tiny_study):
    tiny_study.rows = ("dlbhc",)
    assert list(planned(tiny_study)) == ["cnn", "dlbhc-16", "zero-shot/cnn", "zero-shot/dlbhc-16"]


def test_runs_with_other_drawings_are_reported(tiny_study):
    tiny_study.methods.other = {
        "label": "Other",
        "changes": {"data": {"points": 16}, "drawing": {"stroke_width": 3.0}},
    }
    problems = run_problems(tiny_study, list(planned(tiny_study).values()), Path("w"))
    found = [problem for problem in problems if problem.startswith("other-16: ")]
    assert len(found) == 2
    assert re.search("data.points=16, but the base has 32", "".join(found))


def test_a_workdir_of_another_study_is_reported(tiny_study, tmp_path):
    tiny_study.rows, tiny_study.tables = ("cnn",), ("6",)
    run = planned(tiny_study, tmp_path)["cnn"]
    before = copy.deepcopy(run.config)
    before.drawing.size = 47
    folder = tmp_path / "runs" / "cnn"
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(orjson.dumps(flat(before)))
    (folder / "checkpoints" / "3").mkdir(parents=True)  # there is something to lose
    problems = "\n".join(run_problems(tiny_study, [run], tmp_path))
    assert "drawing.size: before 47, now 48" in problems


@pytest.mark.parametrize("name", ["paper", "table1", "table2", "table4", "table5", "table6",
                                  "zero_shot", "quickdraw55", "quickdraw55:gpu"])  # fmt: skip
def test_the_study_configs_are_valid(name):
    file, _, argument = name.partition(":")
    path = Path(__file__).parents[3] / "configs" / "study" / f"{file}.py"
    study = load(path, *([argument] if argument else []))
    validate_study(study)
    runs = plan_runs(study, Path("w"), FOLDER)
    assert not run_problems(study, runs, Path("w"))
    assert bool(runs) == (name != "table5")


def load(path: Path, *arguments: str):
    namespace: dict = {}
    exec(compile(path.read_text(), str(path), "exec"), namespace)
    return namespace["get_config"](*arguments)


def test_free_sections_are_objectives_or_splits():
    assert all(name == "data.splits" or name.endswith(".losses") for name in FREE)
    assert isinstance(default().stages.full.losses, ConfigDict)
