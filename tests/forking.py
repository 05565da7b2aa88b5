"""Processes that are forked from one that has imported the libraries; they end as others do.

Most of what a process costs that ends before it trains are these imports: 1.4 of 1.7 s.
"""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

START = "from sketchjax.main import main\nmain()"
# Before START, where nobody looks at the report's figures: they take 3 s.
UNRENDERED = "from sketchjax.report import plots\nplots.figure_png = lambda draw, theme: None\n"


class Forks:
    """A process that has imported the libraries, and forks others when asked to.

    environment: of that process; jax reads its own variables, JAX_*, when it is imported.
    """

    def __init__(self, environment: dict[str, str]):
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment | {"OPENBLAS_NUM_THREADS": "1"},
        )

    def __enter__(self) -> "Forks":
        return self

    def __exit__(self, *_) -> None:
        self._server.communicate()

    def start(self, start: str, flags: list[str], environment: dict[str, str], log: Path) -> "Fork":
        """Run a program with these arguments; what it prints is appended to the log."""
        return Fork(self, self.ask("start", start, flags, environment, str(log)))

    def ask(self, *question: object) -> int:
        """The number that the process answers with."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        print(json.dumps(question), file=self._server.stdin, flush=True)
        return json.loads(self._server.stdout.readline())


class Fork:
    """One of them, with the methods of a Popen."""

    def __init__(self, forks: Forks, pid: int):
        self._forks, self.pid, self.returncode = forks, pid, None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._forks.ask("poll", self.pid)
        return self.returncode

    def wait(self, timeout: float = 600) -> int:
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            time.sleep(0.02)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def import_libraries() -> None:
    """Import what takes long; none of sketchjax, so that what makes something fail comes first."""
    import absl.app  # noqa: F401
    import flax.linen  # noqa: F401
    import grain  # noqa: F401
    import jax  # noqa: F401
    import ml_collections  # noqa: F401
    import numba  # noqa: F401
    import optax  # noqa: F401
    import orbax.checkpoint  # noqa: F401

    _keep_own_programs()


def _keep_own_programs() -> None:
    """Let each process of several keep in the cache what it compiles, in place of process 0 only.

    On a CPU a program has another key in each, and process 1 would compile 4 s in each test.
    """
    from jax._src import compiler, distributed

    if not version("jax").startswith("0.10."):
        return
    write = compiler._cache_write

    def written(*program) -> None:
        state = distributed.global_state
        number, state.process_id = state.process_id, 0
        try:
            write(*program)
        finally:
            state.process_id = number

    compiler._cache_write = written


def _serve() -> None:
    import_libraries()
    for line in sys.stdin:
        kind, *question = json.loads(line)
        if kind == "poll":
            pid, status = os.waitpid(question[0], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        elif not (answer := os.fork()):
            _run(*question)
        print(json.dumps(answer), flush=True)


def _run(start: str, flags: list[str], environment: dict[str, str], log: str) -> NoReturn:
    """Be the process: it ends with this function, and as Python ends, with all that jax does."""
    with open(os.devnull) as nothing, open(log, "ab") as file:
        os.dup2(nothing.fileno(), 0)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["-c", *flags]
    exec(start, {"__name__": "__main__"})
    sys.exit()


if __name__ == "__main__":
    _serve()
