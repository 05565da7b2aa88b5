"""The study of variants from its config to its table; its runs are figures without training."""

import json
import runpy
from pathlib import Path

import numpy as np
import orjson
import pytest
from tiny_run import tiny_config

from sketchjax import cli
from sketchjax.config import encoder
from sketchjax.errors import ConfigError, DataError, NotFiniteError, Stopped
from sketchjax.paper.marked import marks
from sketchjax.paper.studies import is_study, study_literal, validate_study, wrong_study_text
from sketchjax.paper.variants import run as study_run
from sketchjax.paper.variants.config import (
    config_of,
    default_variants,
    set_variants,
    validate_variants,
    variant,
)
from sketchjax.paper.variants.results import Results, Row, read, value_of
from sketchjax.paper.variants.run import run_variants
from sketchjax.paper.variants.table import grid

STUDIES = [
    path
    for path in sorted((Path(__file__).parents[3] / "configs" / "study").glob("*.py"))
    if "set_variants" in path.read_text()
]
LOSSES = {"center": 0.5, "cross_entropy": 1.0}


@pytest.fixture
def study():
    """Three variants of the tiny run, two seeds."""
    study = default_variants()
    study.name, study.base, study.seeds = "tiny variants", tiny_config(), (3, 5)
    study.figures = ("map", "cosine:recall_at_1")
    set_variants(
        study,
        variant("wide", "wide codes", {"model": {"bits": 32}}),
        variant("centred", "centres", {"stages": {"joint": {"losses": LOSSES}}}),
        variant("few", "few drawings", {"data": {"synthetic_per_category": 20}}),
    )
    return study


@pytest.fixture
def runs(monkeypatch) -> list:
    """(folder, config) of each run that was asked for, which has figures by its seed and bits."""
    asked = []

    def trained(config, workdir: Path, should_stop, reference):
        asked.append((workdir, config))
        if config.data.synthetic_per_category == 20 and config.seed == 5:
            raise NotFiniteError("stage cnn, step 1: the loss is not finite")
        scores = [{"distance": "cosine", "recall_at_1": 0.25}, {"distance": "snr"}]
        results = {"map": config.model.bits / 100 + config.seed / 50, "feature_rankings": scores}
        results["device"] = "cpu x 1"
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / "results.json").write_bytes(orjson.dumps(results))

    monkeypatch.setattr(study_run.experiment, "run", trained)
    monkeypatch.setattr(study_run, "prepare_data", lambda config, workdir: workdir / "data")
    monkeypatch.setattr(
        study_run,
        "read_results",
        lambda folder: (
            orjson.loads((folder / "results.json").read_bytes())
            if (folder / "results.json").exists()
            else None
        ),
    )
    return asked


def names(runs) -> list[str]:
    return [folder.name for folder, _ in runs]


def test_each_seed_of_all_variants_then_the_next(study, runs, tmp_path, capsys):
    with pytest.raises(Stopped, match="rerun"):
        run_variants(study, tmp_path, lambda: True)
    assert names(runs) == ["wide-seed3"]
    assert read(tmp_path).rows[1].figures["map"] == (None, None)
    run_variants(study, tmp_path)
    assert names(runs) == [
        *("wide-seed3", "centred-seed3", "few-seed3"),
        *("wide-seed5", "centred-seed5", "few-seed5"),
    ]
    assert "few-seed5 failed: stage cnn" in capsys.readouterr().out
    # What failed is tried again, and nothing else.
    run_variants(study, tmp_path)
    assert names(runs)[6:] == ["few-seed5"]
    shared = str(tmp_path / "data")
    assert [config.data.dir == shared for _, config in runs[:3]] == [True, True, False]
    assert runs[1][1].stages.joint.losses.to_dict() == LOSSES
    assert [config.seed for _, config in runs[:6]] == [3, 3, 3, 5, 5, 5]


