"""Evaluate a model on drawings of another data folder: a colleague's, or a later download."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from sketchjax.data.feed.items import totals_of
from sketchjax.data.folder.manifest import NAME, Manifest
from sketchjax.data.folder.shards import check_shards
from sketchjax.data.inputs import part_name, side_and_split
from sketchjax.errors import DataError
from sketchjax.losses.table import DISTANCES
from sketchjax.models.card import FILE
from sketchjax.models.table import CLASSIFIER, HEAD, HEADS
from sketchjax.ops.precision import in_32_bits
from sketchjax.report.examples import example_retrievals
from sketchjax.report.page import write_report
from sketchjax.retrieval.encode import Encoded
from sketchjax.retrieval.model import Model
from sketchjax.retrieval.passes import Passes, Task
from sketchjax.run.results import device_name, headline, radius_curve, versions
from sketchjax.run.scoring import (
    Measured,
    accuracy_of,
    distances_of,
    rank,
    rank_features,
    rank_photos,
)
from sketchjax.run.writers import read_results, write_results
from sketchjax.train.workdir import LOCK, locked

_LEFT = ("codes", "report", "results.json")  # what an evaluation leaves, in this order


@in_32_bits
def evaluate_model(
    model: Model,
    folder: Path,
    out: Path,
    *,
    pairs: Sequence[tuple[str, str]] = (("query", "gallery"),),
    precision_at: Sequence[int] = (100, 200),
    batch: int = 256,
    title: str = "",
    task: Task,
    note: Callable[[str], None],
) -> dict[str, Any]:
    """Score a model on a data folder and write codes, report and results.json to another folder.

    Categories are matched by name. All sketches of the folder are ranked, also those of categories
    that the model was not trained on; accuracy is that of the categories that it was trained on. A
    model without codes is scored by its accuracy only.

    model: any trained model.
    folder: of the data, with sketches in every split that is ranked.
    out: where to write; an earlier evaluation there is replaced.
    pairs: splits of queries and gallery, the first of which is the headline.
    precision_at: values of K.
    batch: sketches encoded at once.
    title: of the report.
    task: shows progress; note: gets what was decided, line by line.

    Returns the results, as in OUT/results.json; unseen: the categories of the data that the model
    was not trained on; missing: those of the model that the data lack.
    Raises DataError when the folder is damaged, lacks sketches of a split or shares no category
    with the model, when the model has neither codes nor a trained classifier, and when `out`
    holds anything else than an earlier evaluation; InUseError when another process writes to `out`.
    """
    started = time.monotonic()
    check_replaceable(out)
    manifest = check_shards(folder)
    known = match_categories(model, manifest, note)
    splits = dict.fromkeys(split for queries, gallery in pairs for split in (gallery, queries))
    check_parts(folder, manifest, model, splits)
    if model.bits is None:
        if not classifies(model):
            raise DataError(
                "this model makes no codes and its classifier was not trained, so it has nothing "
                "to score; use a model whose last stage trained a head with codes"
            )
        note("this model makes no codes: only its accuracy is measured")
    devices = jax.local_device_count()
    passes = Passes(
        model.network,
        folder,
        manifest,
        batch=-(-batch // devices) * devices,
        forms=model.architecture.forms,
        task=task,
    )
    with_features = model.bits is not None
    trained_on = np.isin(manifest.categories, _unseen(model, manifest), invert=True)
    with locked(out, "OUT") as warning:
        if warning:
            note(warning)
        encoded = {
            split: _in_names_of(
                passes.encode(model.variables, split, model.output, features=with_features), known
            )
            for split in splits
        }
        measured = _measure(model, manifest, encoded, pairs, precision_at, trained_on)
        results = results_of(model, folder, manifest, measured, pairs, time.monotonic() - started)
        title = title or f"{model.card.stage} on {folder}"
        kinds = {side: form.kind for side, form in model.architecture.forms.items()}
        clear_evaluation(out)
        leave_evaluation(out, folder, measured, results, pairs, kinds, title)
    return results


def default_rankings(model: Model) -> list[tuple[str, str]]:
    """The ranking that a model is made for: of its only side, or of sketches against photos."""
    sides = list(model.architecture.forms)
    return [(part_name(sides[0], "query"), part_name(sides[-1], "gallery"))]


def check_parts(folder: Path, manifest: Manifest, model: Model, parts: Iterable[str]) -> None:
    """Raise DataError where the model has no such side, or a part of the data is empty."""
    forms, empty = model.architecture.forms, []
    for part in parts:
        side, split = side_and_split(part)
        if side not in forms:
            raise DataError(f"the ranking names {part}, but this model has no encoder of {side}s")
        if not totals_of(manifest, forms[side].kind).get(split):
            empty.append(part)
    if empty:
        raise DataError(
            f"{folder} has no sketches in the split {' and '.join(empty)}; convert the drawings "
            "with a share for each ranked split, such as --gallery 0.9 --query 0.1"
            if not any("/" in part for part in empty)
            else f"{folder} has nothing in {' and '.join(empty)}; splits.csv says where photos go"
        )


def classifies(model: Model) -> bool:
    """Whether the classifier of the model's output was trained.

    Its biases start at 0 and only a loss on its logits moves them.
    """
    name = CLASSIFIER if model.output == HEAD else f"{model.output}_{CLASSIFIER}"
    return bool(np.any(np.asarray(model.variables["params"][name]["bias"])))


def match_categories(model: Model, manifest: Manifest, note: Callable[[str], None]) -> np.ndarray:
    """The model's label of each category of a data folder, i64[l]; -1 for one it does not know.

    note: gets the names that only one of the two has.
    Raises DataError when they share no category.
    """
    labels = {name: label for label, name in enumerate(model.categories)}
    known = np.array([labels.get(name, -1) for name in manifest.categories])
    extra = [name for name in manifest.categories if name not in labels]
    missing = [name for name in model.categories if name not in manifest.categories]
    kept_out = [name for name in manifest.categories if name in model.card.unseen]
    if len(extra) == len(manifest.categories):
        raise DataError(
            f"the data and the model share no category: the data has {_some(extra)}, the model "
            f"was trained on {_some(model.categories)}; give drawings of some of these"
        )
    if extra:
        note(f"categories new to the model: {_some(extra)}")
    if kept_out:
        note(f"categories kept out of the model's training: {_some(kept_out)}")
    if missing:
        note(f"categories missing from the data: {_some(missing)}")
    return known


def check_out(out: Path) -> None:
    """Refuse the workdir of a run and a data folder: results are not mixed with these."""
    for name, what in (("config.json", "the workdir of a run"), (NAME, "a data folder")):
        if (out / name).exists():
            raise DataError(f"{out} is {what}; name another folder for the evaluation")


def check_replaceable(out: Path, *, recoded: bool = False) -> None:
    """Refuse a folder that holds anything else than an earlier evaluation, finished or not.

    recoded: whether it is to hold posterior codes (`recode`) instead of an evaluation.
    """
    if not out.is_dir():
        return
    check_out(out)
    own = {*_LEFT, LOCK, *([FILE] if recoded else [])}
    own |= {f".{name}.part" for name in own}  # of a process that was killed
    others = sorted({path.name for path in out.iterdir()} - own)
    what = "posterior codes" if recoded else "an evaluation"
    if others:
        raise DataError(
            f"{out} holds more than {what} ({_some(others)}), and what it holds would be replaced; "
            "name another folder"
        )
    results = read_results(out)
    if results is not None and ("recode_of" in results) != recoded:
        raise DataError(f"{out} holds other results than {what}; name another folder")


def clear_evaluation(out: Path) -> None:
    """Delete an earlier evaluation: first results.json, so that no half of it looks finished."""
    for name in reversed(_LEFT):
        if (out / name).is_dir():
            shutil.rmtree(out / name)
        else:
            (out / name).unlink(missing_ok=True)


def _in_names_of(encoded: Encoded, known: np.ndarray) -> Encoded:
    """Predictions as labels of the data folder; -1 where it has no such category."""
    places = np.full(int(max(known.max(), encoded.predictions.max(initial=0))) + 1, -1)
    places[known[known >= 0]] = np.flatnonzero(known >= 0)
    return replace(encoded, predictions=places[encoded.predictions])


def _measure(
    model: Model,
    manifest: Manifest,
    encoded: dict[str, Encoded],
    pairs: Sequence[tuple[str, str]],
    precision_at: Sequence[int],
    trained_on: np.ndarray,
) -> Measured:
    queries, gallery = pairs[0]
    can_classify = classifies(model)
    accuracies = [
        accuracy_of(encoded[split], trained_on) if can_classify else None
        for split in (gallery, queries)
    ]
    sizes = {split: len(every.labels) for split, every in encoded.items()}
    threshold = HEADS[model.architecture.head].threshold
    if model.bits is None or threshold is None:
        return Measured({}, [], None, *accuracies, sizes=sizes)
    codes = {
        split: every.codes(
            threshold, split=split, categories=manifest.categories, model=model.fingerprint
        )
        for split, every in encoded.items()
    }
    by_features = DISTANCES if HEADS[model.architecture.head].ranks_features else ()
    return Measured(
        codes,
        rank(codes, pairs, precision_at),
        distances_of(encoded[gallery]),
        *accuracies,
        sizes=sizes,
        feature_rankings=rank_features(encoded, pairs, by_features, precision_at),
        photo_rankings=rank_photos(encoded, codes, pairs, by_features, precision_at),
    )


def results_of(
    model: Model,
    folder: Path,
    manifest: Manifest,
    measured: Measured,
    pairs: Sequence[tuple[str, str]],
    seconds: float,
) -> dict[str, Any]:
    """What results.json holds of a model on a data folder.

    measured: its codes there; pairs: splits of queries and gallery of each ranking; seconds: taken.
    """
    unseen = _unseen(model, manifest)
    missing = [name for name in model.categories if name not in manifest.categories]
    return headline(measured, pairs) | {
        "classes": len(manifest.categories),
        "unseen": unseen,
        "missing": missing,
        "train": None,  # the model file does not say
        "seconds_total": seconds,
        "sketches_per_second": {},
        "after_stages": {},
        # The report lists these.
        "config": {
            "model": {"fingerprint": model.fingerprint, "stage": model.card.stage},
            "data": {"dir": str(folder), "new_to_the_model": unseen, "missing": missing},
        },
        "versions": versions() | {"model": model.card.versions.get("sketchjax", "")},
        "device": device_name(),
    }


def leave_evaluation(
    out: Path,
    folder: Path,
    measured: Measured,
    results: dict[str, Any],
    pairs: Sequence[tuple[str, str]],
    kinds: Mapping[str, str],
    title: str,
) -> None:
    """Write codes, report, and last of all results.json."""
    retrievals = []
    for split, codes in measured.codes.items():
        codes.save(out / "codes" / split)
    if measured.scores is not None:
        queries, gallery = (measured.codes[split] for split in pairs[0])
        retrievals = example_retrievals(
            folder, queries, gallery, measured.scores, shown=6, retrieved=36, kinds=kinds
        )
    write_report(
        out,
        results=results,
        metrics=[],
        curve=None if measured.scores is None else radius_curve(measured.scores.curve),
        retrievals=retrievals,
        title=title,
    )
    write_results(out, results)


def _unseen(model: Model, manifest: Manifest) -> list[str]:
    """The categories of a data folder that a model was not trained on."""
    trained_on = {*model.categories} - {*model.card.unseen}
    return [name for name in manifest.categories if name not in trained_on]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
