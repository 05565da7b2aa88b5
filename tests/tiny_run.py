"""The tiny run that several test files look at, and the processes that run it."""

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax

CONFIG = Path(__file__).parent / "configs" / "tiny.py"


def tiny_config():
    """A fresh config of tests/configs/tiny.py."""
    spec = importlib.util.spec_from_file_location("tiny_config", CONFIG)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


def keep_compiled(tmp_path_factory) -> Path:
    """One folder for what this session compiles, in all its processes.

    A stage takes 10 s to compile and 0.2 s to load.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / "compiled"
    folder.mkdir(exist_ok=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    return folder


def start(workdir: Path, *arguments: str, config: Path = CONFIG) -> subprocess.Popen:
    """Start `python -m sketchjax.main`; its output goes to WORKDIR.log."""
    command = [sys.executable, "-m", "sketchjax.main", f"--config={config}", *arguments]
    command += [f"--workdir={workdir}"]
    with workdir.with_name(workdir.name + ".log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen, timeout: float = 600) -> int:
    """The exit code, once the process has come to its end."""
    try:
        return process.wait(timeout)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def output(workdir: Path) -> str:
    """All that processes of this workdir have said."""
    return workdir.with_name(workdir.name + ".log").read_text()


def wait_for(condition: Callable[[], bool], process: subprocess.Popen, timeout: float = 600):
    """Wait until the condition holds while the process runs."""
    end = time.monotonic() + timeout
    while not condition():
        assert process.poll() is None, f"ended with {process.returncode} before its time"
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)
