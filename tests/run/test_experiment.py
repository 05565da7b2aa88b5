"""Whole runs: what they leave, and that stopping and resuming changes none of it."""

import os
import re
import shutil
from pathlib import Path

import jax
import numpy as np
import orjson
import pytest
from plain_runs import keep_as_drawn
from tiny_run import lines_of, same_figures, same_weights, stable_map, tiny_config

import sketchjax
from sketchjax.config import architecture, encoder, set_encoders, set_stages, stage
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.shards import Shards
from sketchjax.data.sources import doodles
from sketchjax.errors import CheckpointError, ConfigError, DataError, DiskError, InUseError, Stopped
from sketchjax.models import network as networks
from sketchjax.models.weights import load_weights
from sketchjax.retrieval.codes import Codes
from sketchjax.run import experiment
from sketchjax.run.writers import RESULT_KEYS
from sketchjax.train import stages
from sketchjax.train.pretrained import first_variables
from sketchjax.train.spike import Spike
from sketchjax.train.workdir import locked

pytestmark = pytest.mark.usefixtures("short_runs")

STAGES = ("cnn", "rnn", "joint", "center", "full")
NAMES = ["cat", "clock", "face", "sun"]


@pytest.fixture
def config(whole):
    """The tiny config on the data of the whole run."""
    config = tiny_config()
    config.data.dir = str(whole / "data")
    return config


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


def test_results_are_those_of_the_codes_that_a_run_leaves(whole):
    results = orjson.loads((whole / "results.json").read_bytes())
    assert results["map_stable"] == pytest.approx(stable_map(whole), abs=1e-12)
    assert results["after_stages"]["full"]["map"] == results["map"]
    (ranking,) = results["rankings"]
    assert (ranking["queries"], ranking["gallery"]) == ("query", "gallery")
    assert ranking["map"] == results["map"]


def test_codes_say_what_they_are_of(whole):
    """Labels, keys and records of the split, the categories, and the model that made them."""
    model = sketchjax.load(whole)
    for split in ("gallery", "query"):
        codes = Codes.load(whole / "codes" / split)
        with Shards(whole / "data", split) as shards:
            records = shards.read(np.arange(len(shards)))
        np.testing.assert_array_equal(codes.labels, records.labels)
        np.testing.assert_array_equal(codes.key_ids, records.key_ids)
        np.testing.assert_array_equal(codes.places, np.arange(len(records.labels)))
        assert (codes.split, codes.bits, list(codes.categories)) == (split, 16, NAMES)
        assert codes.model == model.fingerprint


def test_the_model_encodes_the_drawings_as_the_run_did(whole, tmp_path):
    """From only its file; bit for bit, in batches of another size, on one device."""
    gallery = Codes.load(whole / "codes" / "gallery")
    with Shards(whole / "data", "gallery") as shards:
        records = shards.read(np.arange(len(shards)))
    drawings = np.split(records.points, records.offsets[1:-1])
    shutil.copy(whole / "model.safetensors", tmp_path / "copied.safetensors")
    model = sketchjax.load(tmp_path / "copied.safetensors")
    codes = model.encode(drawings)
    np.testing.assert_array_equal(codes.packed, gallery.packed)
    distances, places = gallery.nearest(codes, 1)
    assert not distances.any()
    np.testing.assert_array_equal(gallery.packed[places[:, 0]], codes.packed)
    accuracy = (model.predict(drawings).argmax(1) == records.labels).mean()
    assert accuracy == orjson.loads((whole / "results.json").read_bytes())["accuracy"]


def test_the_models_of_stages_say_what_was_trained(whole):
    parts = {}
    for name in STAGES:
        _, card = load_weights(whole / "weights" / f"{name}.safetensors")
        assert (card.stage, card.architecture.categories) == (name, NAMES)
        assert card.output == (name if name in ("cnn", "rnn") else "head")
        assert card.versions["sketchjax"] == sketchjax.__version__
        parts[name] = set(card.trained)
    assert parts["cnn"] == {"cnn", "cnn_classifier"}
    assert parts["rnn"] == parts["cnn"] | {"rnn", "rnn_classifier"}
    assert parts["joint"] == parts["full"] == parts["rnn"] | {"hash", "classifier"}
    last = whole / "weights" / "full.safetensors"
    assert (whole / "model.safetensors").read_bytes() == last.read_bytes()
    # Before the head is trained there is nothing to encode with.
    early = sketchjax.load(whole / "weights" / "rnn.safetensors")
    assert early.bits is None
    assert sketchjax.load(last).bits == 16


