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
from pair import STAGES, Pair
from tiny_run import (
    CONFIG,
    finish,
    has_line,
    lines_of,
    output,
    same_figures,
    same_weights,
    start,
    wait_for,
    with_devices,
)

from sketchjax.retrieval.codes import Codes

SBATCH = Path(__file__).parents[2] / "launch" / "slurm.sbatch"


@pytest.fixture(scope="module")
def calm(whole, environment, tmp_path_factory) -> Path:
    """The workdir of an undisturbed run in two processes."""
    workdir = tmp_path_factory.mktemp("calm") / "run"
    with Pair(workdir, whole / "data", environment) as pair:
        assert pair.end() == [0, 0], pair.printed()
    return workdir


def test_two_processes_train_as_one_does(calm, whole, environment, tmp_path):
    """The same sketches and masks in the first four steps.

    Sums over the devices have another order: the difference is their rounding in three updates.
    """
    workdir = tmp_path / "run"
    flags = [f"--config.data.dir={whole / 'data'}", *STAGES]
    assert finish(start(workdir, environment, *flags)) == 0, output(workdir)
    ours, theirs = (lines_of(folder)[0] for folder in (calm, workdir))
    assert ours["accuracy"] == theirs["accuracy"]
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
    codes = [Codes.load(folder / "codes" / "gallery") for folder in (calm, workdir)]
    np.testing.assert_array_equal(codes[0].places, codes[1].places)
    np.testing.assert_array_equal(codes[0].key_ids, codes[1].key_ids)
    results = [orjson.loads((folder / "results.json").read_bytes()) for folder in (calm, workdir)]
    for name in ("train", "gallery", "queries", "classes", "bits", "device"):
        assert results[0][name] == results[1][name]


def test_stopped_and_lost_processes_end_in_the_same_bits(calm, whole, environment, tmp_path):
    """A signal to one of them; then process 1 is lost, then process 0, which coordinates."""
    workdir = tmp_path / "run"
    with Pair(workdir, whole / "data", environment) as pair:
        pair.wait_for(stage="full", stage_step=4)
        pair.processes[1].send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert pair.end() == [75, 75], pair.printed()
        assert time.monotonic() - began < 30
    for lost, step in ((1, 12), (0, 20)):
        with Pair(workdir, whole / "data", environment) as pair:
            pair.wait_for(stage="full", stage_step=step)
            pair.processes[lost].kill()
            began = time.monotonic()
            assert finish(pair.processes[1 - lost], timeout=120) != 0, pair.printed()
            assert time.monotonic() - began < 60
        assert not (workdir / "results.json").exists()
    with Pair(workdir, whole / "data", environment) as pair:
        assert pair.end() == [0, 0], pair.printed()
    same_weights(workdir, calm, "full")
    same_figures(
        *(orjson.loads((folder / "results.json").read_bytes()) for folder in (workdir, calm))
    )


def test_a_run_resumes_on_other_processes_and_devices(calm, whole, environment, tmp_path):
    """Begun in two processes of two devices, finished in one of one: the same sketches in the same
    order. Sums over the devices have another order, so figures agree up to their rounding."""
    workdir = tmp_path / "run"
    with Pair(workdir, whole / "data", environment) as pair:
        pair.wait_for(stage="full", stage_step=4)
        pair.processes[0].send_signal(signal.SIGTERM)
        assert pair.end() == [75, 75], pair.printed()
    single = with_devices(environment, 1)
    flags = [f"--config.data.dir={whole / 'data'}", *STAGES]
    assert finish(start(workdir, single, *flags)) == 0, output(workdir)
    ours, theirs = (
        [line for line in lines_of(folder) if "loss" in line] for folder in (workdir, calm)
    )
    assert [line["step"] for line in ours] == [line["step"] for line in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)
    codes = [Codes.load(folder / "codes" / "gallery") for folder in (workdir, calm)]
    np.testing.assert_array_equal(codes[0].key_ids, codes[1].key_ids)


def test_a_scheduler_that_kills_and_requeues_gets_the_same_bits(calm, whole, environment, tmp_path):
    """launch/slurm.sbatch under a stand-in for SLURM, at moments that a seed chooses."""
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
    lost, late = sorted(rng.choice([4, 8, 12, 16], 2, replace=False).tolist())
    for step, event in ((lost, "lost"), (late, "time")):
        wait_for(lambda step=step: has_line(workdir, stage="full", stage_step=step), process)
        if event == "lost":  # the script starts the step again
            os.kill(int(rng.choice(tasks.read_text().split())), signal.SIGKILL)
        else:  # the time of the job is up, and SLURM starts it again
            process.send_signal(signal.SIGTERM)
            assert finish(process, 300) == 75, log.read_text()
            process = submit()
    assert finish(process, 600) == 0, log.read_text()
    assert (tmp_path / "requeued").read_text() == f"requeue {job['SLURM_JOB_ID']}\n"
    assert log.read_text().count("restart 1 of 3") == 1
    same_weights(workdir, calm, "full")
    same_figures(
        *(orjson.loads((folder / "results.json").read_bytes()) for folder in (workdir, calm))
    )
