"""One run in two processes: the same as in one, stopped together, and lost together."""

import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import orjson
import pytest
from tiny_run import (
    CONFIG,
    command,
    finish,
    free_port,
    has_line,
    same_figures,
    same_weights,
    wait_for,
)

from sketchjax.retrieval.codes import Codes

# One encoder and two of the five stages: each of two processes compiles them.
STAGES = (
    "--config.model.branches=rnn",
    "--config.stages.cnn.epochs=0",
    "--config.stages.joint.epochs=0",
    "--config.stages.center.epochs=0",
    "--config.stages.full.epochs=2",
)


class Pair:
    """Two processes of two devices each that train in one workdir."""

    def __init__(self, workdir: Path, data: Path, environment):
        self.workdir, self._data = workdir, data
        self._environment = environment | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}

    def __enter__(self) -> "Pair":
        port = free_port()
        self.processes = []
        for number in range(2):
            flags = [f"--config={CONFIG}", f"--workdir={self.workdir}"]
            flags += [f"--config.data.dir={self._data}", f"--coordinator=localhost:{port}"]
            flags += ["--processes=2", f"--process={number}", *STAGES]
            with self.log(number).open("ab") as log:
                self.processes.append(
                    subprocess.Popen(command(*flags), stdout=log, stderr=log, env=self._environment)
                )
        return self

    def __exit__(self, *_) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    def log(self, number: int) -> Path:
        return self.workdir.with_name(f"{self.workdir.name}.{number}.log")

    def printed(self) -> str:
        return self.log(0).read_text() + self.log(1).read_text()

    def end(self, timeout: float = 300) -> list[int]:
        return [finish(process, timeout) for process in self.processes]

    def wait_for(self, **line) -> None:
        wait_for(lambda: has_line(self.workdir, **line), self.processes[0])


@pytest.fixture(scope="module")
def calm(whole, environment, tmp_path_factory) -> Path:
    """The workdir of an undisturbed run in two processes."""
    workdir = tmp_path_factory.mktemp("calm") / "run"
    with Pair(workdir, whole / "data", environment) as pair:
        assert pair.end() == [0, 0], pair.printed()
    return workdir


def first_line(workdir: Path, stage: str) -> dict:
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return next(line for line in map(orjson.loads, lines) if line["stage"] == stage)


def test_two_processes_train_as_one_does(calm, whole):
    """The same sketches and masks in the first four steps, of a stage that begins alike in both.

    Sums over the devices have another order: the difference is their rounding in three updates.
    """
    ours, theirs = first_line(calm, "rnn"), first_line(whole, "rnn")
    assert ours["accuracy"] == theirs["accuracy"]
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
    codes = [Codes.load(folder / "codes" / "gallery") for folder in (calm, whole)]
    np.testing.assert_array_equal(codes[0].places, codes[1].places)
    np.testing.assert_array_equal(codes[0].key_ids, codes[1].key_ids)
    results = [orjson.loads((folder / "results.json").read_bytes()) for folder in (calm, whole)]
    for name in ("train", "gallery", "queries", "classes", "bits", "device"):
        assert results[0][name] == results[1][name]


def test_stopped_and_lost_processes_end_in_the_same_bits(calm, whole, environment, tmp_path):
    """A signal to one of them; then process 1 is lost, then process 0, which coordinates."""
    workdir = tmp_path / "run"
    with Pair(workdir, whole / "data", environment) as pair:
        pair.wait_for(stage="rnn")
        pair.processes[1].send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert pair.end() == [75, 75], pair.printed()
        assert time.monotonic() - began < 30
    for lost, step in ((1, 4), (0, 12)):
        with Pair(workdir, whole / "data", environment) as pair:
            pair.wait_for(stage="full", stage_step=step)
            pair.processes[lost].kill()
            began = time.monotonic()
            assert finish(pair.processes[1 - lost], timeout=120) != 0, pair.printed()
            assert time.monotonic() - began < 60
        assert not (workdir / "results.json").exists()
    with Pair(workdir, whole / "data", environment) as pair:
        assert pair.end() == [0, 0], pair.printed()
    for stage in ("rnn", "full"):
        same_weights(workdir, calm, stage)
    same_figures(
        *(orjson.loads((folder / "results.json").read_bytes()) for folder in (workdir, calm))
    )
