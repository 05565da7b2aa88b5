"""What a study has found so far, as the material of its report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from sketchjax.config import rankings, stage_rows
from sketchjax.paper.report.material import Comparison, RunState, StudyMaterial
from sketchjax.paper.study.measure import measurements, part_name
from sketchjax.paper.study.methods import DEEP_FEATURES
from sketchjax.paper.study.plan import Key, all_methods, run_folder, table_methods
from sketchjax.paper.study.rows import table_rows
from sketchjax.paper.study.state import Study
from sketchjax.report.examples import retrievals_of
from sketchjax.report.material import PrecisionRecall, load_material
from sketchjax.report.tables import NO_NUMBER, duration
from sketchjax.retrieval import metrics
from sketchjax.retrieval.codes import Codes
from sketchjax.run.results import devices_and_versions
from sketchjax.run.writers import read_results

COMPARED = ("full", "dlbhc", "dsh_sketch")  # in figure 6
_TOP = 36  # results per query


def collect(study: Study) -> StudyMaterial:
    """A study, finished or not: its rows, curves, examples and the state of its runs."""
    config = study.config
    rows = [row for table in config.tables for row in table_rows(study, table)]
    return StudyMaterial(
        title=config.name,
        tables=list(config.tables),
        rows=rows,
        facts=facts(study),
        curves=list(curves(study)) if "1" in config.tables else [],
        entropy=study.entropy,
        comparisons=list(comparisons(study)) if "1" in config.tables else [],
        notes=notes(study),
        runs=run_states(study),
        commands=list(config.commands),
    )


def curves(study: Study) -> Iterator[tuple[int, str, PrecisionRecall]]:
    """The precision-recall curves of table 1's methods for the first seed (figure 5)."""
    methods = all_methods(study.config)
    for bits in study.config.bits:
        for name in table_methods(study.config, "1"):
            folder = run_folder(study.workdir, Key(name, bits, study.config.seeds[0]).name)
            if read_results(folder) is None:
                continue
            curve = load_material(folder / "report" / "material.json").curve
            if curve is not None:
                yield bits, methods[name].label, curve


def comparisons(study: Study) -> Iterator[Comparison]:
    """What several methods find for one query with the longest codes (figure 6).

    It is the query of its category that our full model ranks at the median, not one picked by hand.
    """
    bits, seed = max(study.config.bits), study.config.seeds[0]
    codes: dict[str, tuple[Codes, Codes]] = {}
    for name in COMPARED:
        folder = run_folder(study.workdir, Key(name, bits, seed).name)
        if read_results(folder) is None:
            return
        queries, gallery = (
            Codes.load(folder / "codes" / split) for split in rankings(study.config.base)[0]
        )
        codes[name] = queries, gallery
    label = study.manifest.categories.index(study.config.query)
    chosen = _median_query(*codes["full"], label)
    if chosen is None:
        return
    methods, found = all_methods(study.config), []
    for name, (queries, gallery) in codes.items():
        retrieved = retrievals_of(study.folder, queries, gallery, np.array([chosen]), _TOP)[0]
        found.append((methods[name].label, retrieved))
    yield Comparison(study.config.query, bits, found)


