"""Kill a run repeatedly at random moments, and compare its result with an undisturbed run's.

    python -m tests.soak [--kills 50] [--seed 0] [--json FILE]

A small run of all five stages on synthetic drawings (`QUICK` below; minutes once it is compiled) is
started as a user starts it and killed with SIGKILL: while it converts, in each stage, while it
saves, computes the centres, encodes, and writes the report. The same command then resumes it. When
a run finishes in spite of that, its weights, codes and figures must equal those of an undisturbed
run, bit for bit, and the next one begins, until all kills are done.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import orjson

from benchmarks.record import REPOSITORY, parser, report
from sketchjax.files import sha256

QUICK = {
    "data.synthetic_per_category": 12,
    "data.points": 32,
    "data.shards": 2,
    "drawing.size": 48,
    "model.bits": 16,
    "model.encoders.cnn.width": 0.06,
    "model.encoders.cnn.dense_features": 16,
    "model.encoders.rnn.hidden": 4,
    "train.batch_size": 8,
    "train.inner_steps": 2,
    "train.outer_steps": 4,
    "train.checkpoint_seconds": 0.0,
    "evaluation.batch_size": 32,
}
STAGES = ("cnn", "rnn", "joint", "center", "full")
ORDER = (
    "conversion",
    *(f"stage {stage}" for stage in STAGES[:3]),
    "centres",
    *(f"stage {stage}" for stage in STAGES[3:]),
    "report",
)
ANY_TIME = ("saving", "encoding")
# Figures that depend on the clock or the place.
UNLIKE = ("seconds_total", "sketches_per_second", "config")


class Run:
    """One workdir, and the command that fills it."""

    def __init__(self, workdir: Path):
        self.workdir, self.log = workdir, workdir.with_name(workdir.name + ".log")
        self._read = 0

    def start(self) -> subprocess.Popen:
        """Start the run, or resume it; its output is appended to the log."""
        fields = [f"--config.{name}={value}" for name, value in QUICK.items()]
        config = REPOSITORY / "configs" / "quickstart.py"
        command = [sys.executable, "-m", "sketchjax.main", f"--config={config}", *fields]
        self._read = len(self.said())
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*command, f"--workdir={self.workdir}"], stdout=log, stderr=log, cwd=REPOSITORY
            )

    def said(self) -> str:
        """All output of its processes."""
        return self.log.read_text() if self.log.exists() else ""

    def says(self, text: str) -> bool:
        """Whether the process that was started last has printed this."""
        return text in self.said()[self._read :]

    def has(self, pattern: str) -> bool:
        """Whether there are files of this pattern in the workdir."""
        return any(self.workdir.glob(pattern))

    def result(self) -> dict:
        """What must be the same: digests of weights and codes, and all figures."""
        files = [*self.workdir.glob("weights/*"), *self.workdir.glob("codes/*")]
        figures = orjson.loads((self.workdir / "results.json").read_bytes())
        kept = {name: value for name, value in figures.items() if name not in UNLIKE}
        return kept | {path.name: sha256(path) for path in sorted(files)}


def moments(run: Run) -> dict[str, Callable[[], bool]]:
    """By name, what can be observed from outside when the run gets there."""
    stages = {f"stage {stage}": lambda stage=stage: run.says(f"\n{stage} ") for stage in STAGES}
    return {
        "conversion": lambda: run.has("data/.partial/*"),
        **stages,
        "centres": lambda: run.says("centres "),
        "report": lambda: run.has("codes/*"),
        "saving": lambda: run.has("checkpoints/.*.partial"),
        "encoding": lambda: run.says("encoding "),
    }


def next_moment(chance: random.Random, last: str, killed: Counter[str]) -> str:
    """A moment that may follow the last one: the same again, a later one, or one of any time.

    Of these, one in which there were the fewest kills so far.
    """
    place = ORDER.index(last)
    coming = [*ORDER[place : place + 3], *ANY_TIME]
    fewest = min(killed[name] for name in coming)
    return chance.choice([name for name in coming if killed[name] == fewest])


def strike(run: Run, name: str, delay: float) -> bool:
    """Start the run and kill it `delay` s after the moment; whether it was still running."""
    process, there = run.start(), moments(run)[name]
    try:
        while process.poll() is None and not there():
            time.sleep(0.002)
        time.sleep(delay)
        alive = process.poll() is None
    finally:
        process.kill()
        code = process.wait()
    if not alive and code:
        raise SystemExit(f"the run ended with {code} by itself; see {run.log}")
    return alive


def soak(folder: Path, kills: int, seed: int) -> dict:
    """Kill until there were enough; returns the counts."""
    chance = random.Random(seed)
    untouched = Run(folder / "untouched")
    start = time.monotonic()
    if code := untouched.start().wait():
        raise SystemExit(f"the run without kills ended with {code}; see {untouched.log}")
    wanted, seconds = untouched.result(), time.monotonic() - start
    killed: Counter[str] = Counter()
    runs = same = 0
    while killed.total() < kills:
        run, runs = Run(folder / f"run{runs}"), runs + 1
        over, last = False, ORDER[0]
        while not over and killed.total() < kills:
            name = next_moment(chance, last, killed)
            last = name if name in ORDER else last
            # Some at once, some in the middle of what began at the moment.
            if strike(run, name, chance.choice([0.0, 0.05, 0.3, 1.0]) * chance.random()):
                killed[name] += 1
            over = run.has("results.json")
            print(f"{killed.total()} kills, run {runs}: {name}", flush=True)
        if code := run.start().wait():
            raise SystemExit(f"after its kills the run ended with {code}; see {run.log}")
        same += run.result() == wanted
    return {
        "kills": killed.total(),
        "runs": runs,
        "runs_bit_for_bit_the_same": same,
        "seconds_of_a_run_without_kills": seconds,
        **{f"kills_in_{name.replace(' ', '_')}": killed[name] for name in (*ORDER, *ANY_TIME)},
    }


def main() -> None:
    """Soak, print, and write the figures; exit with 1 when a run ended differently."""
    arguments = _flags().parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        figures = soak(folder, arguments.kills, arguments.seed)
    report("soak", figures, arguments.json)
    sys.exit(figures["runs"] != figures["runs_bit_for_bit_the_same"])


def _flags() -> argparse.ArgumentParser:
    flags = parser(__doc__)
    flags.add_argument("--kills", type=int, default=50)
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--folder", type=Path, help="keep all workdirs there")
    return flags


if __name__ == "__main__":
    main()
