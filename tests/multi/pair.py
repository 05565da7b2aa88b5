"""Two processes that train as one, each with flags, variables and faults of its own."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from forking import START, Fork, Forks
from tiny_run import CONFIG, finish, free_port, has_line, wait_for, with_devices

# One encoder and one of the five stages: each process traces and loads what it runs.
STAGES = (
    "--config.model.branches=rnn",
    "--config.stages.cnn.epochs=0",
    "--config.stages.rnn.epochs=0",
    "--config.stages.joint.epochs=0",
    "--config.stages.center.epochs=0",
    "--config.stages.full.epochs=2",
)


class Pair:
    """Two processes of two devices each that train in one workdir.

    workdir: of process 0, and of process 1 unless its flags name another; data: for both.
    own: further flags of each process; environments: further variables of each.
    faults: Python that each runs before it starts, to make something fail there.
    forks: where the processes are forked; without it they are started as users do.
    """

    def __init__(
        self,
        workdir: Path,
        data: Path | None,
        environment: dict[str, str],
        *,
        own: Sequence[Sequence[str]] = ((), ()),
        environments: Sequence[dict[str, str]] = ({}, {}),
        faults: Sequence[str] = ("", ""),
        forks: Forks | None = None,
    ):
        self.workdir, self._data = workdir, data
        usual = with_devices(environment, 2)
        self._own, self._faults, self._forks = own, faults, forks
        self._environments = [usual | each for each in environments]

    def __enter__(self) -> "Pair":
        port = free_port()
        self.began, self.processes = time.monotonic(), []
        for number in range(2):
            flags = [f"--config={CONFIG}", f"--workdir={self.workdir}"]
            flags += [f"--config.data.dir={self._data}"] if self._data else []
            flags += [f"--coordinator=localhost:{port}", "--processes=2", f"--process={number}"]
            flags += [*STAGES, *self._own[number]]
            self.processes.append(self._start(number, flags))
        return self

    def _start(self, number: int, flags: list[str]) -> subprocess.Popen | Fork:
        fault, environment, log = self._faults[number], self._environments[number], self.log(number)
        start = f"{fault}\n{START}"
        if self._forks:
            return self._forks.start(start, flags, environment, log)
        words = [sys.executable, *(["-c", start] if fault else ["-m", "sketchjax.main"])]
        with log.open("ab") as file:
            return subprocess.Popen([*words, *flags], stdout=file, stderr=file, env=environment)

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
