"""Worker processes for making and converting data: separate Python processes, fed by sockets.

`multiprocessing` imports the caller's main module again in every worker that it does not fork:
a script then needs a guard around its call, and `python -m sketchjax.main` would load jax in each.
Forking while jax's threads run may deadlock. A worker here is
`python -m sketchjax.data.workers`: it imports only what its tasks need, and exits
when its socket closes, so that none outlives a process that is killed.
"""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

from sketchjax.errors import DataError, SketchjaxError

# A task: a function at the top level of a module, and its arguments. It is called as
# `function(*arguments, progress=...)`, and may call `progress(number)` while it runs.
Task = tuple[Callable[..., Any], tuple[Any, ...]]


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


class Pool:
    """Up to `workers` processes that work on tasks; with one worker, tasks run in this process.

    A process starts with its first task and stays for the next `run`, because its imports (numba
    and others) take 1 s. Leaving the `with` block ends them all, even while they work.
    """

    def __init__(self, workers: int):
        self.workers = workers
        self._idle: list[Connection] = []
        self._busy: dict[Connection, int] = {}
        self._processes: dict[Connection, subprocess.Popen] = {}

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_) -> None:
        for process in self._processes.values():
            process.terminate()
        for connection, process in self._processes.items():
            connection.close()
            process.wait()

    def run(
        self, tasks: Iterable[Task], progress: Callable[[int], None]
    ) -> Iterator[tuple[int, Any]]:
        """Run tasks and yield (index of the task, result) as they finish.

        The next task is taken when a process becomes free. The first error of a task is raised:
        DataError and OSError as they are, others as RuntimeError with the traceback.
        """
        numbered = enumerate(tasks)
        if self.workers <= 1:
            for index, (function, arguments) in numbered:
                yield index, function(*arguments, progress=progress)
            return
        for index, task in itertools.islice(numbered, self.workers):
            self._give(self._idle.pop() if self._idle else self._start(), index, task)
        while self._busy:
            for ready in wait(list(self._busy)):
                assert isinstance(ready, Connection)
                kind, value = self._receive(ready)
                if kind == "progress":
                    progress(value)
                    continue
                finished = self._busy.pop(ready)
                following = next(numbered, None)
                if following is None:
                    self._idle.append(ready)
                else:
                    self._give(ready, *following)
                yield finished, value

    def _give(self, connection: Connection, index: int, task: Task) -> None:
        self._busy[connection] = index
        connection.send(task)

    def _start(self) -> Connection:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "sketchjax.data.workers",
                    str(theirs.fileno()),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                # So that a worker finds the package as this process did, also in a source tree.
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        connection = Connection(ours.detach())
        self._processes[connection] = process
        return connection

    def _receive(self, connection: Connection) -> tuple[str, Any]:
        try:
            kind, value = connection.recv()
        except (EOFError, ConnectionResetError) as error:
            code = self._processes[connection].wait()
            raise DataError(
                f"a worker process ended unexpectedly with code {code}; often memory ran out. "
                "Rerun the same command; a conversion keeps finished work, and takes --workers."
            ) from error
        if kind == "error":
            raise value
        return kind, value


def serve(connection: Connection) -> None:
    """Work on tasks until the other side closes the connection."""
    while True:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return
        try:
            result = function(*arguments, progress=lambda n: connection.send(("progress", n)))
            connection.send(("result", result))
        except BrokenPipeError:
            return
        except (SketchjaxError, OSError) as error:
            connection.send(("error", error))
        except Exception:
            connection.send(("error", RuntimeError(traceback.format_exc())))


if __name__ == "__main__":
    try:
        serve(Connection(int(sys.argv[1])))
    except (BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        # Whoever gave the tasks was stopped or killed, and has reported it.
        sys.exit(1)
