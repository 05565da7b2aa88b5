"""What a study has found so far, as the material of its report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sketchjax.config.relations import STAGES
from sketchjax.paper.report.material import Comparison, RunState, StudyMaterial
from sketchjax.paper.study.measure import measured, measurements
from sketchjax.paper.study.methods import DEEP_FEATURES, ROWS
from sketchjax.paper.study.plan import Key, all_methods, run_folder, table_methods
from sketchjax.paper.study.rows import table_rows
from sketchjax.paper.study.state import Study
from sketchjax.report.examples import retrievals_of
from sketchjax.report.material import PrecisionRecall, load_material
from sketchjax.report.tables import duration
from sketchjax.retrieval import metrics
from sketchjax.run.results import device_name
from sketchjax.run.writers import read_results

COMPARED = ("full", "dlbhc", "dsh_sketch")  # of figure 6
_TOP = 36


def collect(study: Study) -> StudyMaterial:
    """The study as it stands: rows, curves, examples and the state of its runs."""
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
    """The precision-recall curves of table 1's methods, of the first seed (figure 5)."""
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
    """What several methods find for one query at the longest codes (figure 6).

    The query is the one of its category that our full model ranks at the median: no choice of ours.
    """
    bits, seed = max(study.config.bits), study.config.seeds[0]
    codes = {
        name: _codes(run_folder(study.workdir, Key(name, bits, seed).name)) for name in COMPARED
    }
    if any(found is None for found in codes.values()):
        return
    label = study.manifest.categories.index(study.config.query)
    chosen = np.array([_median_query(codes["full"], label, bits)])
    methods, found = all_methods(study.config), []
    asked = study.config.base.evaluation.queries
    for name in COMPARED:
        own = codes[name]
        parts = [{split: own[split, part] for split in ("gallery", "query")} for part in (0, 2)]
        retrieval = retrievals_of(study.folder, parts[0], parts[1], chosen, _TOP, asked)[0]
        found.append((methods[name].label, retrieval))
    yield Comparison(study.config.query, bits, found)


def _codes(folder: Path) -> Any:
    """Codes, labels and records of gallery and query by (split, 0 to 2); None where not ended."""
    if read_results(folder) is None:
        return None
    return {
        (split, part): np.load(folder / "codes" / f"{split}{suffix}.npy")
        for split in ("gallery", "query")
        for part, suffix in enumerate(("", "_labels", "_index"))
    }


def _median_query(codes: Any, label: int, bits: int) -> int:
    """The query of a category with the median average precision."""
    own = np.flatnonzero(codes["query", 1] == label)
    scores = metrics.evaluate(
        codes["query", 0][own],
        codes["query", 1][own],
        codes["gallery", 0],
        codes["gallery", 1],
        bits=bits,
    )
    ranked = scores.query[np.argsort(scores.average_precision, kind="stable")]
    return int(own[ranked[len(ranked) // 2]])


def facts(study: Study) -> dict[str, str]:
    """What the figures were measured with."""
    counts, base = study.manifest.counts, study.config.base
    asking = base.evaluation.queries
    zero_shot = zero_shot_results(study)
    held_out = {}
    if zero_shot is not None:
        classes = f"{len(zero_shot['unseen'])} of {len(study.manifest.categories)} classes kept out"
        held_out["zero-shot"] = (
            f"{classes}, {zero_shot['train']:,} training sketches of the others, "
            f"{zero_shot['gallery']:,} in the gallery"
        )
    return {
        "classes": f"{len(study.manifest.categories):,}",
        "train": f"{counts['train']:,}",
        "gallery": f"{counts['gallery']:,}",
        "queries": f"{counts[asking]:,}" + (" of validation" if asking != "query" else ""),
        "picture": f"{base.drawing.size} px",
        "epochs by stage": ", ".join(f"{name} {base.stages[name].epochs:g}" for name in STAGES),
        "seeds": ", ".join(map(str, study.config.seeds)),
        "device": device_name(),
        "time": duration(seconds_so_far(study.workdir)),
    } | held_out


def notes(study: Study) -> list[str]:
    """What a reader has to know beside the figures."""
    base, told = study.config.base, []
    if any(run.method == "dsh_sketch" for run in study.runs):
        told.append(
            f"DSH-Sketch has the word vectors of {Path(base.data.word_vectors).name}."
            if base.data.word_vectors
            else "DSH-Sketch has no word vectors here but vectors of the class names' spelling, "
            "which need no download and know no meaning; give a file in base.data.word_vectors."
        )
    if {"1", "4"} & {*study.config.tables}:
        told.append(
            "All rows of tables 1 and 4 begin from the same pretrained branches and train for the "
            "same epochs at the same learning rates; Our+CEL goes on under cross entropy alone "
            "where the others add their losses. Only the hash layer of DSH-Sketch keeps the "
            "branches' rate in any case."
        )
        told.append(
            "Scores are expectations over random orders inside ties of the Hamming distance, "
            "computed in closed form over the full ranking."
        )
    if "4" in study.config.tables:
        told.append("d1 and d2 are mean squared distances of the gallery's features in (0, 1).")
    if "6" in study.config.tables:
        told.append(
            "Table 6: single networks train for the epochs of stage 1 or 2; both branches begin "
            "from two of them and train on for the epochs of stages 3 to 5, so a part of their "
            "gain may be that of longer training. Accuracy is on the gallery, as in the paper."
        )
    if "2" in study.config.tables:
        told.append(
            f"Table 2: HOG of pictures of {study.config.hog_size} px; deep features are the "
            f"{DEEP_FEATURES} of the fusion layer of a network trained with cross entropy, as "
            "SketchMate describes. Every method sees the whole training split."
        )
    told += study.config.notes
    zero_shot = zero_shot_results(study)
    if zero_shot is not None:
        told.append(
            "Zero-shot: queries and gallery are the sketches of "
            f"{len(zero_shot['unseen'])} classes kept out of training: "
            f"{', '.join(zero_shot['unseen'])}."
        )
    return told


def zero_shot_results(study: Study) -> dict[str, Any] | None:
    """Of the first row of the zero-shot table that has ended, whose classes are those of all."""
    for name in ROWS["zero-shot"]:
        run = Key(name, study.config.zero_shot_bits, study.config.seeds[0], zero_shot=True)
        results = read_results(run_folder(study.workdir, run.name))
        if results is not None and "zero-shot" in study.config.tables:
            return results
    return None


def run_states(study: Study) -> list[RunState]:
    """The runs and measurements of a study, as far as they are."""
    states = []
    for run in study.runs:
        folder = run_folder(study.workdir, run.name)
        results = read_results(folder)
        if results is not None:
            states.append(RunState(run.name, run.label, "done", results["seconds_total"]))
        elif run.name in study.failures:
            states.append(RunState(run.name, run.label, "failed", why=study.failures[run.name]))
        else:
            begun = "begun" if (folder / "config.json").exists() else ""
            states.append(RunState(run.name, run.label, "to do", why=begun))
    for name, _, _ in measurements(study):
        done = measured(study.workdir, name) is not None
        state = "failed" if name in study.failures else "done" if done else "to do"
        states.append(RunState(name, "measurement", state, why=study.failures.get(name, "")))
    return states


def seconds_so_far(workdir: Path) -> float:
    """The time that the study has taken in all its calls."""
    path = workdir / "seconds.json"
    return float(json.loads(path.read_bytes())) if path.exists() else 0.0