def test_metrics_have_every_dispatch_and_every_evaluation_once(whole):
    lines = lines_of(whole)
    trained = [(line["stage"], line["stage_step"]) for line in lines if "loss" in line]
    assert trained == [(stage, step) for stage in STAGES for step in (4, 8, 12)]
    assert [line["step"] for line in lines if "loss" in line] == list(range(4, 64, 4))
    assert [line["stage"] for line in lines if "validation_accuracy" in line] == list(STAGES)
    assert [line["stage"] for line in lines if "map" in line] == ["joint", "center", "full"]
    rates = [line["learning_rate"] for line in lines if "loss" in line]
    assert min(rates) > 0


def test_a_workdir_holds_what_the_design_says(whole):
    assert {path.name for path in (whole / "weights").iterdir()} == {
        f"{stage}.safetensors" for stage in STAGES
    }
    assert sorted(path.name for path in (whole / "checkpoints").iterdir()) == ["56", "60"]
    codes = sorted(path.name for path in (whole / "codes").iterdir())
    assert codes == ["gallery.safetensors", "query.safetensors"]
    assert "<svg" in (whole / "report" / "index.html").read_text()
    rows = (whole / "report" / "precision_recall.csv").read_text().splitlines()
    assert len(rows) == 1 + 16 + 1, "a point for each Hamming radius"
    assert rows[-1].startswith("1.0,")


def test_a_run_is_announced_and_prints_nothing_of_its_libraries(whole):
    printed = whole.with_name("whole.log").read_text()
    results = orjson.loads((whole / "results.json").read_bytes())
    assert f"data: {results['train']} training, " in printed
    assert f"{results['cut_to_points']} of the training sketches" in printed
    assert "16-bit codes for 4 classes" in printed
    assert "on cpu x 4" in printed
    assert "epochs by stage: cnn 1, rnn 1, joint 1, center 1, full 1" in printed
    for noise in ("Warning", "WARNING", "orbax", "absl", "I0000", "W0000", "E0000"):
        assert noise not in printed


# --- stopping and resuming -------------------------------------------------------------------


def test_a_run_stopped_four_times_ends_in_the_same_bits(whole, config, tmp_path):
    """In the middle of the first stage and of the last, which has all losses, at the end of one, in
    the pass for the centres; and in the end the newest checkpoint is damaged too.
    """

    def after(step: int):
        return lambda line: line.get("stage_step") == step

    stops = [
        # A line is written while the next dispatch, of 4 steps, is in flight.
        ("cnn", after(4), "in stage cnn after 8 of 12"),
        ("rnn", after(8), "in stage rnn after 12 of 12"),
        ("joint", lambda line: "map" in line, "rerun the same command to resume"),
        ("full", after(4), "in stage full after 8 of 12"),
    ]
    for name, found, message in stops:
        with pytest.raises(Stopped, match=message) as caught:
            experiment.run(config, tmp_path, StopAt(tmp_path, name, found))
        assert caught.value.exit_code == 75
        assert not (tmp_path / "results.json").exists()
    newest = tmp_path / "checkpoints" / "56" / "progress.json"
    newest.write_bytes(newest.read_bytes().replace(b"full", b"rull"))
    results = experiment.run(config, tmp_path)
    same_figures(results, orjson.loads((whole / "results.json").read_bytes()))
    for name in STAGES:
        same_weights(tmp_path, whole, name)
    assert (tmp_path / "model.safetensors").read_bytes() == (
        whole / "model.safetensors"
    ).read_bytes()
    same_lines(lines_of(tmp_path), lines_of(whole))
    assert experiment.run(config, tmp_path) == orjson.loads(
        (tmp_path / "results.json").read_bytes()
    )


