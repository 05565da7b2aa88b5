"""WORKDIR/report: index.html with its figures and tables, readable without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from jinja2 import Environment
from markupsafe import Markup

from sketchjax.data.inputs import SKETCH, items_of, part_words, side_and_split
from sketchjax.files import JSON_OPTIONS, write_whole
from sketchjax.report import mosaic, tables
from sketchjax.report.choices import config_stages, leaves
from sketchjax.report.material import (
    EntropyExample,
    Material,
    Neighbour,
    OpenChoice,
    PrecisionRecall,
    Reference,
    Retrieval,
    StageRow,
    fill_stages,
    load_material,
    save_material,
)
from sketchjax.report.svg import path_data, view_box
from sketchjax.report.template import environment

# Scores that the page can do without: a run may lack them.
SCORES = ("map", "map_best", "map_worst", "map_stable", "accuracy", "bits")


def write_report(
    workdir: str | Path,
    *,
    results: Mapping[str, Any],
    metrics: Sequence[Mapping[str, Any]],
    curve: PrecisionRecall | None = None,
    entropy_example: EntropyExample | None = None,
    retrievals: Sequence[Retrieval] = (),
    stages: Sequence[StageRow] = (),
    choices: Sequence[OpenChoice] = (),
    title: str = "",
    reference: Reference | None = None,
) -> Path:
    """Write WORKDIR/report and return its index.html, which is written last.

    Parts that are missing are left out of the page. All but results and metrics is kept in
    report/material.json, from which `write_page` makes the page again.

    results: as in results.json.
    metrics: the lines of metrics.jsonl.
    curve: precision and recall over the full ranking.
    entropy_example: one category's training sketches by image entropy.
    retrievals: a few queries with their nearest gallery sketches.
    stages: rows of the table of stages, as `choices.config_stages` makes them; missing values come
      from metrics and results, and by default the rows from the config in results.
    choices: this run's choices, as `choices.open_choices` makes them.
    title: what the run is called.
    reference: published figures to set next to the run's own; None to show only its own.
    """
    folder = Path(workdir) / "report"
    material = Material(
        curve=curve,
        entropy_example=entropy_example,
        retrievals=list(retrievals),
        stages=list(stages),
        open_choices=list(choices),
        title=title,
        reference=reference,
    )
    path = folder / "material.json"
    save_material(path, material)
    # As the files will return them: plain numbers and lists, whatever library made them.
    material = load_material(path)
    results = orjson.loads(orjson.dumps(results, option=JSON_OPTIONS))
    return write_page(folder, results, metrics, material)


def write_page(
    folder: Path,
    results: Mapping[str, Any],
    metrics: Sequence[Mapping[str, Any]],
    material: Material,
) -> Path:
    """Write a report's tables, its figures and then its index.html; returns the latter's path.

    folder: the report's folder.
    results: as in results.json; scores that do not exist may be missing or None.
    metrics: the lines of metrics.jsonl.
    material: everything else.
    """
    results = dict.fromkeys(SCORES) | dict(results)
    material = _complete(material, results, metrics)
    figures = _write_figures(folder, results, metrics, material)
    written = _write_tables(folder, results, material)
    page = _environment().get_template("index.html.j2").render(
        results=results,
        material=material,
        reference=material.reference,
        figures=figures,
        tables=written,
        facts=_facts(results),
        bounds=_bounds(results),
        task=_task(results),
        ranked=part_words(_ranking(results)[1]),
        items=_items(_ranking(results)[1]),
        trained_on=_trained_on(results),
        accuracy=any("accuracy" in line for line in metrics),
        choices=_by_question(material.open_choices),
        config=list(leaves(results["config"])),
    )  # fmt: skip
    path = folder / "index.html"
    write_whole(path, page.encode())
    return path


def _complete(
    material: Material, results: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]
) -> Material:
    """The material with its stages filled from the run's own files."""
    stages = material.stages or config_stages(results["config"], {}, results.get("after_stages"))
    return replace(material, stages=fill_stages(stages, metrics, results))


def _write_figures(
    folder: Path,
    results: Mapping[str, Any],
    metrics: Sequence[Mapping[str, Any]],
    material: Material,
) -> set[str]:
    """Draw every figure that there is material for; returns their names."""
    # Imported here: matplotlib takes 0.4 s, which a run that is stopped need not wait for.
    from sketchjax.report import plots

    draws = {"training": partial(plots.training_curves, metrics)}
    draws["speed"] = partial(plots.stage_speed, material.stages, _trained_on(results))
    if material.curve is not None:
        draws["precision_recall"] = partial(
            plots.precision_recall, material.curve, int(results["bits"])
        )
    if material.entropy_example is not None and len(material.entropy_example.entropies):
        draws["entropy"] = partial(plots.entropy_histogram, material.entropy_example)
    drawn = {name for name, draw in draws.items() if plots.write_figure(folder, name, draw)}
    for number, retrieval in enumerate(material.retrievals, 1):
        mosaic.write_mosaic(folder / f"retrieval-{number}.png", retrieval)
    return drawn


