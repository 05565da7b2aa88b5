"""Two runs on one workdir: the second is refused and names the first; a dead run's lock is free.

The first is another process each time, as in real life: a lock ends with its process.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from sketchjax.config import default
from sketchjax.data.folder.conversion.output import working_folder
from sketchjax.errors import ConfigError, DiskError, InUseError, on_disk
from sketchjax.files import sole_writer
from sketchjax.index.store import Store
from sketchjax.train.workdir import LOCK, check_config, keep_config, locked

HOLD = """
import sys, time
from pathlib import Path
from sketchjax.train.workdir import locked
assert "jax" not in sys.modules
with locked(Path(sys.argv[1])) as left:
    print("held", left, flush=True)
    if sys.argv[2] == "raise":
        raise SystemExit(3)
    sys.stdin.read()
"""


def hold(workdir: Path, then: str = "wait") -> subprocess.Popen:
    """Another process that holds the workdir until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(workdir), then],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("held")
    return process


def test_a_second_run_is_refused_until_the_first_dies(tmp_path):
    workdir = tmp_path / "run"
    began = time.time()
    process = hold(workdir)
    try:
        content = (workdir / LOCK).read_bytes()
        for _ in range(2):  # a refusal leaves the lock and its text as they were
            with pytest.raises(InUseError) as caught, locked(workdir):
                pass
            message = str(caught.value)
            assert f"another process is running in {workdir}" in message
            assert f"process {process.pid} on {socket.gethostname()}, since " in message
            assert "use another --workdir" in message
            assert caught.value.exit_code == 75
            assert (workdir / LOCK).read_bytes() == content
        since = message.split("since ")[1].split(";")[0]
        moment = time.mktime(time.strptime(since[:19], "%Y-%m-%d %H:%M:%S"))
        assert began - 2 <= moment <= time.time() + 1
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    # It cleaned up nothing, yet its lock is free.
    assert json.loads((workdir / LOCK).read_bytes())["pid"] == process.pid
    with locked(workdir) as left:
        assert left == ""
        assert json.loads((workdir / LOCK).read_bytes())["pid"] == os.getpid()
    assert (workdir / LOCK).read_bytes() == b""


def test_a_run_that_ends_with_an_error_leaves_nothing_behind(tmp_path):
    process = hold(tmp_path, "raise")
    assert process.wait(60) == 3
    process.communicate()
    assert (tmp_path / LOCK).read_bytes() == b""
    with pytest.raises(ValueError, match="mine"), locked(tmp_path):
        raise ValueError("mine")
    with locked(tmp_path) as left:
        assert left == ""


def test_an_unfinished_run_of_another_machine_is_a_warning(tmp_path):
    """Its lock may not be visible here, on a file system that does not share locks."""
    (tmp_path / LOCK).write_text('{"pid": 41, "host": "node-7", "since": "yesterday"}')
    with locked(tmp_path) as left:
        assert "process 41 on node-7, since yesterday" in left
        assert "stop one of the two" in left
        assert "\n" not in left
        # To others, this process is now the one that holds the lock.
        with pytest.raises(InUseError, match=f"process {os.getpid()} on "), locked(tmp_path):
            pass
    with locked(tmp_path) as left:
        assert left == ""


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff" * 9000, b'{"pid": 3}'])
def test_a_lock_with_unreadable_text_is_still_a_lock(tmp_path, content):
    with locked(tmp_path):
        (tmp_path / LOCK).write_bytes(content)
        with pytest.raises(InUseError, match="an unknown process"), locked(tmp_path):
            pass
    (tmp_path / LOCK).write_bytes(content)
    with locked(tmp_path) as left:
        assert left == ""


@pytest.mark.parametrize(
    "hold",
    [locked, sole_writer, working_folder, partial(Store, read_only=False)],
    ids=["run", "output", "conversion", "index"],
)
def test_a_file_system_without_locks_is_an_error(tmp_path, monkeypatch, hold):
    def refuse(*_):
        raise OSError(95, os.strerror(95))

    monkeypatch.setattr("fcntl.flock", refuse)
    refusal = pytest.raises(DiskError, match=r"not supported\); use a file system that has locks")
    with refusal, on_disk("this"), hold(tmp_path):
        pass


def test_of_two_configs_started_at_once_one_stays(tmp_path):
    """Without the lock the second cannot write, and looking writes nothing."""
    other = default()
    other.seed = 7
    check_config(default(), tmp_path)
    check_config(other, tmp_path)  # both found a workdir without a config
    with locked(tmp_path):
        with pytest.raises(InUseError, match="another process"), locked(tmp_path):
            keep_config(other, tmp_path)
        keep_config(default(), tmp_path)
        (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    with locked(tmp_path), pytest.raises(ConfigError, match="seed: before 0, now 7"):
        keep_config(other, tmp_path)
    assert json.loads((tmp_path / "config.json").read_bytes())["seed"] == 0
