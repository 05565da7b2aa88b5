"""One run, read from top to bottom: data, stages, codes, scores, report."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from sketchjax import __version__, parallel
from sketchjax.config import Config, flat, validate
from sketchjax.data.convert import convert
from sketchjax.data.feed import Scan, blocks_per_epoch, scan_feed, train_feed
from sketchjax.data.manifest import Manifest
from sketchjax.data.shards import Shards
from sketchjax.errors import ConfigError, Stopped
from sketchjax.models import network as networks
from sketchjax.models.weights import load_weights, save_weights
from sketchjax.ops.hamming import pack_codes
from sketchjax.report.material import EntropyExample, Neighbour, PrecisionRecall, Retrieval
from sketchjax.report.page import write_report
from sketchjax.report.progress import TrainingProgress
from sketchjax.report.writers import (
    Writers,
    read_metrics,
    read_results,
    write_results,
    write_whole,
)
from sketchjax.retrieval import metrics
from sketchjax.retrieval.encode import Encoded, Encoder, binarize, concatenate
from sketchjax.retrieval.index import search
from sketchjax.train import stages, state
from sketchjax.train.centers import class_centers
from sketchjax.train.checkpoint import Checkpoints
from sketchjax.train.loop import Logged, run_stage
from sketchjax.train.step import Training


@dataclass
class Run:
    """What the parts of a run share. progress: what a checkpoint holds beside the state."""

    config: Config
    workdir: Path
    folder: Path
    manifest: Manifest
    network: networks.Network
    plan: list[stages.Stage]
    bar: TrainingProgress
    writers: Writers
    checkpoints: Checkpoints
    should_stop: Callable[[], bool]
    progress: dict[str, Any]

    def scan(self, split: str) -> Iterator[Scan]:
        """One ordered pass over a split."""
        return scan_feed(
            self.folder,
            split,
            batch=self.config.evaluation.batch_size,
            points=self.config.data.points,
        )

    def encode(self, variables: dict, split: str, branch: str = "both") -> Encoded:
        """Features and predictions of a whole split, with a progress bar."""
        encoder = Encoder(self.network, branch)
        batches = ((scan.batch, scan.mask) for scan in self.scan(split))
        parts = []
        with self.bar.task(f"encoding {split}", total=self.manifest.counts[split]) as advance:
            for part in encoder.stream(variables, batches):
                parts.append(part)
                advance(len(part.labels))
        return concatenate(parts)


def run(
    config: Config, workdir: Path, should_stop: Callable[[], bool] = lambda: False
) -> dict[str, Any]:
    """Train, encode, evaluate and report; go on where an earlier call of the same config ended.

    Returns the results, as in WORKDIR/results.json.
    Raises the errors of `sketchjax.errors`; Stopped when `should_stop` asked for it.
    """
    validate(config, devices=jax.local_device_count())
    check_same_config(config, workdir)
    finished = read_results(workdir)
    if finished is not None:
        return finished
    folder = prepare_data(config, workdir)
    manifest = Manifest.load(folder)
    block = config.train.batch_size * config.train.inner_steps
    network = networks.build(
        config,
        classes=len(manifest.categories),
        offset_scale=manifest.offset_scale,
        axis_name=parallel.AXIS,
    )
    with Writers(workdir) as writers, TrainingProgress() as bar:
        checkpoints = Checkpoints(workdir / "checkpoints", keep=config.train.keep_checkpoints)
        this = Run(
            config=config,
            workdir=workdir,
            folder=folder,
            manifest=manifest,
            network=network,
            plan=stages.plan(config, blocks_per_epoch(folder, block)),
            bar=bar,
            writers=writers,
            checkpoints=checkpoints,
            should_stop=should_stop,
            progress={"done": [], "seconds": {}, "sketches": {}, "scores": {}, "feed": None},
        )
        try:
            variables = train(this)
        finally:
            checkpoints.close()
        return finish(this, variables)


# --- 1. data ---------------------------------------------------------------------------------


def prepare_data(config: Config, workdir: Path) -> Path:
    """The converted folder: as it is, or made from `data.source`."""
    data = config.data
    folder = Path(data.dir) if data.dir else workdir / "data"
    if (folder / "manifest.json").exists() or not data.source:
        return folder
    sources = [data.source]
    if data.source == "synthetic":
        sources = [draw_synthetic(config, workdir)]
    convert(
        sources,
        folder,
        splits=data.split_file or data.splits.to_dict(),
        categories=list(data.categories) or None,
        recognized_only=data.recognized_only,
        max_per_category=data.max_per_category or None,
        shards=data.shards,
        seed=config.seed,
        on_bad=data.on_bad,
    )
    return folder


def draw_synthetic(config: Config, workdir: Path) -> Path:
    """Ordinary ndjson files of synthetic doodles, which then go the way of all drawings."""
    # Its programs are compiled when imported: nothing for runs on real drawings.
    from sketchjax.data import synthetic

    folder = workdir / "drawings"
    synthetic.write(
        folder,
        per_category=config.data.synthetic_per_category,
        seed=config.seed,
        categories=config.data.categories or None,
    )
    return folder


# --- 2. training -----------------------------------------------------------------------------


def train(this: Run) -> dict:
    """Run the stages that are still to do; returns the variables that the last one left."""
    variables = first_variables(this)
    latest = this.checkpoints.latest()
    if latest is not None:
        this.progress = latest[1]
        this.writers.truncate_after(latest[0])
    else:
        this.writers.truncate_after(-1)
    resumed = latest
    for stage in this.plan:
        if stage.name in this.progress["done"][:-1]:
            continue
        training = make_training(this, stage)
        at_start = state.start(this.network, training.optimizer, stage, variables)
        if stage.name in this.progress["done"]:
            # The newest checkpoint is the end of this stage, or lies in the one after it.
            if resumed is not None and this.progress["stage"] == stage.name:
                variables = this.checkpoints.restore(resumed[0], at_start).variables
                resumed = None
            continue
        if resumed is not None:
            current = this.checkpoints.restore(resumed[0], at_start)
            resumed = None
        else:
            current = with_centers(this, stage, at_start)
        variables = train_stage(this, stage, training, current)
    return variables


def first_variables(this: Run) -> dict:
    """Fresh parameters, with the branches of `train.pretrained` in place of their own."""
    key = jax.random.key(this.config.seed)
    variables = jax.jit(this.network.initialise, static_argnums=1)(key, this.config.data.points)
    if not this.config.train.pretrained:
        return variables
    source = Path(this.config.train.pretrained) / "weights" / "rnn.safetensors"
    loaded = load_weights(source)
    for collection, parts in variables.items():
        for part in ("cnn", "rnn", "cnn_classifier", "rnn_classifier"):
            if part in parts:
                parts[part] = fitting(loaded[collection][part], parts[part], source, part)
    return variables


def fitting(loaded: Any, own: Any, source: Path, part: str) -> Any:
    """Loaded arrays, when their names and shapes are those of this config's model."""
    if jax.tree.map(np.shape, loaded) != jax.tree.map(np.shape, own):
        raise ConfigError(
            f"train.pretrained: {source} holds another model's {part}; give a run with the same "
            "model.cnn, model.rnn and categories"
        )
    return jax.tree.map(jax.numpy.asarray, loaded)


