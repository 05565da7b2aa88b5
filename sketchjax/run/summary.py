"""The last lines of a run on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from sketchjax.run.output import console
from sketchjax.wording import counted

if TYPE_CHECKING:
    from sketchjax.run.compare import Comparison
    from sketchjax.run.compare_scores import Score


def print_summary(results: dict[str, Any], workdir: Path) -> None:
    """Print the main figures and where the report is.

    results: as in results.json. An evaluation on other data has no number of training sketches.
    workdir: of the run, or where the evaluation was written.
    """
    out = console()
    scores = []
    if results.get("map") is not None:
        scores += [
            f"MAP {results['map']:.4f} (between {results['map_worst']:.4f} and "
            f"{results['map_best']:.4f} over orders of ties)",
            f"precision@200 {results['precision_at_200']:.4f}",
        ]
    if results["accuracy"] is not None:
        scores.append(f"accuracy {results['accuracy']:.4f}")
    out.print("  ".join(scores) or "no score is defined for these data", markup=False)
    by_features = results.get("feature_rankings", ())
    for ranking in by_features:
        first = all(ranking[side] == by_features[0][side] for side in ("queries", "gallery"))
        if first and ranking["map"] is not None:
            out.print(
                f"by {ranking['distance']} distance of features: MAP {ranking['map']:.4f}  "
                f"recall@1 {ranking['recall_at_1']:.4f}",
                markup=False,
            )
    for ranking in results.get("photo_rankings", ()):
        if own := ranking["instance"]:
            recalls = "  ".join(f"recall@{k} {own[f'recall_at_{k}']:.4f}" for k in (1, 5, 10))
            out.print(
                f"own photo among {ranking['gallery_count']:,} by {ranking['distance']} distance: "
                f"{recalls} (at random {own['recall_at_1_chance']:.4f})",
                markup=False,
            )
    sizes = ["recognition" if results["bits"] is None else f"{results['bits']} bits"]
    sizes.append(counted(results["classes"], "class", "classes"))
    for key, what in (("train", "sketches"), ("train_photos", "photos")):
        if results.get(key):
            sizes.append(f"{results[key]:,} training {what}")
    sizes.append(
        f"{counted(results['queries'], 'query', 'queries')} against {results['gallery']:,}"
    )
    out.print(", ".join(sizes), markup=False)
    if left_out := results.get("queries_without_relevant"):
        more = counted(left_out, "query", "queries")
        out.print(f"not scored: {more} of a category that the gallery lacks", markup=False)
    out.print(f"report: {workdir / 'report' / 'index.html'}", markup=False)


def print_recoded(results: list[dict[str, Any]], folder: Path) -> None:
    """Print a row for the model's own codes and one for each length of its posterior codes.

    results: of each length, as `run.recode.recode` returns them.
    folder: where they were written.
    """
    zero_shot = any(each["unseen"] for each in results)
    columns = ("MAP", "of unseen classes") if zero_shot else ("MAP",)
    table = Table("codes", "bits", *columns, "validation MAP", "spread", "temperature", "accuracy")

    def maps(row: dict[str, Any]) -> list[str]:
        names = ("map_seen", "map") if zero_shot else ("map",)
        return [_figure(row[name]) for name in names]

    if own := results[0]["own"]:
        table.add_row("own", str(own["bits"]), *maps(own), "", "", "", "")
    for each in results:
        chosen = each["posterior"]
        row = [_figure(each["map_validation"]), f"{chosen['spread']:g}"]
        row += [f"{chosen['temperature']:g}", _figure(each["accuracy"])]
        table.add_row("posterior", str(each["bits"]), *maps(each), *row)
    ceiling = [_figure(results[0]["map_posteriors"])]
    table.add_row("posterior, floats", "", *ceiling, *[""] * (len(columns) + 3))
    out = console()
    out.print(table)
    out.print(f"models: {folder}/BITS/model.safetensors", markup=False)


def print_compared(comparison: Comparison, scores: list[Score]) -> None:
    """Print a row for each objective and length, the best on validation sketches first.

    comparison: as `run.compare.compare` returns it.
    scores: as `run.compare_scores.score` returns them; empty where no query was looked at. The
      first ranking is shown.
    """
    columns = ["bits", "objective", "validation MAP"]
    if scores:
        unseen = ", unseen classes" if comparison.sources[0].unseen.any() else ""
        columns += [f"MAP{unseen}", "P@100"]
    else:
        columns += ["learning rate", "seconds", "kB"]
    table = Table(*columns)
    first = {(each.objective, each.bits): each for each in reversed(scores)}
    for row in comparison.rows:
        cells = [str(row.bits), row.objective, spread(row.map_validation)]
        if scores:
            own = first.pop((row.objective, row.bits), None)
            cells += [spread(own.map), spread(own.precision_at_100)] if own else ["-", "-"]
        else:
            rate = "-" if row.learning_rate is None else f"{row.learning_rate:g}"
            seconds = "-" if row.seconds is None else f"{row.seconds:.1f}"
            cells += [rate, seconds, f"{row.bytes / 1000:,.0f}"]
        table.add_row(*cells)
    for each in first.values():
        table.add_row("", f"{each.objective}, floats", "", spread(each.map))
    out = console()
    out.print(table)
    out.print(f"rows and heads: {comparison.out}", markup=False)


def spread(values: Sequence[float | None], *, digits: int = 4, none: str = "-") -> str:
    """The mean of what is there, and its standard deviation; `none` without any."""
    found = [value for value in values if value is not None]
    if not found:
        return none
    deviation = f" ± {np.std(found, ddof=1):.{digits}f}" if len(found) > 1 else ""
    return f"{np.mean(found):.{digits}f}{deviation}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
