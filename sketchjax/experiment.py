"""One run, read from top to bottom: data, stages, codes, scores, report."""

import io
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from sketchjax import parallel
from sketchjax.config import Config, validate
from sketchjax.data.feed import Order
from sketchjax.data.manifest import NAME
from sketchjax.errors import Stopped
from sketchjax.files import sha256, write_whole
from sketchjax.models import network as networks
from sketchjax.models.weights import save_weights
from sketchjax.ops.hamming import pack_codes
from sketchjax.report.announcement import announcement
from sketchjax.report.examples import entropy_example, example_retrievals
from sketchjax.report.log import RunLog
from sketchjax.report.page import write_report
from sketchjax.report.results import collect_results, radius_curve
from sketchjax.report.writers import read_metrics, read_results, write_results
from sketchjax.retrieval import metrics
from sketchjax.retrieval.encode import Encoded, binarize
from sketchjax.retrieval.passes import Passes
from sketchjax.train import stages
from sketchjax.train.checkpoint import Checkpoints, Progress
from sketchjax.train.data import await_data, check_data, prepare_data
from sketchjax.train.feeds import Feeds
from sketchjax.train.run import Trainer
from sketchjax.train.workdir import alone, check_config, keep_config


def run(
    config: Config, workdir: Path, should_stop: Callable[[], bool] = lambda: False
) -> dict[str, Any]:
    """Train, encode, evaluate and report; go on where an earlier call of the same config ended.

    Returns the results, as in WORKDIR/results.json.
    Raises the errors of `sketchjax.errors`; Stopped when `should_stop` asked for it.
    """
    started = time.monotonic()
    validate(config, devices=jax.device_count())
    check_config(config, workdir)
    finished = read_results(workdir)
    if parallel.anywhere(finished is not None):
        return finished or read_results(workdir) or {}
    first = jax.process_index() == 0
    with alone(workdir) if first else nullcontext() as left:
        if first:
            keep_config(config, workdir)
        folder = prepare_data(config, workdir) if first else await_data(config, workdir)
        keep = config.train.keep_checkpoints
        with (
            Checkpoints(workdir / "checkpoints", keep=keep, active=first) as checkpoints,
            RunLog(workdir, active=first) as log,
        ):
            # All processes stop where one of them is asked to: none waits for another in vain.
            asked = lambda: parallel.anywhere(should_stop())  # noqa: E731
            this = assemble(config, workdir, folder, checkpoints, log, asked, started)
            plan, passes = this.trainer.plan, this.passes
            if left:
                log.note(left)
            log.note(announcement(config, passes.manifest, passes.network, plan))
            log.note(this.trainer.feeds.choice[1])
            variables = {}
            for stage, current in this.trainer.stages():
                variables = current.variables
                evaluate_stage(this, stage, variables)
                if first:
                    save_weights(workdir / "weights" / f"{stage.name}.safetensors", variables)
            return finish(this, variables)


# --- 1. the parts ----------------------------------------------------------------------------


@dataclass
class Run:
    """What the parts of a run share. passes: over the data folder; trainer: of all stages."""

    config: Config
    workdir: Path
    passes: Passes
    trainer: Trainer
    log: RunLog


def assemble(
    config: Config,
    workdir: Path,
    folder: Path,
    checkpoints: Checkpoints,
    log: RunLog,
    should_stop: Callable[[], bool],
    started: float,
) -> Run:
    """The network of a config, the plan of its stages, and their trainer, for a data folder."""
    manifest = check_data(folder)
    network = networks.build(
        config,
        classes=len(manifest.categories),
        offset_scale=manifest.offset_scale,
        axis_name=parallel.AXIS,
    )

    def check() -> None:
        if should_stop():
            raise Stopped("stopped between two saves; run the same command again to go on")

    passes = Passes(
        network,
        folder,
        manifest,
        batch=config.evaluation.batch_size,
        points=config.data.points,
        task=log.task,
        check=check,
    )
    order = Order(
        manifest.counts["train"], config.train.batch_size, config.train.inner_steps, key=()
    )
    trainer = Trainer(
        config=config,
        feeds=Feeds(config, folder, workdir, log),
        workdir=workdir,
        network=network,
        plan=stages.plan(config, order.blocks_per_epoch),
        passes=passes,
        checkpoints=checkpoints,
        log=log,
        should_stop=should_stop,
        progress=Progress(data=sha256(folder / NAME)),
        started=started,
    )
    return Run(config, workdir, passes, trainer, log)