def _median_query(queries: Codes, gallery: Codes, label: int) -> int | None:
    """The query of a category with the median average precision; None where there is none.

    label: of the category. Returns a place in `queries`.
    """
    own = np.flatnonzero(queries.labels == label)
    if not len(own) or not (gallery.labels == label).any():
        return None
    scores = metrics.evaluate(
        queries.packed[own],
        queries.labels[own],
        gallery.packed,
        gallery.labels,
        bits=queries.bits,
    )
    ranked = scores.query[np.argsort(scores.average_precision, kind="stable")]
    return int(own[ranked[len(ranked) // 2]])


def facts(study: Study) -> dict[str, str]:
    """What the figures were measured with."""
    counts, base = study.manifest.counts, study.config.base
    queries, gallery = rankings(base)[0]
    finished = (read_results(run_folder(study.workdir, run.name)) or {} for run in study.runs)
    measured = (entry for measurement in measurements(study) for entry in measurement.found())
    device, _ = devices_and_versions(chain(finished, measured))
    zero_shot = zero_shot_results(study)
    held_out = {}
    if zero_shot:
        kept_out = _between(len(results["unseen"]) for results in zero_shot.values())
        train, ranked = (
            _between(results[name] for results in zero_shot.values())
            for name in ("train", "gallery")
        )
        held_out["zero-shot"] = (
            f"{kept_out} of {len(study.manifest.categories)} classes kept out, {train} training "
            f"sketches of the others, {ranked} in the gallery"
        )
    return {
        "classes": f"{len(study.manifest.categories):,}",
        "train": f"{counts['train']:,}",
        "gallery": f"{counts[gallery]:,}" + (f" of {gallery}" if gallery != "gallery" else ""),
        "queries": f"{counts[queries]:,}" + (f" of {queries}" if queries != "query" else ""),
        "picture": f"{base.drawing.size} px",
        "epochs by stage": ", ".join(f"{row.name} {row.epochs:g}" for row in stage_rows(base)),
        "seeds": ", ".join(map(str, study.config.seeds)),
        "device": device or NO_NUMBER,
        "time": duration(seconds_so_far(study.workdir)),
    } | held_out


def notes(study: Study) -> list[str]:
    """What a reader has to know besides the figures."""
    base, found = study.config.base, []
    if any(run.method == "dsh_sketch" for run in study.runs):
        found.append(
            f"DSH-Sketch uses the word vectors of {Path(base.data.word_vectors).name}."
            if base.data.word_vectors
            else "DSH-Sketch has no word vectors here. It uses vectors made from the spelling of "
            "the class names, which need no download and know no meaning; to use word vectors, "
            "give a file in base.data.word_vectors."
        )
    if {"1", "4"} & {*study.config.tables}:
        found.append(
            "All rows of tables 1 and 4 start from the same pretrained branches and train for the "
            "same epochs at the same learning rates; Our+CEL continues with cross entropy only "
            "where the others add their losses. The one exception is the hash layer of DSH-Sketch, "
            "which always learns at the rate of the branches."
        )
        found.append(
            "Scores are expectations over random orders inside ties of the Hamming distance, "
            "computed in closed form over the full ranking."
        )
    if "4" in study.config.tables:
        found.append("d1 and d2 are mean squared distances of the gallery's features in (0, 1).")
    if "6" in study.config.tables:
        found.append(
            "Table 6: single networks train for the epochs of stage 1 or 2. Both branches together "
            "start from two of them and also train for the epochs of stages 3 to 5, so part of "
            "their gain may come from longer training. Accuracy is on the gallery, as in the paper."
        )
    if "2" in study.config.tables:
        deep = (
            f"; deep features are the {DEEP_FEATURES} of the fusion layer of a network trained "
            "with cross entropy, as SketchMate describes"
        )
        found.append(
            f"Table 2: HOG describes pictures of {study.config.hog_size} px"
            f"{deep if table_methods(study.config, '2') else ''}. Every method sees the whole "
            "training split."
        )
    found += study.config.notes
    names = {seed: ", ".join(own["unseen"]) for seed, own in zero_shot_results(study).items()}
    if names:
        classes = [*dict.fromkeys(names.values())]
        sketches = "Zero-shot: queries and gallery are the sketches of classes kept out of training"
        if len(classes) == 1:
            found.append(f"{sketches}: {classes[0]}.")
        else:
            own = "; ".join(f"{each} (seed {seed})" for seed, each in names.items())
            found.append(
                f"{sketches}. Each seed keeps out others, so that deviations are over classes as "
                f"well: {own}."
            )
    return found


def zero_shot_results(study: Study) -> dict[int, dict[str, Any]]:
    """By seed, the results of any finished row of the zero-shot table.

    All rows of a seed keep out the same classes.
    """
    found: dict[int, dict[str, Any]] = {}
    for run in study.runs:
        results = read_results(run_folder(study.workdir, run.name)) if run.zero_shot else None
        if results is not None and "unseen" in results:
            found.setdefault(run.seed, results)
    return found


def _between(numbers: Iterable[int]) -> str:
    """The least and the largest of some numbers; one number where they agree."""
    least, *_, most = sorted({*numbers}) * 2
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def run_states(study: Study) -> list[RunState]:
    """The state of every run and measurement of a study."""
    states = []
    for run in study.runs:
        folder = run_folder(study.workdir, run.name)
        results = read_results(folder)
        if results is not None:
            states.append(RunState(run.name, run.label, "done", results["seconds_total"]))
        elif run.name in study.failures:
            states.append(RunState(run.name, run.label, "failed", why=study.failures[run.name]))
        else:
            started = "started" if (folder / "config.json").exists() else ""
            states.append(RunState(run.name, run.label, "to do", why=started))
    for measurement in measurements(study):
        name = measurement.name
        names = [name, *(part_name(name, part) for part in measurement.missing())]
        why = "; ".join(study.failures[each] for each in names if each in study.failures)
        state = "failed" if why else "to do" if measurement.missing() else "done"
        states.append(RunState(name, "measurement", state, why=why))
    return states


def seconds_so_far(workdir: Path) -> float:
    """The time that the study has taken in all its calls."""
    path = workdir / "seconds.json"
    return float(json.loads(path.read_bytes())) if path.exists() else 0.0