def make_training(this: Run, stage: stages.Stage) -> Training:
    """The fixed things of a stage."""
    settings = this.config.train
    optimizer = stages.optimizer(
        stage, weight_decay=settings.weight_decay, clip_norm=settings.clip_norm
    )
    return Training(this.network, stage, optimizer, parallel.average, this.config.seed)


def with_centers(this: Run, stage: stages.Stage, current: state.State) -> state.State:
    """The state with class centres of its own features, where the stage needs them.

    They are fixed from the stage before on: stage 5 keeps the centres of stage 4.
    """
    if not stage.row.centers:
        return current
    path = this.workdir / "centers.npy"
    computed_here = stage.name == next(s.name for s in this.plan if s.row.centers)
    if computed_here:
        centers = compute_centers(this, current.variables)
        save_array(path, centers)
    return current.replace(centers=jax.numpy.asarray(np.load(path)))


def compute_centers(this: Run, variables: dict) -> np.ndarray:
    """One streaming pass over the training set."""
    entropies = []

    def batches():
        for scan in this.scan("train"):
            entropies.append(scan.entropy[scan.mask])
            yield scan.batch, scan.mask

    def parts():
        total = this.manifest.counts["train"]
        with this.bar.task("centres", total=total) as advance:
            encoded = Encoder(this.network).stream(variables, batches())
            for number, part in enumerate(encoded):
                advance(len(part.labels))
                yield part, entropies[number]

    low, high = np.asarray(this.manifest.entropy_low), np.asarray(this.manifest.entropy_high)
    return class_centers(parts(), low, high, this.config.model.bits)