def evaluate_stage(this: Run, stage: stages.Stage, variables: dict) -> None:
    """Validation accuracy after every stage, and the retrieval's scores where asked for.

    Those of the last stage are the run's own: `finish` takes them.
    """
    values: dict[str, float] = {}
    if this.passes.manifest.counts.get("validation"):
        encoded = this.passes.encode(variables, "validation", stage.row.branch)
        values["validation_accuracy"] = metrics.accuracy(encoded.predictions, encoded.labels)
    if stage.name in this.config.evaluation.after_stages and stage is not this.trainer.plan[-1]:
        gallery = this.passes.encode(variables, "gallery")
        query = this.passes.encode(variables, "query")
        values |= stage_scores(score(this, gallery, query), gallery)
    this.trainer.progress.scores[stage.name] = values
    this.log.scores(stage, this.trainer.steps_before(stage), values)


# --- 2. codes, scores, report ----------------------------------------------------------------


def score(this: Run, gallery: Encoded, query: Encoded) -> metrics.Scores:
    """Exact scores of the query codes against the gallery's."""
    return metrics.evaluate(
        pack_codes(binarize(query.features)),
        query.labels,
        pack_codes(binarize(gallery.features)),
        gallery.labels,
        bits=this.config.model.bits,
        precision_at=sorted({100, 200, *this.config.evaluation.precision_at}),
    )


def stage_scores(scores: metrics.Scores, gallery: Encoded) -> dict[str, float]:
    """What is told of the codes after a stage."""
    values = {
        name: value
        for name, value in scores.as_dict().items()
        if name.startswith(("map", "precision_at", "d1", "d2"))
    }
    return values | {"accuracy_gallery": metrics.accuracy(gallery.predictions, gallery.labels)}


def finish(this: Run, variables: dict) -> dict[str, Any]:
    """Codes of gallery and query, their scores, the report, and last of all results.json.

    A workdir with results.json is a run that came to its end.
    """
    gallery = this.passes.encode(variables, "gallery")
    query = this.passes.encode(variables, "query")
    scores, last = score(this, gallery, query), this.trainer.plan[-1]
    values = stage_scores(scores, gallery)
    this.trainer.progress.scores[last.name] |= values
    this.trainer.progress.seconds_total = this.trainer.seconds_total()
    this.log.scores(last, this.trainer.steps_before(last), values)
    results = collect_results(
        this.config, this.passes.manifest, scores, gallery, query, this.trainer.progress
    )
    if jax.process_index() == 0:
        leave(this, scores, gallery, query, results)
    return results


def leave(
    this: Run, scores: metrics.Scores, gallery: Encoded, query: Encoded, results: dict[str, Any]
) -> None:
    """What a run leaves in its workdir: codes, report, and last of all results.json."""
    codes = {}
    for split, encoded in (("gallery", gallery), ("query", query)):
        codes[split] = pack_codes(binarize(encoded.features))
        save_array(this.workdir / "codes" / f"{split}.npy", codes[split])
        save_array(this.workdir / "codes" / f"{split}_labels.npy", encoded.labels)
    write_report(
        this.workdir,
        results=results,
        metrics=read_metrics(this.workdir),
        curve=radius_curve(scores.curve),
        entropy_example=entropy_example(this.passes.folder),
        retrievals=example_retrievals(
            this.passes.folder,
            codes,
            scores,
            gallery,
            query,
            queries=this.config.evaluation.queries_shown,
            retrieved=this.config.evaluation.retrieved,
        ),
        title=this.config.name,
        measured_on="queries against the gallery",
    )
    write_results(this.workdir, results)


def save_array(path: Path, array: np.ndarray) -> None:
    """Write a .npy file whole or not at all."""
    content = io.BytesIO()
    np.save(content, array)
    write_whole(path, content.getvalue())
