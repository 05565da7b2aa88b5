"""Evaluate a run's model: after every stage, and at the end, with everything a run leaves behind.

A network with codes is scored by its rankings, one that recognises by its accuracy only. Where
categories were kept out of training, the codes are those of their sketches and accuracy is that of
the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from sketchjax.config import Config, kinds, questions, rankings
from sketchjax.data.feed.items import totals_of
from sketchjax.data.inputs import part_name
from sketchjax.losses.table import LOSSES
from sketchjax.models.card import FILE
from sketchjax.models.table import HEAD, HEADS, of_side
from sketchjax.models.weights import Card, fingerprint, save_weights
from sketchjax.report.choices import config_stages, open_choices
from sketchjax.report.examples import entropy_example, example_retrievals
from sketchjax.report.material import Reference
from sketchjax.report.page import write_report
from sketchjax.retrieval.model import Model
from sketchjax.retrieval.passes import Passes
from sketchjax.run.log import RunLog
from sketchjax.run.posterior.choice import chosen
from sketchjax.run.posterior.classifier import Classifier, classify
from sketchjax.run.posterior.head import posterior_model
from sketchjax.run.posterior.source import Settings, Source
from sketchjax.run.recode import FOLDER, recode_source
from sketchjax.run.results import collect_results, radius_curve, versions
from sketchjax.run.scoring import (
    Measured,
    accuracy_of,
    distances_of,
    rank,
    rank_features,
    rank_photos,
)
from sketchjax.run.writers import read_metrics, write_results
from sketchjax.train.data import can_choose, least_to_choose
from sketchjax.train.stages import Stage
from sketchjax.train.trainer import Trainer

# (config, results) as plain objects -> figures published elsewhere, to set next to a run's own.
MakeReference = Callable[[Mapping[str, Any], Mapping[str, Any]], Reference | None]


@dataclass
class Run:
    """What the parts of a run share.

    passes: over the data folder; trainer: of all stages; reference: published figures for the
    report, where there are any.
    """

    config: Config
    workdir: Path
    passes: Passes
    trainer: Trainer
    log: RunLog
    reference: MakeReference | None = None

    @property
    def unseen(self) -> np.ndarray:
        """Categories kept out of training, bool[l]."""
        return self.trainer.supply.split.unseen

    def card(self, stage: Stage) -> Card:
        """What the model file of a stage says of it."""
        return Card(
            architecture=self.trainer.network.architecture,
            stage=stage.name,
            output=stage.row.output,
            trained=self.trainer.parts_trained(stage),
            data=self.trainer.progress.data,
            versions=versions(),
            unseen=tuple(np.asarray(self.passes.manifest.categories)[self.unseen].tolist()),
        )


def evaluate_stage(this: Run, stage: Stage, variables: dict) -> None:
    """Validation accuracy after every stage, and the scores of the codes where asked for.

    Those of the last stage are the run's own: `finish` takes them.
    """
    values: dict[str, float] = {}
    for side in stage.row.inputs if stage.classifies else ():
        kind = this.passes.forms[side].kind
        if not totals_of(this.passes.manifest, kind).get("validation"):
            continue
        part = part_name(side, "validation")
        encoded = this.passes.encode(variables, part, stage.row.output, features=False)
        accuracy = accuracy_of(encoded, ~this.unseen)
        values |= {} if accuracy is None else {of_side("validation_accuracy", side): accuracy}
    if stage.name in this.config.evaluation.after_stages and stage is not this.trainer.plan[-1]:
        values |= measure(this, stage, variables).values()
    this.trainer.progress.scores[stage.name] = values
    this.log.scores(stage, this.trainer.steps_before(stage), values)


def measure(this: Run, stage: Stage, variables: dict) -> Measured:
    """Encode the parts of the data of all rankings with the model of a stage, and score them."""
    pairs, architecture = rankings(this.config), this.trainer.network.architecture
    threshold = HEADS[architecture.head].threshold
    has_codes = stage.row.output == HEAD and threshold is not None
    # The gallery first, as ever: the order of the passes is part of what a log shows.
    splits = dict.fromkeys(split for queries, gallery in pairs for split in (gallery, queries))
    encoded = {
        split: this.passes.encode(variables, split, stage.row.output, features=has_codes)
        for split in splits
    }
    accuracies = [
        accuracy_of(encoded[split], ~this.unseen) if stage.classifies else None
        for split in reversed(pairs[0])
    ]
    if this.unseen.any():
        encoded = {split: every[this.unseen[every.labels]] for split, every in encoded.items()}
    sizes = {split: len(every.labels) for split, every in encoded.items()}
    if not has_codes or threshold is None:
        return Measured({}, [], None, *accuracies, sizes=sizes)
    model = fingerprint(jax.device_get(variables), architecture)
    codes = {
        split: every.codes(threshold, split=split, categories=architecture.categories, model=model)
        for split, every in encoded.items()
    }
    asked = this.config.evaluation
    ranked = rank(codes, pairs, asked.precision_at)
    distances = distances_of(encoded[pairs[0][1]])
    by_features = asked.feature_distances if HEADS[architecture.head].ranks_features else ()
    return Measured(
        codes,
        ranked,
        distances,
        *accuracies,
        sizes=sizes,
        feature_rankings=rank_features(encoded, pairs, by_features, asked.precision_at),
        photo_rankings=rank_photos(encoded, codes, pairs, by_features, asked.precision_at),
    )


def finish(this: Run, variables: dict) -> dict[str, Any]:
    """The model, its codes, their scores, the report, and last of all results.json.

    A workdir with results.json is a finished run.
    """
    last, progress = this.trainer.plan[-1], this.trainer.progress
    classifier, settings, own = None, Settings(seed=this.config.seed), {}
    if _lacks_codes(this):
        source = _source(this, variables)
        classifier = classify(source, settings, this.log.note)
        bits = this.trainer.network.architecture.width
        choice = chosen(source, classifier, bits, settings)
        variables = posterior_model(source, classifier, choice).variables
        own = {"posterior": choice.described(), "map_validation": choice.map_validation}
    measured = measure(this, last, variables)
    progress.scores[last.name] |= measured.values()
    progress.seconds_total = this.trainer.seconds_total()
    this.log.scores(last, this.trainer.steps_before(last), measured.values())
    results = collect_results(this.config, this.trainer.supply.splits, progress, measured) | own
    if lengths := this.config.evaluation.posterior_bits:
        source = _source(this, variables)
        results["posterior_codes"] = posterior_codes(this, source, lengths, settings, classifier)
    if jax.process_index() == 0:
        save_weights(this.workdir / FILE, variables, this.card(last))
        leave(this, measured, results)
    return results


def _lacks_codes(this: Run) -> bool:
    """Whether the codes of a posterior head are still to be chosen: no loss has trained them."""
    head = HEADS[this.trainer.network.architecture.head]
    losses = (
        LOSSES[name]
        for stage in this.trainer.plan
        if stage.row.output == HEAD
        for name in stage.row.losses
    )
    if not head.of_posterior or any(loss.reads != ("logits",) for loss in losses):
        return False
    stored = kinds(this.config)
    if not can_choose(this.passes.manifest, stored, this.unseen):
        this.log.note(
            f"without {least_to_choose(stored)}, the thresholds and the temperature of the "
            "posterior codes stay as they began"
        )
        return False
    return True


def _source(this: Run, variables: dict) -> Source:
    return Source(
        Model(this.trainer.network, variables, this.card(this.trainer.plan[-1])),
        this.passes.folder,
        this.passes.manifest,
        this.unseen,
        rankings(this.config),
        this.config.augmentation.to_dict(),
        this.config.evaluation.batch_size,
        this.log.task,
        this.passes.check,
    )


def posterior_codes(
    this: Run,
    source: Source,
    lengths: Sequence[int],
    settings: Settings,
    classifier: Classifier | None,
) -> list[dict[str, Any]]:
    """Write posterior codes of these lengths to WORKDIR/recode; returns the main scores of each."""
    found = recode_source(
        source, lengths, this.workdir / FOLDER, settings, this.log.note, classifier
    )
    names = ("bits", "map", "map_seen", "map_validation", "map_posteriors", "accuracy")
    return [{name: results[name] for name in names} for results in found]


def leave(this: Run, measured: Measured, results: dict[str, Any]) -> None:
    """Write what a run leaves in its workdir: codes, report, and last of all results.json."""
    config, retrievals = this.config, []
    for split, codes in measured.codes.items():
        codes.save(this.workdir / "codes" / split)
    if measured.scores is not None:
        queries, gallery = (measured.codes[split] for split in rankings(config)[0])
        retrievals = example_retrievals(
            this.passes.folder,
            queries,
            gallery,
            measured.scores,
            shown=config.evaluation.queries_shown,
            retrieved=config.evaluation.retrieved,
            kinds=kinds(config),
        )
    plain = config.to_dict()
    reference = this.reference(plain, results) if this.reference else None
    symbols = {name: declared.symbol for name, declared in LOSSES.items()}
    write_report(
        this.workdir,
        results=results,
        metrics=read_metrics(this.workdir),
        curve=None if measured.scores is None else radius_curve(measured.scores.curve),
        entropy_example=entropy_example(
            this.passes.folder, category=reference.category if reference else ""
        )
        if this.passes.manifest.counts["train"]
        else None,
        retrievals=retrievals,
        stages=config_stages(plain, symbols, results["after_stages"]),
        choices=open_choices(plain, questions(config)),
        title=config.name,
        reference=reference,
    )
    write_results(this.workdir, results)