def save_array(path: Path, array: np.ndarray) -> None:
    """Write a .npy file whole or not at all."""
    partial = path.with_name(path.name + ".partial.npy")
    np.save(partial, array)
    os.replace(partial, path)


def train_stage(this: Run, stage: stages.Stage, training: Training, current: state.State) -> dict:
    """One stage to its end: log, save now and then, evaluate, save; returns its variables."""
    settings = this.config.train
    feed = train_feed(
        this.folder,
        block=settings.batch_size * settings.inner_steps,
        points=this.config.data.points,
        seed=this.config.seed * len(stages.ROWS) + stage.number,
        workers=settings.workers,
    )
    if int(current.step):
        feed.set_state(this.progress["feed"])
    epochs = stage.blocks / stage.blocks_per_epoch
    this.bar.stage(stage.name, epochs=epochs, steps=stage.steps, done=int(current.step))
    saved = time.monotonic()
    for logged in run_stage(training, current, feed, outer_steps=settings.outer_steps):
        current = logged.state
        log(this, stage, logged)
        done = int(current.step) >= stage.steps
        if this.should_stop() and not done:
            save(this, stage, current, logged.feed_state)
            raise Stopped(
                f"stopped in stage {stage.name} after {int(current.step)} of {stage.steps} steps; "
                "the state is saved: run the same command again to go on"
            )
        if not done and time.monotonic() - saved > settings.checkpoint_seconds:
            save(this, stage, current, logged.feed_state)
            saved = time.monotonic()
    evaluate_stage(this, stage, current)
    save_weights(this.workdir / "weights" / f"{stage.name}.safetensors", current.variables)
    this.progress["done"].append(stage.name)
    save(this, stage, current, None)
    return current.variables


def steps_before(this: Run, stage: stages.Stage) -> int:
    """Steps of all stages before this one."""
    return sum(other.steps for other in this.plan if other.number < stage.number)


def save(this: Run, stage: stages.Stage, current: state.State, feed_state: Any) -> None:
    """Start saving the one tuple that a run goes on from."""
    this.progress |= {"stage": stage.name, "feed": feed_state}
    this.writers.flush()
    number = steps_before(this, stage) + int(current.step)
    this.checkpoints.save(number, current, this.progress)


def log(this: Run, stage: stages.Stage, logged: Logged) -> None:
    """Count and write what a dispatch did."""
    progress = this.progress
    for name, value in (("seconds", logged.seconds), ("sketches", logged.sketches)):
        progress[name][stage.name] = progress[name].get(stage.name, 0) + value
    step = int(logged.state.step)
    speed = logged.sketches / logged.seconds
    values = logged.metrics | {
        "stage_step": step,
        "epoch": step / stage.steps_per_epoch,
        "learning_rate": float(stages.learning_rate(stage)(step)),
        "sketches_per_second": speed,
        "seconds": sum(progress["seconds"].values()),
    }
    this.writers.write(steps_before(this, stage) + step, values, stage.name)
    this.bar.update(
        step,
        sketches_per_second=speed,
        loss=logged.metrics["loss"],
        accuracy=logged.metrics["accuracy"],
    )


