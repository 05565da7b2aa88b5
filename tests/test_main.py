"""The command as a person runs it: exit codes, messages, and being killed at any moment."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest
from tiny_run import (
    CONFIG,
    command,
    finish,
    fork,
    has_line,
    output,
    run_command,
    same_figures,
    same_weights,
    start,
    wait_for,
    with_usual_emitters,
)


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Time of change and size of every file."""
    return {
        str(path): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_a_run_killed_again_and_again_has_the_same_figures(whole, environment, forks, tmp_path):
    """While it converts, in a stage, between two stages, in the report."""
    workdir = tmp_path / "run"
    moments = [
        (signal.SIGKILL, lambda: (workdir / "data" / ".partial").exists()),
        (signal.SIGTERM, lambda: has_line(workdir, stage="cnn")),
        (signal.SIGKILL, lambda: has_line(workdir, stage="joint", validation_accuracy=None)),
        (signal.SIGKILL, lambda: (workdir / "report" / "material.json").exists()),
    ]
    for number, moment in moments:
        process = fork(forks, workdir, environment)
        try:
            wait_for(moment, process)
            process.send_signal(number)
        finally:
            code = finish(process)
        assert code == (75 if number == signal.SIGTERM else -9), output(workdir)
        assert not (workdir / "results.json").exists()
    printed = output(workdir)
    assert "SIGTERM: stopping at the next safe point" in printed
    assert "rerun the same command to resume" in printed
    assert finish(fork(forks, workdir, environment)) == 0, output(workdir)
    same_weights(workdir, whole, "full")
    results = [orjson.loads((folder / "results.json").read_bytes()) for folder in (workdir, whole)]
    same_figures(*results)
    assert "Traceback" not in output(workdir)

    before, length = contents(workdir), len(output(workdir))
    began = time.monotonic()
    assert finish(start(workdir, environment)) == 0
    assert time.monotonic() - began < 60
    assert contents(workdir) == before
    printed = output(workdir)[length:].splitlines()
    assert len(printed) == 3
    assert printed[0].startswith(f"MAP {results[0]['map']:.4f} ")
    assert printed[2] == f"report: {workdir / 'report' / 'index.html'}"


def test_processes_that_read_ahead_stop_and_resume(whole, environment, forks, tmp_path):
    """A stream with a worker process gives the batches of data held by the devices.

    The bits too, where fusions are emitted as users do: each feed has a program of its own.
    """
    usually = with_usual_emitters(environment)
    first = ("--config.model.branches=rnn", "--config.stages.cnn.epochs=0")
    first += ("--config.stages.joint.epochs=0", "--config.stages.center.epochs=0")
    first += ("--config.stages.full.epochs=0", f"--config.data.dir={whole / 'data'}")
    stream = ("--config.data.feed=stream", "--config.train.workers=1")
    held, workdir = tmp_path / "held", tmp_path / "run"
    # Stopped after the first step, and when the stage is over.
    begun, over = {"loss": None}, {"validation_accuracy": None}
    for folder, line, flags in (
        (held, over, ()),
        (workdir, begun, stream),
        (workdir, over, stream),
    ):
        process = fork(forks, folder, usually, *first, *flags)
        try:
            wait_for(lambda f=folder, line=line: has_line(f, stage="rnn", **line), process)
            process.send_signal(signal.SIGTERM)
        finally:
            code = finish(process)
        assert code == 75, output(folder)
    same_weights(workdir, held, "rnn")


def test_a_second_signal_ends_a_run_at_once(environment, tmp_path):
    workdir = tmp_path / "run"
    process = start(workdir, environment)
    try:
        wait_for(lambda: (workdir / "config.json").exists(), process)
        process.send_signal(signal.SIGINT)
        wait_for(lambda: "SIGINT: stopping" in output(workdir), process)
        time.sleep(1.1)  # before that it counts as the same request
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        code = finish(process)
    finally:
        process.kill()
    # It may have come to a safe point before the second one.
    assert code in (128 + signal.SIGTERM, 75)
    assert time.monotonic() - began < 30
    assert "Traceback" not in output(workdir)


BROKEN = {
    "missing.py": None,
    "syntax.py": "def get_config(:",
    "raises.py": "def get_config(): return 1 / 0",
    "empty.py": "",
}
FLAGS = {
    "no config": ([], "--config is missing; give --config FILE --workdir DIR"),
    "no file": (["--config={missing.py}"], "there is no file"),
    "syntax": (["--config={syntax.py}"], "SyntaxError: invalid syntax (syntax.py, line 1)"),
    "raises": (["--config={raises.py}"], "ZeroDivisionError: division by zero"),
    "empty": (["--config={empty.py}"], "has no attribute 'get_config'"),
    "argument": (["--config={tiny}:64"], "takes 0 positional arguments"),
    "field": (["--config={tiny}", "--config.nosuch=3"], "nosuch='3' is no field"),
    "type": (
        ["--config={tiny}", "--config.train.batch_size=x"],
        "train.batch_size='x'; give a whole number",
    ),
    "flag": (["--config={tiny}", "--nosuch"], "Unknown command line flag 'nosuch'"),
    "word": (["--config={tiny}", "16"], "'16' is no flag"),
    "values": (
        ["--config={tiny}", "--config.model.bits=12", "--config.train.batch_size=0"],
        "2 problems:\n  - model.bits=12",
    ),
}


# Forks a process for each command line, so that one imports for all, and prints their exit codes.
FORKING = """
import json, os, sys
from sketchjax.main import main

codes = []
for number, words in enumerate(json.load(sys.stdin)):
    if not (child := os.fork()):
        with open(str(number), "wb") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        sys.argv = ["main", *words]
        main()
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(codes))
"""


def test_wrong_flags_and_configs_are_one_line_each(environment, tmp_path):
    for name, content in BROKEN.items():
        if content is not None:
            (tmp_path / name).write_text(content)
    paths = {name: tmp_path / name for name in BROKEN} | {"tiny": CONFIG}
    lines = []
    for flags, _ in FLAGS.values():
        filled = list(flags)
        for key, path in paths.items():
            filled = [flag.replace("{" + key + "}", str(path)) for flag in filled]
        lines.append([*filled, f"--workdir={tmp_path / 'w'}"])
    done = subprocess.run(
        [sys.executable, "-c", FORKING],
        input=orjson.dumps(lines),
        stdout=subprocess.PIPE,
        env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=tmp_path,
        check=True,
    )
    assert orjson.loads(done.stdout) == [64] * len(FLAGS)
    for number, (name, (_, text)) in enumerate(FLAGS.items()):
        printed = (tmp_path / str(number)).read_text()
        assert text in printed, (name, printed)
        assert printed.startswith("ConfigError: "), (name, printed)
        assert "Traceback" not in printed, (name, printed)
    assert not (tmp_path / "w").exists()
    debug = run_command(command("--config={}".format(paths["raises.py"]), "--debug"), environment)
    printed, _ = debug.communicate(timeout=600)
    assert debug.returncode == 64
    assert "Traceback" in printed
    assert "line 1, in get_config" in printed


def test_each_kind_of_error_has_its_code(environment, forks, tmp_path):
    """No data, and a rate at which numbers leave the range of float32."""
    no_data = ["--config.data.source=", f"--config.data.dir={tmp_path / 'nowhere'}"]
    # Rates of a stage that is quick to compile.
    wild = ["--config.model.branches=rnn", "--config.stages.rnn.learning_rate=1e38"]
    wild += ["--config.stages.cnn.epochs=0"]
    wild += ["--config.train.max_skipped=1"]
    cases = {
        "data": (no_data, 65, "DataError: "),
        "finite": ([*wild, "--config.train.weight_decay=0.0"], 70, "NotFiniteError: stage rnn, "),
    }
    running = {
        name: fork(forks, tmp_path / name, environment, *flags)
        for name, (flags, *_) in cases.items()
    }
    for name, process in running.items():
        code = finish(process)
        assert code == cases[name][1], (name, output(tmp_path / name))
        assert cases[name][2] in output(tmp_path / name)
        assert "Traceback" not in output(tmp_path / name)
    assert "data.source" in output(tmp_path / "data")
    assert "lower stages.rnn.learning_rate" in output(tmp_path / "finite")


def test_compiled_code_is_kept_in_the_user_s_cache(environment, tmp_path, monkeypatch):
    """Unless JAX_COMPILATION_CACHE_DIR names another folder."""
    import jax

    from sketchjax.run.compilation import keep_compiled

    before = jax.config.values["jax_compilation_cache_dir"]
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    try:
        keep_compiled()
        folder = Path(jax.config.values["jax_compilation_cache_dir"])
        assert folder.parent == tmp_path / "sketchjax"
        assert folder.is_dir()
        monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
        jax.config.update("jax_compilation_cache_dir", before)
        keep_compiled()
        assert jax.config.values["jax_compilation_cache_dir"] == before
        monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
        monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)
        keep_compiled()
        assert jax.config.values["jax_compilation_cache_dir"] == before
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


@pytest.mark.parametrize(
    "variable, devices",
    [
        ({}, 3),
        ({"XLA_FLAGS": "--xla_force_host_platform_device_count=5"}, 5),
        ({"JAX_NUM_CPU_DEVICES": "7"}, 7),
    ],
)
def test_a_cpu_is_as_many_devices_as_the_config_says(
    environment, forks, tmp_path, variable, devices
):
    """Variables come first: whoever sets one means it."""
    settings = environment | {"XLA_FLAGS": ""} | variable
    three = "--config.train.cpu_devices=3"
    if "JAX_NUM_CPU_DEVICES" in variable:  # jax reads it when it is imported
        process = start(tmp_path / "run", settings, three)
    else:
        process = fork(forks, tmp_path / "run", settings, three)
    assert finish(process) == 64
    # Found after jax began: the batch of the tiny config is 8.
    assert f"batch_size=8 does not divide over {devices} devices" in output(tmp_path / "run")
