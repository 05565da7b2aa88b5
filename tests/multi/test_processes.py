"""One run in two processes: the same as in one, stopped together, and lost together."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import orjson
import pytest
from forking import UNRENDERED
from pair import STAGES, Pair
from tiny_run import (
    CONFIG,
    finish,
    fork,
    has_line,
    lines_of,
    output,
    same_figures,
    same_weights,
    wait_for,
    with_devices,
)

from sketchjax.retrieval.codes import Codes

SBATCH = Path(__file__).parents[2] / "launch" / "slurm.sbatch"


@pytest.fixture(scope="module")
def calm(whole, environment, forks, tmp_path_factory) -> Path:
    """The workdir of an undisturbed run in two processes."""
    workdir = tmp_path_factory.mktemp("calm") / "run"
    faults = (UNRENDERED, UNRENDERED)
    with Pair(workdir, whole / "data", environment, faults=faults, forks=forks) as pair:
        assert pair.end() == [0, 0], pair.printed()
    return workdir


def test_two_processes_train_as_one_does(calm, whole, environment, forks, tmp_path):
    """The same sketches and masks in the first four steps, after which it may end.

    Sums over the devices have another order: the difference is their rounding in three updates.
    """
    workdir = tmp_path / "run"
    flags = [f"--config.data.dir={whole / 'data'}", *STAGES]
    process = fork(forks, workdir, environment, *flags, before=UNRENDERED)
    try:
        wait_for(lambda: has_line(workdir, stage="full", loss=None), process)
    finally:
        process.kill()
        finish(process)
    ours, theirs = (lines_of(folder)[0] for folder in (calm, workdir))
    assert ours["accuracy"] == theirs["accuracy"]
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
    # The devices of both processes count, as the four of one do.
    devices = [orjson.loads((run / "results.json").read_bytes())["device"] for run in (calm, whole)]
    assert devices[0] == devices[1]


def test_a_run_resumes_on_other_processes_and_devices(calm, whole, environment, forks, tmp_path):
    """Begun in two processes of two devices, of which one gets a signal; finished in one of one.

    The same sketches in the same order. Sums over the devices have another order, so figures agree
    up to their rounding.
    """
    workdir = tmp_path / "run"
    with Pair(workdir, whole / "data", environment, forks=forks) as pair:
        pair.wait_for(stage="full", stage_step=4)
        pair.processes[1].send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert pair.end() == [75, 75], pair.printed()
        assert time.monotonic() - began < 30
    single = with_devices(environment, 1)
    flags = [f"--config.data.dir={whole / 'data'}", *STAGES]
    rest = fork(forks, workdir, single, *flags, before=UNRENDERED)
    assert finish(rest) == 0, output(workdir)
    ours, theirs = (
        [line for line in lines_of(folder) if "loss" in line] for folder in (workdir, calm)
    )
    assert [line["step"] for line in ours] == [line["step"] for line in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)
    codes = [Codes.load(folder / "codes" / "gallery") for folder in (workdir, calm)]
    np.testing.assert_array_equal(codes[0].places, codes[1].places)
    np.testing.assert_array_equal(codes[0].key_ids, codes[1].key_ids)
    results = [orjson.loads((folder / "results.json").read_bytes()) for folder in (workdir, calm)]
    for name in ("train", "gallery", "queries", "classes", "bits"):
        assert results[0][name] == results[1][name]


def test_a_scheduler_that_kills_and_requeues_gets_the_same_bits(calm, whole, environment, tmp_path):
    """launch/slurm.sbatch under a stand-in for SLURM, at moments that a seed chooses.

    Process 0, which coordinates, and process 1 are lost, and the time of the job is up.
    """
    workdir, tasks, rng = tmp_path / "run", tmp_path / "tasks", np.random.default_rng(16)
    for name, text in (
        ("srun", f'exec {sys.executable} {Path(__file__).with_name("srun.py")} "$@"'),
        ("scontrol", f"echo $* >> {tmp_path / 'requeued'}"),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    job = with_devices(environment, 2) | {
        "PATH": f"{tmp_path}:{environment['PATH']}",
        "PYTHON": sys.executable,
        "SLURM_JOB_ID": str(rng.integers(1, 4096)),
        "STEP_TASKS": str(tasks),
    }
    flags = [f"--config={CONFIG}", f"--workdir={workdir}", f"--config.data.dir={whole / 'data'}"]
    log = tmp_path / "log"

    def submit() -> subprocess.Popen:
        with log.open("ab") as file:
            command = ["bash", str(SBATCH), *flags, *STAGES]
            return subprocess.Popen(command, env=job, stdout=file, stderr=file)

    process = submit()
    steps = np.sort(rng.choice([4, 8, 12, 16, 20], 3, replace=False)).tolist()
    for step, lost in zip(steps, [*rng.permutation(2).tolist(), None], strict=True):
        line = {"stage": "full", "stage_step": step}
        wait_for(lambda line=line: tasks.exists() and has_line(workdir, **line), process)
        if lost is not None:  # the script starts the step again once the other one has ended
            restarts = log.read_text().count("; restart ")
            os.kill(int(tasks.read_text().split()[lost]), signal.SIGKILL)
            again = lambda: log.read_text().count("; restart ") > restarts  # noqa: E731, B023
            wait_for(again, process, timeout=60)
        else:  # the time of the job is up, and SLURM starts it again
            process.send_signal(signal.SIGTERM)
            assert finish(process, 300) == 75, log.read_text()
            assert not (workdir / "results.json").exists()
            process = submit()
    assert finish(process, 600) == 0, log.read_text()
    assert (tmp_path / "requeued").read_text() == f"requeue {job['SLURM_JOB_ID']}\n"
    assert [log.read_text().count(f"restart {number} of 3") for number in (1, 2, 3)] == [1, 1, 0]
    same_weights(workdir, calm, "full")
    same_figures(
        *(orjson.loads((folder / "results.json").read_bytes()) for folder in (workdir, calm))
    )