def evaluate_stage(this: Run, stage: stages.Stage, current: state.State) -> None:
    """Validation accuracy after every stage, and the retrieval's scores where asked for."""
    values: dict[str, float] = {}
    if this.manifest.counts.get("validation"):
        encoded = this.encode(current.variables, "validation", stage.row.branch)
        values["validation_accuracy"] = metrics.accuracy(encoded.predictions, encoded.labels)
    if stage.name in this.config.evaluation.after_stages:
        gallery = this.encode(current.variables, "gallery")
        query = this.encode(current.variables, "query")
        scores = score(this.config, gallery, query)
        values |= {
            name: value
            for name, value in scores.as_dict().items()
            if name.startswith(("map", "precision_at", "d1", "d2"))
        }
        values["accuracy_gallery"] = metrics.accuracy(gallery.predictions, gallery.labels)
    this.progress["scores"][stage.name] = values
    this.writers.write(steps_before(this, stage) + stage.steps, values, stage.name)
    shown = ("validation_accuracy", "map", "precision_at_100", "accuracy_gallery")
    figures = "  ".join(f"{name} {values[name]:.4f}" for name in shown if name in values)
    this.bar.note(f"after stage {stage.name}: {figures}")


# --- 3. codes, scores, report ----------------------------------------------------------------


def score(config: Config, gallery: Encoded, query: Encoded) -> metrics.Scores:
    """Exact scores of the query codes against the gallery's."""
    return metrics.evaluate(
        pack_codes(binarize(query.features)),
        query.labels,
        pack_codes(binarize(gallery.features)),
        gallery.labels,
        bits=config.model.bits,
        precision_at=sorted({100, 200, *config.evaluation.precision_at}),
    )


def finish(this: Run, variables: dict) -> dict[str, Any]:
    """Codes of gallery and query, their scores, results.json and the report."""
    gallery, query = this.encode(variables, "gallery"), this.encode(variables, "query")
    codes = {}
    for split, encoded in (("gallery", gallery), ("query", query)):
        codes[split] = pack_codes(binarize(encoded.features))
        (this.workdir / "codes").mkdir(exist_ok=True)
        save_array(this.workdir / "codes" / f"{split}.npy", codes[split])
        save_array(this.workdir / "codes" / f"{split}_labels.npy", encoded.labels)
    scores = score(this.config, gallery, query)
    results = collect_results(this, scores, gallery, query)
    write_report(
        this.workdir,
        results=results,
        metrics=read_metrics(this.workdir),
        curve=PrecisionRecall(scores.curve.recall, scores.curve.precision),
        entropy_example=entropy_example(this),
        retrievals=example_retrievals(this, codes, scores, gallery, query),
        title=this.config.name,
        measured_on="queries against the gallery",
    )
    # Last: a folder with results.json is a run that came to its end.
    write_results(this.workdir, results)
    return results


def collect_results(
    this: Run, scores: metrics.Scores, gallery: Encoded, query: Encoded
) -> dict[str, Any]:
    """The flat object of results.json."""
    progress = this.progress
    speeds = {
        name: progress["sketches"][name] / seconds for name, seconds in progress["seconds"].items()
    }
    return scores.as_dict() | {
        "accuracy": metrics.accuracy(gallery.predictions, gallery.labels),
        "accuracy_query": metrics.accuracy(query.predictions, query.labels),
        "classes": len(this.manifest.categories),
        "train": this.manifest.counts["train"],
        "cut_to_points": this.manifest.longer_than(this.config.data.points, "train"),
        "seconds_total": sum(progress["seconds"].values()),
        "sketches_per_second": speeds,
        "after_stages": progress["scores"],
        "config": this.config.to_dict(),
        "versions": versions(),
        "device": device_name(),
    }