def test_jax_in_64_bits_changes_nothing(whole, config, tmp_path):
    """As JAX_ENABLE_X64=1 or a notebook sets it."""
    for name in {*STAGES} - {"cnn", "joint"}:
        config.stages[name].epochs = 0
    jax.config.update("jax_enable_x64", True)
    try:
        experiment.run(config, tmp_path)
        assert jax.config.read("jax_enable_x64")
    finally:
        jax.config.update("jax_enable_x64", False)
    same_weights(tmp_path, whole, "cnn")
    assert sketchjax.load(tmp_path).encode([[[0, 255], [0, 9]]]).bits == 16


def test_after_a_spike_a_run_goes_back_and_takes_another_order(
    tiny_data, tmp_path, monkeypatch, capsys
):
    """Any rise is a spike here; stopped and resumed, it takes the same detours."""
    monkeypatch.setattr("sketchjax.train.spike.LEAST", 1)
    monkeypatch.setattr("sketchjax.train.spike.MAX_DETOURS", 1)
    config, names = tiny_config(), ("draw", "find")
    keep_as_drawn(config)
    config.train.checkpoint_seconds = 0.0
    config.data.dir = str(tiny_data)
    set_encoders(config, pen=encoder("plain"))
    set_stages(
        config,
        stage("draw", trains=("pen",), output="pen", epochs=2),
        stage("find", trains=("encoders", "head"), epochs=2),
    )
    config.plan = ("draw",)
    experiment.run(config, tmp_path / "straight")
    config.plan, config.train.rollback_factor = names, 1.00001
    capsys.readouterr()
    experiment.run(config, tmp_path / "calm")
    printed = " ".join(capsys.readouterr().out.split())
    for name in names:
        assert re.search(f"stage {name}: [^;]* a median of [^;]* is a spike; going back", printed)
    straight, calm = (tmp_path / name / "weights/draw.safetensors" for name in ("straight", "calm"))
    assert straight.read_bytes() != calm.read_bytes()
    spikes = []

    class Noted(Spike):
        def __init__(self, stage: str, loss: float, usual: float):
            super().__init__(stage, loss, usual)
            spikes.append(stage)

    monkeypatch.setattr("sketchjax.train.spike.Spike", Noted)
    for name in names:
        # Asked when it continues after the spike, and again after the next dispatch.
        asked = iter([False])
        with pytest.raises(Stopped, match=f"stopped in stage {name} after"):
            experiment.run(
                config,
                tmp_path / "stopped",
                lambda name=name, asked=asked: name in spikes and next(asked, True),
            )
    experiment.run(config, tmp_path / "stopped")
    for name in names:
        same_weights(tmp_path / "stopped", tmp_path / "calm", name)


def same_lines(first: list[dict], second: list[dict]) -> None:
    """Check that two runs have the same lines in the same order, but for the clock."""

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


def test_a_stage_augments_as_much_as_its_row_says(config, tmp_path, monkeypatch):
    config.stages.cnn.augmentation = 0.5

    def seen(training, *_, **__):
        raise Stopped(f"rotation {training.network.augmentation['rotation']}")

    monkeypatch.setattr("sketchjax.train.trainer.run_stage", seen)
    with pytest.raises(Stopped, match=f"rotation {config.augmentation.rotation / 2}"):
        experiment.run(config, tmp_path / "run")


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
    config.model.encoders.rnn.hidden = 5
    (stopped / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"(?s)does not fit.*rnn") as caught:
        experiment.run(config, stopped)
    assert caught.value.exit_code == 66


def test_a_checkpoint_of_another_plan_is_refused(stopped, config):
    """As where somebody has deleted config.json."""
    set_stages(config, stage("only", trains=("encoders", "head")))
    (stopped / "config.json").unlink()
    with pytest.raises(CheckpointError, match="is of stage cnn, and this config's stages are only"):
        experiment.run(config, stopped)


def test_other_data_are_refused(stopped, config, whole, tmp_path):
    other = tmp_path / "data"
    shutil.copytree(whole / "data", other)
    manifest = other / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    (stopped / "config.json").unlink()
    config.data.dir = str(other)
    with pytest.raises(DataError, match="is not the data this run began with"):
        experiment.run(config, stopped)


