"""`kill -9` at any moment: the run that goes on ends bit for bit as one that was never stopped."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tiny_run import finish, keep_compiled, output, start, wait_for

STAGES = ("cnn", "rnn", "joint", "center", "full")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The workdir of a run that nothing stopped."""
    keep_compiled(tmp_path_factory)
    workdir = tmp_path_factory.mktemp("whole") / "run"
    assert finish(start(workdir)) == 0, output(workdir)
    return workdir


def figures(workdir: Path) -> dict:
    """results.json without what a clock or a folder decides."""
    results = json.loads((workdir / "results.json").read_text())
    return {k: v for k, v in results.items() if "second" not in k}


def lines(workdir: Path) -> list[tuple]:
    """Stage, step and loss of each line of metrics.jsonl."""
    entries = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [(e["stage"], e["step"], e.get("loss"), e.get("map")) for e in entries]


def test_killed_again_and_again_ends_as_if_never_stopped(whole, tmp_path):
    workdir = tmp_path / "run"
    moments = {
        "while data are drawn": lambda: (workdir / "drawings").exists(),
        "in the first stage": lambda: any((workdir / "checkpoints").glob("[0-9]*")),
        "at the change to the second": lambda: (workdir / "weights/cnn.safetensors").exists(),
        "at the change to the fourth": lambda: (workdir / "weights/joint.safetensors").exists(),
        "in the report": lambda: (workdir / "report").exists(),
    }
    for moment, has_come in moments.items():
        process = start(workdir)
        wait_for(has_come, process)
        process.kill()
        assert finish(process) == -signal.SIGKILL, moment
        assert not (workdir / "results.json").exists(), moment
    assert finish(start(workdir)) == 0, output(workdir)
    for stage in STAGES:
        name = f"weights/{stage}.safetensors"
        expected, found = load_file(whole / name), load_file(workdir / name)
        assert expected.keys() == found.keys()
        for key in expected:
            np.testing.assert_array_equal(expected[key], found[key], f"{stage}: {key}")
    assert figures(workdir) == figures(whole)
    assert lines(workdir) == lines(whole)
    for split in ("gallery", "query"):
        codes = [np.load(run / "codes" / f"{split}.npy") for run in (whole, workdir)]
        np.testing.assert_array_equal(*codes)


def test_a_finished_run_is_only_told_again(whole):
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.is_file()}
    said = len(output(whole))
    assert finish(start(whole)) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    again = output(whole)[said:]
    assert again.startswith("MAP ")
    assert "report: " in again


def test_sigterm_saves_and_the_run_goes_on(whole, tmp_path):
    workdir = tmp_path / "run"
    process = start(workdir)
    wait_for(lambda: (workdir / "weights/rnn.safetensors").exists(), process)
    process.send_signal(signal.SIGTERM)
    assert finish(process) == 75, output(workdir)
    assert "run the same command again" in output(workdir)
    assert finish(start(workdir)) == 0, output(workdir)
    assert figures(workdir) == figures(whole)
    assert lines(workdir) == lines(whole)


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (["--config.model.bits=12"], 64, "model.bits=12"),
        (["--config.data.source="], 65, "is not a data folder"),
        (["--config.model.hiden=3"], 64, "hiden"),
    ],
)
def test_a_mistake_is_a_message_and_an_exit_code(tmp_path, arguments, code, said):
    workdir = tmp_path / "run"
    assert finish(start(workdir, *arguments)) == code, output(workdir)
    assert said in output(workdir)
    assert "Traceback" not in output(workdir)


def test_another_config_on_the_same_workdir_is_refused(whole):
    assert finish(start(whole, "--config.model.bits=24")) == 64
    assert "model.bits: 16 before, 24 now" in output(whole)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, whole):
    workdir = tmp_path / "run"
    options = ["--config.stages.cnn.learning_rate=1e30", "--config.train.clip_norm=0.0"]
    options += ["--config.stages.cnn.warmup_epochs=0.0"]
    assert finish(start(workdir, *options)) == 70, output(workdir)
    assert "stage cnn, step" in output(workdir)