def _write_tables(
    folder: Path, results: Mapping[str, Any], material: Material
) -> dict[str, tables.Table]:
    """Write each table as CSV; returns all of them by name."""
    reference = material.reference
    made = [
        tables.result_table(results, reference and reference.results),
        tables.distance_table(results, reference and reference.distances),
        tables.ranking_table(results),
        tables.feature_table(results),
        tables.photo_table(results),
    ]
    if material.stages:
        made.append(
            tables.stage_table(material.stages, results["bits"], _ranking(results), reference)
        )
        made.append(tables.speed_table(material.stages, _trained_on(results)))
    if material.retrievals:
        made.append(tables.retrieval_table(material.retrievals, _ranking(results)[1]))
    if material.curve is not None:
        made.append(_curve_table(material.curve))
    written = {table.name: table for table in made if table is not None}
    for table in written.values():
        tables.write_csv(folder, table)
    return written


def _curve_table(curve: PrecisionRecall) -> tables.Table:
    rows = zip(np.asarray(curve.recall).tolist(), np.asarray(curve.precision).tolist(), strict=True)
    return tables.Table(
        "precision_recall", "Precision and recall.", ("recall", "precision"), tuple(rows)
    )


def _facts(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The sizes of the run that it has, for the lines under the headline."""
    words = {
        "classes": "classes",
        "train": "training sketches",
        "train_photos": "training photos",
        "gallery": part_words(_ranking(results)[1]),
        "queries": _queries_words(_ranking(results)[0]),
    }
    if not results.get("train"):  # photos only
        del words["train"]
    if results.get("queries_without_relevant"):
        words["queries_without_relevant"] = (
            "queries not scored, of a category that the gallery lacks"
        )
    facts = [
        (tables.cell_text(results[key]), word)
        for key, word in words.items()
        if results.get(key) is not None
    ]
    facts.append((tables.duration(results["seconds_total"]), "in total"))
    facts.append((str(results["device"]), "device"))
    return facts


def _ranking(results: Mapping[str, Any]) -> tuple[str, str]:
    """The parts of queries and gallery of the first ranking."""
    rankings = results.get("rankings")
    if rankings:
        return rankings[0]["queries"], rankings[0]["gallery"]
    # A run of an older version.
    return (results["config"].get("evaluation") or {}).get("queries", "query"), "gallery"


def _items(part: str) -> str:
    return items_of([side_and_split(part)[0]])


def _task(results: Mapping[str, Any]) -> str:
    """What the run's model is for, in words."""
    if not results["bits"]:
        return "Sketch recognition"
    queries, gallery = map(_items, _ranking(results))
    if gallery == "sketches":
        return "Sketch retrieval"
    return "Photo retrieval" if queries == "photos" else "Photo retrieval by sketches"


def _queries_words(queries: str) -> str:
    """The queries in words: those of other splits are named by the split."""
    if _items(queries) == "photos":
        return part_words(queries)
    return "queries" if queries == "query" else f"{queries} queries"


def _trained_on(results: Mapping[str, Any]) -> str:
    """The items of the training batches of all stages."""
    stages = (results["config"].get("stages") or {}).values()
    found = {items_of((stage or {}).get("inputs") or [SKETCH]) for stage in stages}
    return " or ".join(sorted(found, reverse=True)) or "sketches"


def _bounds(results: Mapping[str, Any]) -> list[tuple[int, float, float | None]]:
    """Each precision@k of the results with its upper bound: (k, value, bound or None)."""
    if not results["bits"]:
        return []
    return [
        (k, results[f"{tables.PRECISION}{k}"], tables.precision_bound(results, k))
        for k in tables.ranks(results)
    ]


def _by_question(choices: Sequence[OpenChoice]) -> dict[str, list[OpenChoice]]:
    grouped: dict[str, list[OpenChoice]] = {}
    for choice in choices:
        grouped.setdefault(choice.question, []).append(choice)
    return grouped


def _sketch(points: np.ndarray, label: str, picture: str = "") -> Markup:
    """A sketch as inline SVG in the colour of the text around it, or a picture.

    label: for screen readers.
    picture: a data URI; empty: the points are drawn.
    """
    if picture:
        return Markup('<img class="sketch" src="{}" alt="{}">').format(picture, label)
    return Markup(
        '<svg class="sketch" viewBox="{}" role="img" aria-label="{}"><path d="{}"/></svg>'
    ).format(view_box(points), label, path_data(points))


def _verdict(rank: int, result: Neighbour) -> str:
    """One result in words, for tooltips and screen readers."""
    verdict = "correct" if result.correct else "false positive"
    if result.exact:
        verdict = "the photo that was drawn"
    return f"{rank}: {result.category}, Hamming distance {result.distance}, {verdict}"


def _environment() -> Environment:
    own = environment()
    own.filters["cell"] = tables.cell_text
    own.globals.update(sketch=_sketch, verdict=_verdict)
    return own
