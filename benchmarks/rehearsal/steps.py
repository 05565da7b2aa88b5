"""The steps of a rehearsal, each a function that is run in a process of its own.

A step takes what earlier ones left in the folder and returns its figures; `items` is how many
drawings it has worked on.
"""

from __future__ import annotations

import itertools
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

# The libraries that only some steps need are imported there: a step's memory is then its own.

POINTS, BATCH, STEPS_OF_A_BLOCK = 128, 256, 4
DISPATCHES = 3  # of each stage
QUERIES = 200
MODEL = "model.safetensors"

Figures = dict[str, Any]


@dataclass(frozen=True)
class Rehearsal:
    """What is rehearsed, and where.

    folder: of everything that the steps write.
    counts: drawings of each category by split; empty: all of them go to the gallery, and an index
      of them is made of codes without a network.
    """

    folder: Path
    counts: dict[str, int]

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    @property
    def run(self) -> Path:
        """The workdir of the training."""
        return self.folder / "run"


def convert(rehearsal: Rehearsal) -> Figures:
    from sketchjax.data.folder.conversion.convert import convert as run

    splits = rehearsal.counts or {"gallery": 1.0}
    manifest = run([rehearsal.folder / "drawings"], rehearsal.data, splits=splits, progress=False)
    kept = sum(manifest.counts.values())
    return {"items": kept + sum(manifest.left_out.values()), "kept": kept}


def verify(rehearsal: Rehearsal) -> Figures:
    from sketchjax.data.folder.verify import verify as run

    return {"items": sum(run(rehearsal.data).counts.values())}


def stream(rehearsal: Rehearsal) -> Figures:
    """One epoch of batches that the host reads."""
    from sketchjax.data.feed.streaming import train_feed
    from sketchjax.data.folder.manifest import Manifest

    order = _order(Manifest.load(rehearsal.data).counts["train"])
    feed = train_feed(rehearsal.data, order, points=POINTS)
    for _ in itertools.islice(feed, order.blocks_per_epoch):
        pass
    return {"items": order.blocks_per_epoch * STEPS_OF_A_BLOCK * BATCH}


def resident(rehearsal: Rehearsal) -> Figures:
    """The training split in the device's memory, and a few batches from there."""
    import jax

    from sketchjax.train.feed import ResidentFeed
    from sketchjax.train.supply import read_resident

    held = jax.device_put(read_resident(rehearsal.data, _no_task))
    size = len(held.label)
    feed = ResidentFeed(held, _order(size), points=POINTS, position=0)
    batch = jax.jit(feed.load)
    for _ in range(10):
        jax.block_until_ready(batch(held, jax.tree.map(lambda each: each[0, 0, 0], feed.take(1))))
    return {"items": size, "bytes_held": sum(leaf.nbytes for leaf in jax.tree.leaves(held))}


def train(rehearsal: Rehearsal) -> Figures:
    """A few dispatches of every stage, and the class centres that one of them begins with."""
    from sketchjax.models.weights import save_weights

    with _assembled(rehearsal) as this:
        trainer, last = this.trainer, this.trainer.plan[-1]
        blocks = DISPATCHES * this.config.train.outer_steps
        trainer.plan[:] = [replace(stage, blocks=blocks) for stage in trainer.plan]
        variables: Any = {}
        for _, state in trainer.stages():
            variables = state.variables
        save_weights(rehearsal.run / MODEL, variables, this.card(last))
        _save(rehearsal.run / "progress.pickle", trainer.progress)
        sketches, seconds = trainer.progress.sketches, trainer.progress.seconds
        speeds = {f"{name}_sketches_per_second": sketches[name] / seconds[name] for name in seconds}
        centres = this.log.seconds["centres"]
        return {"items": sum(sketches.values()), "centres_seconds": centres, **speeds}


def encode(rehearsal: Rehearsal) -> Figures:
    """Features and predictions of gallery and queries."""
    import sketchjax
    from sketchjax.data.folder.manifest import Manifest
    from sketchjax.data.inputs import SKETCH
    from sketchjax.retrieval.passes import Passes

    model = sketchjax.load(rehearsal.run / MODEL)
    forms = {SKETCH: model.network.architecture.forms[SKETCH]}
    manifest = Manifest.load(rehearsal.data)
    passes = Passes(
        model.network, rehearsal.data, manifest, batch=BATCH, forms=forms, task=_no_task
    )
    encoded = {split: passes.encode(model.variables, split) for split in ("gallery", "query")}
    _save(rehearsal.run / "encoded.pickle", (model.fingerprint, model.categories, encoded))
    return {"items": sum(len(each.labels) for each in encoded.values())}


def scores(rehearsal: Rehearsal) -> Figures:
    """Exact scores of the ranking, class distances, accuracy."""
    from sketchjax.models.table import HEADS
    from sketchjax.run import scoring

    fingerprint, categories, encoded = _load(rehearsal.run / "encoded.pickle")
    threshold = HEADS["hash"].threshold
    assert threshold is not None
    codes = {
        split: each.codes(threshold, split=split, categories=categories, model=fingerprint)
        for split, each in encoded.items()
    }
    every = np.ones(len(categories), bool)
    measured = scoring.Measured(
        codes,
        scoring.rank(codes, [("query", "gallery")], ()),
        scoring.distances_of(encoded["gallery"]),
        scoring.accuracy_of(encoded["gallery"], every),
        scoring.accuracy_of(encoded["query"], every),
        sizes={split: len(each.labels) for split, each in encoded.items()},
    )
    _save(rehearsal.run / "measured.pickle", measured)
    assert measured.scores is not None
    return {"items": measured.sizes["query"], "map": measured.scores.map}