def test_data_that_were_moved_are_the_same(stopped, config, whole, tmp_path):
    """Their manifest says so; in another place with another manifest they are refused."""
    moved = tmp_path / "moved"
    shutil.copytree(whole / "data", moved)
    config.data.dir = str(moved)
    with pytest.raises(Stopped):
        experiment.run(config, stopped, lambda: True)
    assert orjson.loads((stopped / "config.json").read_bytes())["data.dir"] == str(moved)
    other = tmp_path / "other"
    shutil.copytree(moved, other)
    with (other / "manifest.json").open("ab") as manifest:
        manifest.write(b"\n")
    config.data.dir = str(other)
    with pytest.raises(ConfigError, match=f"data.dir: before '{moved}', now '{other}'"):
        experiment.run(config, stopped)


def test_a_second_process_in_a_workdir_is_refused(stopped, config):
    with locked(stopped), pytest.raises(InUseError, match="another process is running"):
        experiment.run(config, stopped)


def test_fields_that_change_no_figure_may_change(stopped, config):
    config.train.checkpoint_seconds = 300.0
    config.train.keep_checkpoints = 7
    with pytest.raises(Stopped):
        experiment.run(config, stopped, lambda: True)


# --- a first call that fails -----------------------------------------------------------------


WRONG = [
    ("data.source", "drawinsg", DataError, "drawinsg does not exist"),
    ("data.categories", ("cat", "clokc"), DataError, "clokc"),
    ("train.batch_size", 4096, DataError, "fewer than one block of 2 batches of 4096"),
    ("stages.joint.sampler.classes", 8, ConfigError, "only 4 classes have training sketches"),
    ("data.word_vectors", "none.txt", DataError, "none.txt"),
]


def test_a_failed_start_does_not_bind_a_workdir(tmp_path):
    """What was wrong can be corrected and run again; then what was converted binds it."""
    doodles.write(tmp_path / "drawings", per_category=40, seed=0, categories=NAMES)

    def config_with(field, value):
        config = tiny_config()
        config.data.source, config.data.categories = str(tmp_path / "drawings"), ()
        config.stages.joint.losses = {"cross_entropy": 1.0, "semantic": 0.1}
        config.update_from_flattened_dict({field: value})
        return config

    for field, value, error, message in WRONG:
        with pytest.raises(error, match=message):
            experiment.run(config_with(field, value), tmp_path / "run")
    with pytest.raises(Stopped):
        experiment.run(config_with("seed", 0), tmp_path / "run", lambda: True)
    with pytest.raises(ConfigError, match="was converted under another config") as caught:
        experiment.run(config_with("data.source", str(tmp_path)), tmp_path / "run")
    assert len(caught.value.problems) == 2


# --- data and encoders that do not fit --------------------------------------------------------


def test_data_without_enough_sketches_are_refused_first(config, whole, tmp_path):
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
    for part in ("no query sketches", "fewer than 3 training sketches of cat", "nothing to score"):
        assert part in str(caught.value)


def test_the_encoders_of_another_run_are_taken_over(whole, config):
    """With other bits: everything before the hash layer is the other run's, the rest is fresh."""
    config.model.bits = 32
    network = networks.build(architecture(config, NAMES, 20.0))
    fresh, none = first_variables(network, config)
    assert none == ()
    config.train.pretrained = str(whole)
    taken, parts = first_variables(network, config)
    assert {*parts} == {"cnn", "cnn_classifier", "rnn", "rnn_classifier"}
    rnn, _ = load_weights(whole / "weights" / "rnn.safetensors")
    for collection, trees in taken.items():
        for part, arrays in trees.items():
            wanted = rnn if part in parts else fresh
            assert_equal_trees(arrays, wanted[collection][part])
    layers = network.layers
    plan = stages.plan(config, layers.parts_of, layers.head_parts(), lambda row: 6)
    assert [each.name for each in plan] == ["joint", "center", "full"]
    config.model.encoders.rnn.hidden = 5
    other = networks.build(architecture(config, NAMES, 20.0))
    with pytest.raises(ConfigError, match="another network's rnn"):
        first_variables(other, config)
    config.train.pretrained = str(whole / "nowhere")
    with pytest.raises(ConfigError, match="no model of a finished stage"):
        first_variables(network, config)


def assert_equal_trees(first, second) -> None:
    import jax

    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_an_unusable_workdir_is_an_error(config, tmp_path):
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