def versions() -> dict[str, str]:
    """Of this project and of what its figures depend on."""
    from importlib.metadata import version

    names = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
    return {"sketchjax": __version__} | {name: version(name) for name in names}


def device_name() -> str:
    """Kind and number of the devices, such as `cpu x 1`."""
    return f"{jax.devices()[0].device_kind} x {jax.device_count()}"


def entropy_example(this: Run, shown: int = 6) -> EntropyExample | None:
    """The training sketches of the category with the widest entropies, from its three parts."""
    low, high = np.asarray(this.manifest.entropy_low), np.asarray(this.manifest.entropy_high)
    category = this.manifest.categories
    label = category.index("star") if "star" in category else int((high - low).argmax())
    with Shards(this.folder, "train") as shards:
        records = shards.read(np.arange(len(shards)))
        own = np.flatnonzero(records.labels == label)
        entropies = records.entropies[own]
        order = np.argsort(entropies, kind="stable")
        below, above = (entropies < low[label]).sum(), (entropies > high[label]).sum()
        inside = order[below : len(own) - above]
        parts = (
            order[:below][:shown],
            inside[np.linspace(0, len(inside) - 1, min(shown, len(inside))).astype(int)],
            order[len(own) - above :][-shown:],
        )
        sketches = [[points_of(records, own[i]) for i in part] for part in parts]
    return EntropyExample(
        category[label], entropies, float(low[label]), float(high[label]), *sketches
    )


def points_of(records: Any, index: int) -> np.ndarray:
    """The points u8[t 3] of one record."""
    return records.points[records.offsets[index] : records.offsets[index + 1]].copy()


def example_retrievals(
    this: Run,
    codes: dict[str, np.ndarray],
    scores: metrics.Scores,
    gallery: Encoded,
    query: Encoded,
) -> list[Retrieval]:
    """The nearest gallery sketches of a few queries of different classes, easy and hard ones.

    The queries stand at even steps of the ranking by average precision: no choice of ours.
    """
    ranked = scores.query[np.argsort(-scores.average_precision, kind="stable")]
    steps = np.linspace(0.1, 0.95, this.config.evaluation.queries_shown)
    chosen = ranked[(steps * (len(ranked) - 1)).astype(int)]
    distances, places = search(
        codes["query"][chosen], codes["gallery"], this.config.evaluation.retrieved
    )
    names = this.manifest.categories
    retrievals = []
    with Shards(this.folder, "query") as queries, Shards(this.folder, "gallery") as items:
        own = queries.read(query.index[chosen])
        for row, number in enumerate(chosen):
            found = items.read(gallery.index[places[row]])
            label = query.labels[number]
            neighbours = [
                Neighbour(
                    points_of(found, i),
                    names[found.labels[i]],
                    int(distances[row, i]),
                    bool(found.labels[i] == label),
                )
                for i in range(len(found.labels))
            ]
            retrievals.append(Retrieval(points_of(own, row), names[label], neighbours))
    return retrievals


# --- the config of a workdir -----------------------------------------------------------------

# Fields that may change between two calls on one workdir: they do not change the figures.
FREE_FIELDS = ("debug", "train.checkpoint_seconds", "train.keep_checkpoints", "train.workers")


def check_same_config(config: Config, workdir: Path) -> None:
    """Keep the config in WORKDIR/config.json; refuse to go on with another one.

    Raises ConfigError naming the fields that differ.
    """
    import orjson

    path = workdir / "config.json"
    now = orjson.loads(orjson.dumps(flat(config), default=list))
    if path.exists():
        before = orjson.loads(path.read_bytes())
        differing = [
            f"{name}: {before.get(name)!r} before, {now.get(name)!r} now"
            for name in sorted({*before, *now} - {*FREE_FIELDS})
            if before.get(name) != now.get(name)
        ]
        if differing:
            raise ConfigError(
                [f"{workdir} holds a run of another config; use another --workdir", *differing]
            )
        return
    write_whole(path, orjson.dumps(now, option=orjson.OPT_INDENT_2))
