"""What surrounds the compiled step: input, metrics, logging, checkpoints.

    python -m benchmarks.loop [--sizes sample|paper] [--dispatches 12] [--folder DATA_FOLDER]
        [--json FILE]

`input_resident` and `input_stream` are the seconds of a dispatch of the joint stage that takes its
sketches from the feed, over those of the same dispatch on a constant block, in turn, median.
`outside_dispatches` is the share of a real training's wall time, from its second dispatch to its
last, in which no dispatch is running; it logs as always and saves a checkpoint every 10 s, where
a run does every 300 s.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import jax
import numpy as np

from benchmarks import workload
from benchmarks.feed import data_folder
from benchmarks.record import parser, report
from benchmarks.train_step import input_ratio
from sketchjax.config import Config
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.inputs import SKETCH
from sketchjax.errors import Stopped
from sketchjax.run import experiment
from sketchjax.run.log import RunLog
from sketchjax.train.checkpoint import Checkpoints
from sketchjax.train.split import TrainingSplit
from sketchjax.train.supply import Supply

STAGE = "joint"


class TimedLog(RunLog):
    """Also records when each dispatch was reported, and how long it took."""

    def __init__(self, workdir: Path):
        super().__init__(workdir)
        self.reported: list[tuple[float, float]] = []

    def dispatch(self, stage, before, logged, seconds) -> None:
        super().dispatch(stage, before, logged, seconds)
        self.reported.append((time.perf_counter(), logged.seconds))


def input_figures(sizes: str, folder: Path, rounds: int, workdir: Path) -> dict[str, float]:
    """Real input over a constant block, for both feeds."""
    work, found = workload.make_workload(sizes, "float32", 0, folder), {}
    for kind in ("resident", "stream"):
        work.config.data.feed = kind
        training = workload.make_training(work, STAGE)
        with RunLog(workdir) as log:
            manifest = Manifest.load(folder)
            split = TrainingSplit(folder, manifest, np.zeros(len(manifest.categories), bool))
            supply = Supply(work.config, folder, {SKETCH: split}, workdir, log)
            feed = supply.feed(training.stage, position=0, detour=0)
        training = training._replace(load=feed.load)
        state = workload.make_state(work, training)
        stage = workload.compile_dispatch(
            training, feed.held, state, feed.take(1), jax.local_devices()
        )
        found[f"input_{kind}"] = input_ratio(stage, lambda feed=feed: feed.take(1), rounds)
        feed.close()
    return found


def outside_dispatches(sizes: str, folder: Path, dispatches: int, workdir: Path) -> float:
    """Share of the wall time of a training in which the devices have nothing to do."""
    config = one_stage(sizes, folder)
    with Checkpoints(workdir / "checkpoints", keep=2) as checkpoints, TimedLog(workdir) as log:

        def enough() -> bool:
            return len(log.reported) >= dispatches - 1

        this = experiment.assemble(
            config, workdir, folder, checkpoints, log, enough, time.monotonic()
        )
        with suppress(Stopped):
            for _ in this.trainer.stages():
                pass
    # The first report of a run is slow: it compiles the learning rate.
    reported = log.reported[1:]
    return 1 - sum(seconds for _, seconds in reported[1:]) / (reported[-1][0] - reported[0][0])


def one_stage(sizes: str, folder: Path) -> Config:
    """The config of these sizes with only the joint stage, and one block per dispatch."""
    config = workload.load_config(sizes, "float32")
    config.data.dir = str(folder)
    config.train.outer_steps, config.train.checkpoint_seconds = 1, 10.0
    for stage in config.stages.values():
        stage.epochs = 0
    config.stages[STAGE].epochs = 1
    return config


def main() -> None:
    """Measure, print, and write the figures."""
    arguments = _flags().parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folder = arguments.folder or data_folder(scratch)
        figures = input_figures(arguments.sizes, folder, arguments.rounds, scratch / "input")
        figures["outside_dispatches"] = outside_dispatches(
            arguments.sizes, folder, arguments.dispatches, scratch / "run"
        )
    report("loop", {"sizes": arguments.sizes, **figures}, arguments.json)


def _flags() -> argparse.ArgumentParser:
    flags = parser(__doc__)
    flags.add_argument("--sizes", choices=tuple(workload.CLASSES), default="sample")
    flags.add_argument("--rounds", type=int, default=5)
    flags.add_argument("--dispatches", type=int, default=12)
    flags.add_argument("--folder", type=Path, help="a data folder that `sketchjax convert` made")
    return flags


if __name__ == "__main__":
    main()
