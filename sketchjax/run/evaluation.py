"""What a run's model is worth: after every stage, and at the end, with all that is left of it.

A network that hashes is scored by its codes, one that recognises by its accuracy alone. Where
categories were kept out of training, codes are of their sketches and accuracy of the others.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from sketchjax.config import Config
from sketchjax.config.rules import QUERIES
from sketchjax.files import write_array
from sketchjax.ops.hamming import pack_codes
from sketchjax.report.examples import entropy_example, example_retrievals
from sketchjax.report.page import write_report
from sketchjax.retrieval import metrics
from sketchjax.retrieval.class_distances import ClassDistances, class_distances
from sketchjax.retrieval.encode import Encoded, binarize
from sketchjax.retrieval.passes import Passes
from sketchjax.run.log import RunLog
from sketchjax.run.results import collect_results, radius_curve
from sketchjax.run.writers import read_metrics, write_results
from sketchjax.train.run import Trainer
from sketchjax.train.stages import Stage


@dataclass
class Run:
    """What the parts of a run share. passes: over the data folder; trainer: of all stages."""

    config: Config
    workdir: Path
    passes: Passes
    trainer: Trainer
    log: RunLog

    @property
    def unseen(self) -> np.ndarray:
        """Categories kept out of training, bool[l]."""
        return self.trainer.feeds.split.unseen


@dataclass(frozen=True)
class Measured:
    """Gallery and query as a model sees them, and what its codes and predictions are worth.

    gallery, query: of all categories that are ranked; scores, distances: None without codes;
    distances: of the gallery's features; accuracy, accuracy_query: None where no loss trained the
    classifier.
    """

    gallery: Encoded
    query: Encoded
    scores: metrics.Scores | None
    distances: ClassDistances | None
    accuracy: float | None
    accuracy_query: float | None

    def values(self) -> dict[str, float]:
        """What is told of a stage."""
        values: dict[str, float] = {}
        if self.scores is not None:
            values = {
                name: value
                for name, value in self.scores.as_dict().items()
                if name.startswith(("map", "precision_at", "d1", "d2"))
            }
        if self.accuracy is not None:
            values["accuracy_gallery"] = self.accuracy
        return values


def evaluate_stage(this: Run, stage: Stage, variables: dict) -> None:
    """Validation accuracy after every stage, and the retrieval's scores where asked for.

    Those of the last stage are the run's own: `finish` takes them.
    """
    values: dict[str, float] = {}
    if this.passes.manifest.counts.get("validation") and _classifies(this, stage):
        encoded = this.passes.encode(variables, "validation", stage.row.branch, features=False)
        values["validation_accuracy"] = _accuracy(this, encoded)
    if stage.name in this.config.evaluation.after_stages and stage is not this.trainer.plan[-1]:
        values |= measure(this, stage, variables).values()
    this.trainer.progress.scores[stage.name] = values
    this.log.scores(stage, this.trainer.steps_before(stage), values)


def measure(this: Run, stage: Stage, variables: dict) -> Measured:
    """Encode gallery and query with the model of a stage, and score them."""
    hashes = stage.row.branch == "whole" and not this.config.model.recognition_features
    gallery, query = (
        this.passes.encode(variables, split, stage.row.branch, features=hashes)
        for split in ("gallery", this.config.evaluation.queries)
    )
    accuracies = [
        _accuracy(this, encoded) if _classifies(this, stage) else None
        for encoded in (gallery, query)
    ]
    gallery, query = _ranked(this, gallery), _ranked(this, query)
    if not hashes:
        return Measured(gallery, query, None, None, *accuracies)
    scores = metrics.evaluate(
        pack_codes(binarize(query.features)),
        query.labels,
        pack_codes(binarize(gallery.features)),
        gallery.labels,
        bits=this.config.model.bits,
        precision_at=sorted({100, 200, *this.config.evaluation.precision_at}),
    )
    distances = class_distances(gallery.features, gallery.labels)
    return Measured(gallery, query, scores, distances, *accuracies)


def _classifies(this: Run, stage: Stage) -> bool:
    """Whether a loss has trained the classifier of this stage's branch."""
    if stage.row.branch != "whole":
        return True
    upto = this.trainer.plan[: this.trainer.plan.index(stage) + 1]
    return any("cross_entropy" in each.losses for each in upto if each.row.branch == "whole")


def _accuracy(this: Run, encoded: Encoded) -> float:
    """Share of right predictions among the sketches of categories that were trained."""
    trained = ~this.unseen[encoded.labels]
    return metrics.accuracy(encoded.predictions[trained], encoded.labels[trained])


def _ranked(this: Run, encoded: Encoded) -> Encoded:
    """The sketches that codes are scored on: all, or those of categories kept out of training."""
    if not this.unseen.any():
        return encoded
    kept = this.unseen[encoded.labels]
    return Encoded(
        encoded.features[kept],
        encoded.predictions[kept],
        encoded.labels[kept],
        encoded.index[kept],
    )


def finish(this: Run, variables: dict) -> dict[str, Any]:
    """Codes of gallery and query, their scores, the report, and last of all results.json.

    A workdir with results.json is a run that came to its end.
    """
    last, progress = this.trainer.plan[-1], this.trainer.progress
    measured = measure(this, last, variables)
    progress.scores[last.name] |= measured.values()
    progress.seconds_total = this.trainer.seconds_total()
    this.log.scores(last, this.trainer.steps_before(last), measured.values())
    results = collect_results(
        this.config,
        this.trainer.feeds.split,
        progress,
        scores=measured.scores,
        distances=measured.distances,
        accuracy=measured.accuracy,
        accuracy_query=measured.accuracy_query,
        sizes={"gallery": len(measured.gallery.labels), "queries": len(measured.query.labels)},
    )
    if jax.process_index() == 0:
        leave(this, measured, results)
    return results


def leave(this: Run, measured: Measured, results: dict[str, Any]) -> None:
    """What a run leaves in its workdir: codes, report, and last of all results.json."""
    scores, codes = measured.scores, {}
    retrievals = []
    if scores is not None:
        for split, encoded in (("gallery", measured.gallery), ("query", measured.query)):
            codes[split] = pack_codes(binarize(encoded.features))
            for name, array in (
                ("", codes[split]),
                ("_labels", encoded.labels),
                ("_index", encoded.index),
            ):
                write_array(this.workdir / "codes" / f"{split}{name}.npy", array)
        retrievals = example_retrievals(
            this.passes.folder,
            codes,
            scores,
            measured.gallery,
            measured.query,
            queries=this.config.evaluation.queries_shown,
            retrieved=this.config.evaluation.retrieved,
            asked=this.config.evaluation.queries,
        )
    write_report(
        this.workdir,
        results=results,
        metrics=read_metrics(this.workdir),
        curve=None if scores is None else radius_curve(scores.curve),
        entropy_example=entropy_example(this.passes.folder),
        retrievals=retrievals,
        title=this.config.name,
        measured_on=f"{QUERIES[this.config.evaluation.queries]} against the gallery",
    )
    write_results(this.workdir, results)