def report(rehearsal: Rehearsal) -> Figures:
    """Everything that a run leaves behind, from its scores."""
    from sketchjax.paper.reference import reference
    from sketchjax.run.evaluation import leave
    from sketchjax.run.results import collect_results

    with _assembled(rehearsal) as this:
        this.reference = reference
        progress = _load(rehearsal.run / "progress.pickle")
        progress.scores = {stage.name: {} for stage in this.trainer.plan}
        measured = _load(rehearsal.run / "measured.pickle")
        begun = time.perf_counter()
        splits = this.trainer.supply.splits
        leave(this, measured, collect_results(this.config, splits, progress, measured))
        seconds = time.perf_counter() - begun
    return {"items": measured.sizes["gallery"], "seconds_after_scores": seconds}


def index(rehearsal: Rehearsal) -> Figures:
    """An index of the gallery, made from its drawings."""
    from sketchjax.index.build import build
    from sketchjax.index.sources import FolderSource

    source = FolderSource(rehearsal.data, "gallery")
    encoder = _encoder(rehearsal)
    build(
        rehearsal.folder / "index",
        [source],
        encoder,
        save_model=encoder.save,
        task=_no_task,
        note=lambda _: None,
    )
    return {"items": source.count()}


def search(rehearsal: Rehearsal) -> Figures:
    """The index opened, and drawings like some of its items."""
    from sketchjax.index.opening import open_index
    from sketchjax.index.search import Query, answer

    begun = time.perf_counter()
    with closing(open_index(rehearsal.folder / "index")) as engine:
        opened = time.perf_counter() - begun
        count = engine.snapshot().describe().count
        items = np.random.default_rng(0).integers(0, count, QUERIES).tolist()
        taken = [answer(engine, Query(like=item)).milliseconds.search for item in items]
    return {
        "items": count,
        "open_seconds": opened,
        "median_milliseconds": float(np.median(taken)),
        "slow_milliseconds": float(np.quantile(taken, 0.99)),
    }


# In their order. The first one, drawing the sources, is the rehearsal's own.
STEPS: dict[str, Callable[[Rehearsal], Figures]] = {
    step.__name__: step
    for step in (
        *(convert, verify, stream, resident, train),
        *(encode, scores, report, index, search),
    )
}


def small_config(data: Path) -> Any:
    """The paper's five stages with a network that reads thousands of drawings a second.

    SKETCHJAX_BENCH_TINY leaves one encoder and the last of them.
    """
    from benchmarks.workload import is_tiny
    from sketchjax.config import default, validate

    config = default()
    config.name = "rehearsal"
    config.data.dir = str(data)
    config.data.points = POINTS
    config.data.feed = "stream"  # compiled once for all sizes; `resident` is a step of its own
    config.drawing.size = 48
    config.model.bits = 64
    config.model.encoders.cnn.width = 0.06
    config.model.encoders.cnn.stem_stride = 2
    config.model.encoders.cnn.dense_features = 16
    config.model.encoders.rnn.hidden = 8
    config.model.encoders.rnn.layers = 1
    config.train.batch_size = BATCH
    config.train.inner_steps = STEPS_OF_A_BLOCK
    config.train.outer_steps = 1
    config.evaluation.batch_size = BATCH
    config.evaluation.after_stages = ()
    if is_tiny():  # a fifth of the time to compile
        config.model.branches = ("rnn",)
        for name in ("cnn", "rnn", "joint", "center"):
            config.stages[name].epochs = 0
    validate(config)
    return config


def _order(size: int) -> Any:
    from sketchjax.data.feed.order import Order

    return Order(size, BATCH, STEPS_OF_A_BLOCK, (0,))


@contextmanager
def _assembled(rehearsal: Rehearsal) -> Iterator[Any]:
    """The parts of a run of `small_config` that can be called one by one."""
    from sketchjax.run import experiment
    from sketchjax.run.log import RunLog
    from sketchjax.train.checkpoint import Checkpoints

    class TimedLog(RunLog):
        """Also keeps the seconds of each task, by name."""

        seconds: dict[str, float]

        @contextmanager
        def task(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
            begun = time.perf_counter()
            with super().task(name, total) as advance:
                yield advance
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun

    workdir = rehearsal.run
    checkpoints = Checkpoints(workdir / "checkpoints", keep=1)
    with checkpoints, TimedLog(workdir) as log:
        log.seconds = {}
        yield experiment.assemble(
            small_config(rehearsal.data),
            workdir,
            rehearsal.data,
            checkpoints,
            log,
            lambda: False,
            time.monotonic(),
        )


def _encoder(rehearsal: Rehearsal) -> Any:
    if rehearsal.counts:
        import sketchjax

        return sketchjax.load(rehearsal.run / MODEL)
    from benchmarks.rehearsal.plain_codes import PlainCodes

    return PlainCodes()


@contextmanager
def _no_task(name: str, total: int) -> Iterator[Callable[[int], None]]:
    del name, total
    yield lambda count: None


def _save(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        pickle.dump(value, file)


def _load(path: Path) -> Any:
    with path.open("rb") as file:
        return pickle.load(file)
