"""Posterior codes for a finished run: a new head on its features, without training an encoder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from sketchjax.data.folder.manifest import NAME
from sketchjax.files import sha256
from sketchjax.models.card import FILE
from sketchjax.models.table import HEADS
from sketchjax.ops.precision import in_32_bits
from sketchjax.retrieval.encode import Encoded
from sketchjax.retrieval.model import Model
from sketchjax.retrieval.passes import Task
from sketchjax.run.elsewhere import (
    check_out,
    check_replaceable,
    clear_evaluation,
    leave_evaluation,
    results_of,
)
from sketchjax.run.posterior.choice import chosen, posterior_map
from sketchjax.run.posterior.classifier import Classifier, classify
from sketchjax.run.posterior.finding import find_source, workdir_of
from sketchjax.run.posterior.head import posterior_model
from sketchjax.run.posterior.lengths import check_codebooks, checked
from sketchjax.run.posterior.source import Settings, Source
from sketchjax.run.scoring import Measured, accuracy_of, distances_of, rank, rank_photos
from sketchjax.run.writers import read_results
from sketchjax.train.workdir import locked

FOLDER = "recode"  # next to the model


@in_32_bits
def recode(
    path: Path,
    bits: Sequence[int],
    *,
    data: Path | None = None,
    out: Path | None = None,
    settings: Settings = Settings(),  # noqa: B008 (frozen)
    mirrored: bool = False,
    task: Task,
    note: Callable[[str], None],
) -> tuple[Path, list[dict[str, Any]]]:
    """Write a model with posterior codes of each length, its codes, scores and report.

    path: the workdir of a finished run, or a model file of one.
    bits: lengths of the codes, multiples of 8.
    data: its data folder; by default the run's own.
    out: gets a folder per length, which `sketchjax.load` takes; by default `recode` next to the
      model. A length that is there with the same settings is not computed again.
    settings: see `Settings`.
    mirrored: whether the new models encode a drawing together with its mirror image; one that does
      so already keeps to it.
    task: shows progress; note: gets what was decided, line by line.

    Returns `out` and the results of each length, as in OUT/LENGTH/results.json.
    Raises ConfigError for lengths or settings that are out of range or lengths that have no
    codebook; InUseError where another process writes to `out`; CheckpointError and DataError for a
    run that has not finished, a model without a trained classifier, one of pictures without an
    embedding, other categories than those of the data, or a folder that holds something else: all
    before any work.
    """
    least = {"copies": 0, "epochs": 1, "steps": 0, "starts": 1, "seed": 0}
    lengths = checked(bits, {name: (getattr(settings, name), each) for name, each in least.items()})
    source = find_source(path, data, task)
    check_codebooks(source.unseen, lengths)
    if mirrored and workdir_of(path) and not source.augmentation["flip"]:
        note(
            "mirror images: the run was trained without any (augmentation.flip=0); compare its "
            "codes on validation sketches, map_validation, with those without --mirrored"
        )
    out = out or (path if path.is_dir() else path.parent) / FOLDER
    check_out(out)
    with locked(out, "--out") as warning:
        if warning:
            note(warning)
        return out, recode_source(source, lengths, out, settings, note, mirrored=mirrored)


def recode_source(
    source: Source,
    lengths: Sequence[int],
    out: Path,
    settings: Settings,
    note: Callable[[str], None],
    classifier: Classifier | None = None,
    mirrored: bool = False,
) -> list[dict[str, Any]]:
    """`recode` of what is known to be fit for it; returns the results of each length.

    classifier: of the same source and settings; by default it is fitted.
    mirrored: as for `recode`.
    """
    mark = {
        "model": source.model.fingerprint,
        "data": sha256(source.folder / NAME),
        **vars(settings),
    }
    trained = source
    if mirrored and not source.model.architecture.mirrored:
        source = replace(source, model=source.model.mirrored())
        mark["mirrored"] = True
    for length in lengths:
        check_replaceable(out / str(length), recoded=True)
    kept = {length: _finished(out / str(length), mark) for length in lengths}
    if None in kept.values():
        classifier = classifier or classify(source, settings, note)
        own = _own_scores(trained, classifier.embedded if source is trained else {})
        for length in [length for length, results in kept.items() if results is None]:
            to = out / str(length)
            kept[length] = _leave(source, classifier, length, settings, own, to, mark)
    return [results for results in kept.values() if results is not None]


def _leave(
    source: Source,
    classifier: Classifier,
    bits: int,
    settings: Settings,
    own: dict[str, Any],
    out: Path,
    mark: dict[str, Any],
) -> dict[str, Any]:
    """Choose a head of this many bits; write its model, codes, report and last of all results."""
    started = time.monotonic()
    choice = chosen(source, classifier, bits, settings)
    model = posterior_model(source, classifier, choice)
    encoded = {
        split: replace(every, features=choice.features(every.features))
        for split, every in classifier.splits.items()
    }
    measured = _measure(source, model, encoded, source.unseen)
    seen = {
        split: every[~source.unseen[every.labels]] for split, every in classifier.splits.items()
    }
    results = results_of(
        model, source.folder, source.manifest, measured, source.pairs, time.monotonic() - started
    ) | {
        "unseen": [source.manifest.categories[label] for label in np.flatnonzero(source.unseen)],
        "map_seen": _map_seen(source, model, encoded),
        "own": own,
        "map_validation": choice.map_validation,
        "map_posteriors": posterior_map(seen, *source.pairs[0]),
        "posterior": choice.described(),
        "recode_of": mark,
    }
    if jax.process_index() == 0:
        clear_evaluation(out)
        model.save(out / FILE)
        title = f"{bits}-bit posterior codes"
        kinds = {side: form.kind for side, form in model.architecture.forms.items()}
        leave_evaluation(out, source.folder, measured, results, source.pairs, kinds, title)
    return results


def _own_scores(source: Source, encoded: dict[str, Encoded]) -> dict[str, Any]:
    """Bits and MAP of the model's own codes; empty if it makes none.

    encoded: by part, as its head gives them; empty: they are still to be encoded.
    """
    model = source.model
    if model.bits is None:
        return {}
    own = replace(source, pairs=source.pairs[:1])
    if not encoded:
        passes = source.passes(model.network)
        encoded = {split: passes.encode(model.variables, split) for split in own.ranked}
    scores = _measure(own, model, encoded, source.unseen).scores
    return {
        "bits": model.bits,
        "map": None if scores is None else scores.map,
        "map_seen": _map_seen(own, model, encoded),
    }


def _map_seen(source: Source, model: Model, encoded: dict[str, Encoded]) -> float | None:
    """MAP of the sketches of the categories trained on; None if that is the headline already."""
    if not source.unseen.any():
        return None
    scores = _measure(source, model, encoded, ~source.unseen).scores
    return None if scores is None else scores.map


def _measure(
    source: Source, model: Model, encoded: dict[str, Encoded], counted: np.ndarray
) -> Measured:
    """Scores of a model's codes.

    encoded: by split, with the features of its head.
    counted: bool[l], the categories that are ranked; none: all.
    """
    accuracies = [
        accuracy_of(encoded[split], ~source.unseen) for split in reversed(source.pairs[0])
    ]
    ranked = {split: encoded[split] for split in source.ranked}
    if counted.any():
        ranked = {split: every[counted[every.labels]] for split, every in ranked.items()}
    threshold = HEADS[model.architecture.head].threshold
    assert threshold is not None
    codes = {
        split: every.codes(
            threshold, split=split, categories=model.categories, model=model.fingerprint
        )
        for split, every in ranked.items()
    }
    sizes = {split: len(every.labels) for split, every in ranked.items()}
    distances = distances_of(ranked[source.pairs[0][1]])
    cuts = (100, 200)
    return Measured(
        codes,
        rank(codes, source.pairs, cuts),
        distances,
        *accuracies,
        sizes=sizes,
        photo_rankings=rank_photos(ranked, codes, source.pairs, (), cuts),
    )


def _finished(folder: Path, mark: dict[str, Any]) -> dict[str, Any] | None:
    """The results of an earlier call with the same model, data and settings."""
    results = read_results(folder)
    return results if results is not None and results.get("recode_of") == mark else None