@pytest.mark.parametrize("error", [NotFiniteError("at step 1"), DataError("no drawings there")])
def test_a_failed_teacher_fails_its_students_only(study, runs, tmp_path, monkeypatch, error):
    set_variants(
        study,
        variant("own", "own"),
        variant("bad", "bad"),
        variant("student", "student", teacher="bad"),
        variant("last", "last"),
    )
    trained = study_run.experiment.run

    def failing(config, workdir: Path, *others):
        if workdir.name == "bad-seed3":
            raise error
        trained(config, workdir, *others)

    monkeypatch.setattr(study_run.experiment, "run", failing)
    monkeypatch.setattr(study_run, "validate_variants", lambda study: None)
    done = run_variants(study, tmp_path)
    assert done.failures == {
        "bad-seed3": str(error),
        "student-seed3": "starts from bad-seed3, which failed",
    }
    assert done.exit_code == error.exit_code
    assert names(runs) == [
        *("own-seed3", "last-seed3"),
        *("own-seed5", "bad-seed5", "student-seed5", "last-seed5"),
    ]
    monkeypatch.setattr(study_run.experiment, "run", trained)
    done = run_variants(study, tmp_path)
    assert (done.failures, done.exit_code) == ({}, 0)
    assert names(runs)[6:] == ["bad-seed3", "student-seed3"]
    assert None not in [value for row in read(tmp_path).rows for value in row.figures["map"]]


