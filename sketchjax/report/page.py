"""WORKDIR/report: index.html with its figures and tables, readable without any network."""

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

from sketchjax.config.rules import QUERIES
from sketchjax.errors import DataError
from sketchjax.files import write_whole
from sketchjax.paper import numbers as paper
from sketchjax.report import mosaic, plots, tables
from sketchjax.report.choices import config_stages, leaves, open_choices
from sketchjax.report.material import (
    EntropyExample,
    Material,
    Neighbour,
    OpenChoice,
    PrecisionRecall,
    Retrieval,
    Stage,
    fill_stages,
    load_material,
    save_material,
)
from sketchjax.report.svg import path_data, view_box
from sketchjax.report.template import environment
from sketchjax.run.writers import JSON_OPTIONS, read_metrics, read_results


def write_report(
    workdir: str | Path,
    *,
    results: Mapping[str, Any],
    metrics: Sequence[Mapping[str, Any]],
    curve: PrecisionRecall | None = None,
    entropy_example: EntropyExample | None = None,
    retrievals: Sequence[Retrieval] = (),
    stages: Sequence[Stage] = (),
    choices: Sequence[OpenChoice] = (),
    measured_on: str = Material.measured_on,
    title: str = "",
) -> Path:
    """Write WORKDIR/report and return its index.html, which is written last.

    results, metrics: as `read_results` and `read_metrics` give them. The rest is described in
    `sketchjax.report.material`: what is missing is taken from the config, the metrics and the
    results where they have it, and left out of the page where not.
    """
    folder = Path(workdir) / "report"
    material = Material(
        curve=curve,
        entropy_example=entropy_example,
        retrievals=list(retrievals),
        stages=list(stages),
        open_choices=list(choices),
        measured_on=measured_on,
        title=title,
    )
    save_material(folder / "material.json", material)
    # As results.json will give them back: plain numbers and lists, whatever library made them.
    results = orjson.loads(orjson.dumps(results, option=JSON_OPTIONS))
    return _write(folder, results, metrics, material)


def rebuild(workdir: str | Path) -> Path:
    """Make WORKDIR/report anew from the files that the run left; returns its index.html.

    Raises DataError when the run has not come to its end.
    """
    results = read_results(workdir)
    if results is None:
        raise DataError(
            f"{Path(workdir) / 'results.json'} does not exist: the run has not come to its end; "
            "run it again with the same --workdir to finish it"
        )
    folder = Path(workdir) / "report"
    return _write(folder, results, read_metrics(workdir), load_material(folder / "material.json"))


def _write(
    folder: Path,
    results: Mapping[str, Any],
    metrics: Sequence[Mapping[str, Any]],
    material: Material,
) -> Path:
    material = _complete(material, results, metrics)
    figures = _write_figures(folder, results, metrics, material)
    written = _write_tables(folder, results, material)
    page = _environment().get_template("index.html.j2").render(
        results=results,
        material=material,
        figures=figures,
        tables=written,
        facts=_facts(results),
        source=paper.source(),
        size_note=tables.size_note(results),
        bounds=_bounds(results),
        choices=_by_question(material.open_choices),
        config=list(leaves(results["config"])),
        false_positive=mosaic.FALSE_POSITIVE,
    )  # fmt: skip
    path = folder / "index.html"
    write_whole(path, page.encode())
    return path


def _complete(
    material: Material, results: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]
) -> Material:
    """The material with what it lacks taken from the run's own files."""
    config = results["config"]
    stages = fill_stages(material.stages or config_stages(config), metrics, results)
    choices = material.open_choices or open_choices(config)
    return replace(material, stages=stages, open_choices=choices)


def _write_figures(
    folder: Path,
    results: Mapping[str, Any],
    metrics: Sequence[Mapping[str, Any]],
    material: Material,
) -> set[str]:
    """Draw every figure that there is material for; returns their names."""
    draws = {"training": partial(plots.training_curves, metrics)}
    draws["speed"] = partial(plots.stage_speed, material.stages)
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
    """Write each table as CSV; returns those that the page shows, by name."""
    distances = tables.distance_table(results)
    made = [tables.result_table(results), *([distances] if distances else [])]
    if material.stages:
        made.append(tables.stage_table(material.stages, results["bits"], material.measured_on))
        made.append(tables.speed_table(material.stages))
    if material.retrievals:
        made.append(tables.retrieval_table(material.retrievals))
    if material.curve is not None:
        made.append(_curve_table(material.curve))
    for table in made:
        tables.write_csv(folder, table)
    return {table.name: table for table in made}


def _curve_table(curve: PrecisionRecall) -> tables.Table:
    rows = zip(np.asarray(curve.recall).tolist(), np.asarray(curve.precision).tolist(), strict=True)
    return tables.Table(
        "precision_recall", "Precision and recall.", ("recall", "precision"), tuple(rows)
    )


def _facts(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The sizes of the run, for the lines under the headline."""
    counts = ("classes", "train", "gallery", "queries")
    asking = results["config"].get("evaluation", {}).get("queries", "query")
    words = ("classes", "training sketches", "gallery sketches", QUERIES[asking])
    facts = [(tables.shown(results[key]), word) for key, word in zip(counts, words, strict=True)]
    facts.append((tables.duration(results["seconds_total"]), "in all"))
    facts.append((str(results["device"]), "device"))
    return facts


def _bounds(results: Mapping[str, Any]) -> list[tuple[int, float, float | None]]:
    """Each precision@k of the results with the most it can be: (k, value, bound or None)."""
    prefix = "precision_at_"
    ks = sorted(
        int(key.removeprefix(prefix))
        for key in results
        if key.startswith(prefix) and key.removeprefix(prefix).isdigit() and results["bits"]
    )
    return [(k, results[f"{prefix}{k}"], tables.precision_bound(results, k)) for k in ks]


def _by_question(choices: Sequence[OpenChoice]) -> dict[str, list[OpenChoice]]:
    grouped: dict[str, list[OpenChoice]] = {}
    for choice in choices:
        grouped.setdefault(choice.question, []).append(choice)
    return grouped


def _sketch(points: np.ndarray, label: str) -> Markup:
    """A sketch as inline SVG in the colour of the text around it; label: what a reader hears."""
    return Markup(
        '<svg class="sketch" viewBox="{}" role="img" aria-label="{}"><path d="{}"/></svg>'
    ).format(view_box(points), label, path_data(points))


def _verdict(rank: int, result: Neighbour) -> str:
    """One result in words: for a pointer that rests on it, and for those who listen."""
    verdict = "correct" if result.correct else "false positive"
    return f"{rank}: {result.category}, Hamming distance {result.distance}, {verdict}"


def _environment() -> Environment:
    own = environment()
    own.filters["shown"] = tables.shown
    own.globals.update(sketch=_sketch, verdict=_verdict)
    return own
