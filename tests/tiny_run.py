"""The tiny run that several test files look at, and the processes that run it."""

import fcntl
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from forking import START, Fork, Forks

from sketchjax.retrieval.codes import Codes

CONFIG = Path(__file__).parent / "configs" / "tiny.py"
STUDY = CONFIG.with_name("tiny_study.py")


def tiny_config():
    """A fresh config of tests/configs/tiny.py."""
    return _load(CONFIG)


def tiny_study_config():
    """A fresh config of tests/configs/tiny_study.py."""
    return _load(STUDY)


def _load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


def shared_folder(tmp_path_factory) -> Path:
    """A folder that all workers of a session share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def whole_run(tmp_path_factory, environment: dict[str, str]) -> Path:
    """The workdir of a tiny run that was never stopped, the same for all workers of a session."""
    workdir = shared_folder(tmp_path_factory) / "whole"
    with workdir.with_name("whole.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (workdir / "results.json").exists():
            assert finish(start(workdir, environment)) == 0, output(workdir)
    return workdir


def command(*arguments: str) -> list[str]:
    """The command line of `python -m sketchjax.main`."""
    return [sys.executable, "-m", "sketchjax.main", *arguments]


def run_command(arguments: list[str], environment: dict[str, str]) -> subprocess.Popen:
    """Start a command; its stdout has all of its output."""
    return subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True
    )


def start(workdir: Path, environment: dict[str, str], *arguments: str) -> subprocess.Popen:
    """Start a run of the tiny config; its output goes to WORKDIR.log."""
    whole = command(f"--config={CONFIG}", f"--workdir={workdir}", *arguments)
    with workdir.with_name(workdir.name + ".log").open("ab") as log:
        return subprocess.Popen(whole, stdout=log, stderr=subprocess.STDOUT, env=environment)


def fork(
    forks: Forks, workdir: Path, environment: dict[str, str], *arguments: str, before: str = ""
) -> Fork:
    """As `start`, but forked from a process that has imported jax.

    before: Python that runs first.
    """
    flags = [f"--config={CONFIG}", f"--workdir={workdir}", *arguments]
    log = workdir.with_name(workdir.name + ".log")
    return forks.start(before + START, flags, environment, log)


def with_devices(environment: dict[str, str], count: int) -> dict[str, str]:
    """The variables of a process that has this many virtual devices."""
    flag = f"--xla_force_host_platform_device_count={count}"
    return environment | {"XLA_FLAGS": f"{environment['XLA_FLAGS']} {flag}"}


def with_usual_emitters(environment: dict[str, str]) -> dict[str, str]:
    """The variables of a process with the fusions that `usual_emitters` gives a test."""
    older, usual = "xla_cpu_use_fusion_emitters=false", "xla_cpu_use_fusion_emitters=true"
    return environment | {"XLA_FLAGS": environment["XLA_FLAGS"].replace(older, usual)}


def finish(process: subprocess.Popen | Fork, timeout: float = 600) -> int:
    """The exit code of a process, once it has ended."""
    try:
        return process.wait(timeout)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def output(workdir: Path) -> str:
    """Everything that processes of this workdir have printed."""
    return workdir.with_name(workdir.name + ".log").read_text()


def wait_for(
    condition: Callable[[], bool], process: subprocess.Popen | Fork, timeout: float = 600
) -> None:
    """Wait until the condition holds while the process runs."""
    end = time.monotonic() + timeout
    while not condition():
        assert process.poll() is None, f"the process ended early, with {process.returncode}"
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.01)


def lines_of(workdir: Path) -> list[dict]:
    """The lines of metrics.jsonl; none if there is no file."""
    path = workdir / "metrics.jsonl"
    # The last part is a line that is being written, or nothing.
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def has_line(workdir: Path, **wanted) -> bool:
    """Whether metrics.jsonl has a line with these values; None stands for any."""
    return any(
        all(name in line and value in (None, line[name]) for name, value in wanted.items())
        for line in lines_of(workdir)
    )


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def same_figures(first: dict, second: dict) -> None:
    """Check that two results agree in all that does not depend on the clock or the workdir."""
    assert first.keys() == second.keys()
    for name in second:
        if name not in ("seconds_total", "sketches_per_second", "config"):
            assert first[name] == second[name], name


def same_weights(first: Path, second: Path, stage: str) -> None:
    """Check that two runs left the same model after a stage, byte for byte."""
    name = f"weights/{stage}.safetensors"
    assert (first / name).read_bytes() == (second / name).read_bytes(), stage


def stable_map(workdir: Path, queries: str = "query", gallery: str = "gallery") -> float:
    """Mean average precision by a stable sort, query by query, from the files in codes/."""
    asked, found = (Codes.load(workdir / "codes" / split) for split in (queries, gallery))
    precisions = []
    for code, label in zip(asked.unpacked(), asked.labels, strict=True):
        order = np.argsort((found.unpacked() != code).sum(1), kind="stable")
        ranks = np.flatnonzero(found.labels[order] == label) + 1
        if len(ranks):
            precisions.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    return float(np.mean(precisions))