def test_the_table_has_means_and_differences_seed_by_seed(study, runs, tmp_path, monkeypatch):
    run_variants(study, tmp_path)
    document = tmp_path / "page.md"
    begin, end = marks("tiny variants")
    document.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    monkeypatch.setattr(
        "sys.argv", ["sketchjax", "study", str(tmp_path), "--markdown", str(document)]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    text = document.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    lines = {line.split(" | ")[0].strip("| "): line for line in text.splitlines()}
    wide = np.array([0.32 + 0.06, 0.32 + 0.1])
    assert f"{wide.mean():.3f} ± {wide.std(ddof=1):.3f}" in lines["wide codes"]
    assert "-0.160 ± 0.000" in lines["centres"]
    assert "| 0.220 |" in lines["few drawings"]
    assert "of 1 to 2 seeds" in text
    document.write_text("no place")
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 64


def test_devices_and_versions_are_those_of_the_runs(study, runs, tmp_path):
    run_variants(study, tmp_path)
    for name, device, jax in (("wide-seed3", "gpu x 4", "1"), ("few-seed3", "gpu x 8", "2")):
        path = tmp_path / "runs" / name / "results.json"
        fields = {"map": 0.5, "device": device, "versions": {"jax": jax, "numpy": "3"}}
        path.write_bytes(orjson.dumps(fields))
    run_variants(study, tmp_path)
    found = read(tmp_path)
    assert found.device == "gpu x 4, cpu x 1, gpu x 8"
    assert found.versions == {"jax": "1, 2", "numpy": "3"}


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_row_of_a_study_is_valid(path, monkeypatch):
    monkeypatch.setenv("SKETCHJAX_DATA", "anywhere")
    study = runpy.run_path(str(path))["get_config"]()
    assert len(study.rows) > 1
    study.lock()  # as the command line does
    validate_variants(study)


def test_a_figure_that_no_run_has_is_reported_early(study, runs, tmp_path, capsys):
    study.figures = ("mapp", "map")
    with pytest.raises(Stopped):
        run_variants(study, tmp_path, lambda: True)
    printed = capsys.readouterr().out
    assert "figures: no run has mapp so far" in printed
    assert "no run has map so far" not in printed


def test_headings_name_the_figure_and_its_distance():
    figures = {"map": (0.5,), "euclidean:recall_at_10": (0.25,), "hamming:dead_bits_gallery": (0,)}
    results = Results("any", [0], [Row("one", figures)], {}, "cpu x 1")
    assert grid(results)[0] == ["", "MAP", "recall@10, euclidean", "dead bits gallery, hamming"]


def test_a_variant_learns_from_the_run_of_its_seed(study, tmp_path):
    config = config_of(study, "wide", 5, tmp_path)
    assert (config.model.bits, config.seed, config.train.teacher) == (32, 5, "")
    set_variants(study, variant("one", "one"), variant("two", "two", teacher="one"))
    taught = config_of(study, "two", 5, tmp_path)
    assert taught.train.teacher == str(tmp_path / "runs" / "one-seed5")


def test_an_encoder_of_another_kind_replaces_the_whole_section(study, tmp_path):
    net = encoder("resnet50", width=0.1)
    set_variants(study, variant("net", "net", {"model": {"encoders": {"cnn": net}}}))
    config = config_of(study, "net", 0, tmp_path)
    assert config.model.encoders.cnn.to_dict() == net.to_dict()
    assert config.model.encoders.rnn == study.base.model.encoders.rnn


def test_figures_are_found_by_their_distance(whole):
    results = orjson.loads((whole / "results.json").read_bytes())
    assert value_of(results, "map") == results["map"]
    assert value_of(results, "hamming:map") == results["map"]
    assert value_of(results, "cosine:map") is None
    assert value_of(results, "config") is None
    photos = [
        {"distance": "hamming", "category": {"map": 0.5}, "instance": None},
        {"distance": "cosine", "category": {"map": 0.6}, "instance": {"recall_at_1": 0.7}},
    ]
    results = {"photo_rankings": photos}
    assert value_of(results, "hamming:map") == 0.5
    assert value_of(results, "cosine:recall_at_1") == 0.7
    assert value_of(results, "hamming:recall_at_1") is None


def test_everything_wrong_is_said_before_the_first_run(study, runs, tmp_path):
    assert is_study(study)
    validate_study(study)
    assert wrong_study_text("figures", "map,cosine:map") is None
    assert study_literal("figures", "map, cosine:map") == "('map', 'cosine:map')"
    set_variants(
        study,
        variant("Big", "big"),
        variant("long" * 17, "long"),
        variant("odd", "odd", {"model": {"bitz": 32}}, teacher="later"),
        variant("later", "later"),
    )
    study.rows, study.figures = ("odd", "gone"), ("map at 100",)
    with pytest.raises(ConfigError) as raised:
        run_variants(study, tmp_path)
    found = "\n".join(raised.value.problems)
    for part in (
        "figures=",
        f"variants.{'long' * 17}: name it",
        "variants.Big: name it as a folder, with at most 64 small letters",
        "variants.odd.changes.model.bitz names no field",
        "variants.odd.teacher='later'; choose from the rows above it: there is none",
        "rows names 'gone'; choose from Big, later, long",
    ):
        assert part in found, part
    set_variants(study, variant("odd", "odd", {"model": {"bits": 12}}))
    study.figures = ("map",)
    with pytest.raises(ConfigError, match=r"variants\.odd: model\.bits=12"):
        run_variants(study, tmp_path)
    del study.rows
    with pytest.raises(ConfigError, match="rows is missing"):
        validate_study(study)
    assert runs == []
    assert not (tmp_path / "study.json").exists()


def test_a_part_may_leave_out_a_teacher_and_its_students(study):
    set_variants(
        study, variant("one", "1"), variant("two", "2", teacher="one"), variant("three", "3")
    )
    study.rows = ("three",)
    validate_variants(study)
    study.rows = ("two", "three")
    with pytest.raises(ConfigError, match="there is none"):
        validate_variants(study)


def test_rows_share_the_devices_of_their_process(study):
    rows = [variant(f"on{n}", f"{n}", {"train": {"cpu_devices": n}}) for n in (2, 1)]
    set_variants(study, *rows)
    with pytest.raises(ConfigError, match=r"train\.cpu_devices is 1 of on1, 2 of on2; give all"):
        validate_variants(study)
    study.rows = ("on2",)
    validate_variants(study)


def test_what_cannot_be_read_is_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "study.json").write_text(json.dumps({"variants.one.label": "one"}))
    (tmp_path / "variants.json").write_text(json.dumps({"rows": 1}))
    monkeypatch.setattr("sys.argv", ["sketchjax", "study", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 65
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "variants.json cannot be read" in line
