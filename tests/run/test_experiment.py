"""Whole runs: what they leave, and that stopping and going on changes none of it."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import orjson
import pytest
from tiny_run import same_figures, same_weights, tiny_config

from sketchjax.data.folder.manifest import Manifest
from sketchjax.errors import CheckpointError, ConfigError, DataError, DiskError, Stopped
from sketchjax.run import experiment
from sketchjax.run.writers import RESULT_KEYS
from sketchjax.train.workdir import alone

STAGES = ("cnn", "rnn", "joint", "center", "full")


@pytest.fixture
def config(whole):
    """The tiny config on the data of the whole run."""
    config = tiny_config()
    config.data.dir = str(whole / "data")
    return config


def lines_of(workdir: Path) -> list[dict]:
    path = workdir / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class StopAt:
    """Asks for a stop as soon as a stage has written a line that `found` accepts."""

    def __init__(self, workdir: Path, stage: str, found):
        self.workdir, self.stage, self.found = workdir, stage, found

    def __call__(self) -> bool:
        lines = [line for line in lines_of(self.workdir) if line["stage"] == self.stage]
        return any(map(self.found, lines))


# --- what a run leaves -----------------------------------------------------------------------


def test_results_hold_the_contract(whole):
    results = orjson.loads((whole / "results.json").read_bytes())
    assert list(results)[: len(RESULT_KEYS)] == list(RESULT_KEYS)
    assert (results["bits"], results["classes"]) == (16, 4)
    assert results["map_worst"] <= results["map"] <= results["map_best"]
    assert set(results["sketches_per_second"]) == set(STAGES)
    assert min(results["sketches_per_second"].values()) > 0
    assert results["config"]["name"] == "tiny"
    assert results["device"] == "cpu x 4"
    counts = Manifest.load(whole / "data").counts
    names = {"train": "train", "gallery": "gallery", "queries": "query"}
    assert {name: results[name] for name in names} == {
        name: counts[split] for name, split in names.items()
    }
    training = lines_of(whole)[-3]["seconds"]
    # All of the call counts, compilation and report's figures too, not the training alone.
    assert results["seconds_total"] > training + 1


def test_results_are_those_of_the_codes_that_it_leaves(whole):
    """Average precision by a stable sort, one query after the other, from the files in codes/."""
    codes, labels = {}, {}
    for split in ("gallery", "query"):
        codes[split] = np.unpackbits(np.load(whole / "codes" / f"{split}.npy"), axis=1)
        labels[split] = np.load(whole / "codes" / f"{split}_labels.npy")
    results = orjson.loads((whole / "results.json").read_bytes())
    assert codes["gallery"].shape == (results["gallery"], results["bits"])
    precisions = []
    for code, label in zip(codes["query"], labels["query"], strict=True):
        order = np.argsort((codes["gallery"] != code).sum(1), kind="stable")
        relevant = labels["gallery"][order] == label
        ranks = np.flatnonzero(relevant) + 1
        precisions.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    assert results["map_stable"] == pytest.approx(np.mean(precisions), abs=1e-12)
    assert results["after_stages"]["full"]["map"] == results["map"]


def test_metrics_tell_every_dispatch_and_every_evaluation_once(whole):
    lines = lines_of(whole)
    trained = [(line["stage"], line["stage_step"]) for line in lines if "loss" in line]
    assert trained == [(stage, step) for stage in STAGES for step in (4, 8, 12)]
    assert [line["step"] for line in lines if "loss" in line] == list(range(4, 64, 4))
    assert [line["stage"] for line in lines if "validation_accuracy" in line] == list(STAGES)
    assert [line["stage"] for line in lines if "map" in line] == ["joint", "center", "full"]
    rates = [line["learning_rate"] for line in lines if "loss" in line]
    assert min(rates) > 0


def test_the_folder_holds_what_the_design_says(whole):
    assert {path.name for path in (whole / "weights").iterdir()} == {
        f"{stage}.safetensors" for stage in STAGES
    }
    assert sorted(path.name for path in (whole / "checkpoints").iterdir()) == ["56", "60"]
    assert "<svg" in (whole / "report" / "index.html").read_text()
    rows = (whole / "report" / "precision_recall.csv").read_text().splitlines()
    assert len(rows) == 1 + 16 + 1, "a point for each Hamming radius"
    assert rows[-1].startswith("1.0,")


def test_what_runs_is_announced(whole):
    told = whole.with_name("whole.log").read_text()
    results = orjson.loads((whole / "results.json").read_bytes())
    assert f"data: {results['train']} training, " in told
    assert f"{results['cut_to_points']} of the training sketches" in told
    assert "16-bit codes for 4 classes" in told
    assert "on cpu x 4" in told
    assert "epochs by stage: cnn 1, rnn 1, joint 1, center 1, full 1" in told
    for noise in ("Warning", "WARNING", "orbax", "absl", "I0000", "W0000", "E0000"):
        assert noise not in told


# --- stopping and going on -------------------------------------------------------------------


def test_stopped_in_every_stage_it_ends_in_the_same_bits(whole, config, tmp_path):
    """In the midst of stages, at the end of one, in the pass for the centres; and once the newest
    checkpoint is damaged on top of it.
    """

    def after(step: int):
        return lambda line: line.get("stage_step") == step

    stops = [
        # A line is written while the next dispatch, of 4 steps, is on its way.
        ("cnn", after(4), "in stage cnn after 8 of 12"),
        ("rnn", after(8), "in stage rnn after 12 of 12"),
        ("joint", after(4), "in stage joint after 8 of 12"),
        ("joint", lambda line: "map" in line, "run the same command"),
        ("center", after(4), "in stage center after 8 of 12"),
        ("full", after(4), "in stage full after 8 of 12"),
    ]
    for stage, found, message in stops:
        with pytest.raises(Stopped, match=message) as caught:
            experiment.run(config, tmp_path, StopAt(tmp_path, stage, found))
        assert caught.value.exit_code == 75
        assert not (tmp_path / "results.json").exists()
    newest = tmp_path / "checkpoints" / "56" / "progress.json"
    newest.write_bytes(newest.read_bytes().replace(b"full", b"rull"))
    results = experiment.run(config, tmp_path)
    same_figures(results, orjson.loads((whole / "results.json").read_bytes()))
    for stage in STAGES:
        same_weights(tmp_path, whole, stage)
    same_lines(lines_of(tmp_path), lines_of(whole))
    assert experiment.run(config, tmp_path) == orjson.loads(
        (tmp_path / "results.json").read_bytes()
    )


def test_after_a_spike_of_the_loss_it_goes_back_and_on_with_another_order(
    whole, config, tmp_path, monkeypatch, capsys
):
    """Any rise is a spike here; stopped and going on, it takes the same detours."""
    monkeypatch.setattr("sketchjax.train.spike.LEAST", 1)
    config.train.rollback_factor = 1.00001
    for stage in STAGES[3:]:
        config.stages[stage].epochs = 0
    experiment.run(config, tmp_path / "calm")
    told = capsys.readouterr().out
    spikes = told.count("is a spike; going back to the last checkpoint")
    assert spikes > 0
    assert told.count("a median of") == spikes
    assert (tmp_path / "calm" / "weights" / "joint.safetensors").read_bytes() != (
        whole / "weights" / "joint.safetensors"
    ).read_bytes()
    for stage in STAGES[:3]:
        with pytest.raises(Stopped):
            experiment.run(
                config,
                tmp_path / "stopped",
                StopAt(tmp_path / "stopped", stage, lambda line: "loss" in line),
            )
    experiment.run(config, tmp_path / "stopped")
    for stage in STAGES[:3]:
        same_weights(tmp_path / "stopped", tmp_path / "calm", stage)


def same_lines(first: list[dict], second: list[dict]) -> None:
    """The same lines in the same order, but for the clock."""

    def timeless(lines):
        clock = ("seconds", "sketches_per_second")
        return [{name: line[name] for name in line if name not in clock} for line in lines]

    assert timeless(first) == timeless(second)


@pytest.fixture(scope="module")
def stopped_once(whole, tmp_path_factory) -> Path:
    """A workdir that was stopped after the first dispatch."""
    workdir = tmp_path_factory.mktemp("stopped") / "run"
    config = tiny_config()
    config.data.dir = str(whole / "data")
    with pytest.raises(Stopped):
        experiment.run(config, workdir, StopAt(workdir, "cnn", lambda line: True))
    return workdir


@pytest.fixture
def stopped(stopped_once, tmp_path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(stopped_once, tmp_path / "stopped"))


def test_another_config_is_refused_and_names_the_fields(stopped, config):
    config.model.bits = 24
    config.stages.rnn.learning_rate = 0.5
    with pytest.raises(ConfigError) as caught:
        experiment.run(config, stopped)
    assert caught.value.exit_code == 64
    text = str(caught.value)
    assert "model.bits: before 16, now 24" in text
    assert "stages.rnn.learning_rate: before 0.001, now 0.5" in text
    assert len(caught.value.problems) == 3


def test_a_checkpoint_of_another_model_is_refused(stopped, config):
    """As after an update of the project that changes the model: config.json is the same."""
    config.model.rnn.hidden = 5
    (stopped / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"(?s)does not fit.*rnn") as caught:
        experiment.run(config, stopped)
    assert caught.value.exit_code == 66


def test_other_data_are_refused(stopped, config, whole, tmp_path):
    other = tmp_path / "data"
    shutil.copytree(whole / "data", other)
    manifest = other / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    (stopped / "config.json").unlink()
    config.data.dir = str(other)
    with pytest.raises(DataError, match="not what this run began with"):
        experiment.run(config, stopped)


def test_a_second_process_in_a_workdir_is_refused(stopped, config):
    with alone(stopped), pytest.raises(ConfigError, match="another process is running"):
        experiment.run(config, stopped)


def test_fields_that_change_no_figure_may_change(stopped, config):
    config.train.checkpoint_seconds = 300.0
    config.train.keep_checkpoints = 7
    with pytest.raises(Stopped):
        experiment.run(config, stopped, lambda: True)


# --- data and branches that cannot be --------------------------------------------------------


def test_data_that_lack_a_split_or_sketches_are_refused_before_any_training(
    config, whole, tmp_path
):
    folder = tmp_path / "data"
    shutil.copytree(whole / "data", folder)
    content = orjson.loads((folder / "manifest.json").read_bytes())
    content["counts"]["query"] = 0
    content["counts_by_category"]["cat"]["train"] = 2
    for counts in content["counts_by_category"].values():
        counts["query"] = 0
    (folder / "manifest.json").write_bytes(orjson.dumps(content))
    config.data.dir = str(folder)
    with pytest.raises(DataError) as caught:
        experiment.run(config, tmp_path / "run")
    for part in ("no query sketches", "less than 3 training sketches of cat", "nothing to score"):
        assert part in str(caught.value)


def test_branches_of_another_run_are_taken_over(whole, config):
    """With other bits: what lies before the hash layer is the other run's, the rest is fresh."""
    from sketchjax.models import network as networks
    from sketchjax.models.weights import load_weights
    from sketchjax.train.pretrained import first_variables
    from sketchjax.train.stages import plan

    config.model.bits = 32
    network = networks.build(config, classes=4, offset_scale=20.0, axis_name="devices")
    fresh = first_variables(network, config)
    config.train.pretrained = str(whole)
    taken = first_variables(network, config)
    rnn = load_weights(whole / "weights" / "rnn.safetensors")
    for collection, parts in taken.items():
        for part, arrays in parts.items():
            wanted = fresh if part in ("hash", "classifier") else rnn
            assert_equal_trees(arrays, wanted[collection][part])
    assert [stage.name for stage in plan(config, 6)] == ["joint", "center", "full"]
    config.model.rnn.hidden = 5
    other = networks.build(config, classes=4, offset_scale=20.0, axis_name="devices")
    with pytest.raises(ConfigError, match="another model's rnn"):
        first_variables(other, config)
    config.train.pretrained = str(whole / "nowhere")
    with pytest.raises(ConfigError, match="trained its own stages"):
        first_variables(network, config)


def assert_equal_trees(first, second) -> None:
    import jax

    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_a_workdir_that_cannot_be_is_a_config_error(config, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used"):
        experiment.run(config, tmp_path / "file")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.json").write_text("[1")
    with pytest.raises(ConfigError, match="cannot be read as a config"):
        experiment.run(config, tmp_path / "half")
    if os.getuid() == 0:
        return  # root may write anywhere
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(DiskError, match="cannot be used"):
        experiment.run(config, tmp_path / "locked")
