"""The table of a study of variants, on the terminal and in a Markdown document."""

from __future__ import annotations

from pathlib import Path

from sketchjax.paper.marked import markdown_table, print_table, write_marked
from sketchjax.paper.variants.results import Results, Row
from sketchjax.report.tables import NO_NUMBER
from sketchjax.run.summary import spread


def grid(results: Results) -> tuple[list[str], list[list[str]]]:
    """The columns and the rows: mean and standard deviation, and the differences from the first."""
    first = results.rows[0]
    figures = [*first.figures]
    columns = ["", *map(_heading, figures)]
    if len(results.rows) > 1:
        columns.append(f"{columns[1]}, less that of “{first.label}”")
    cells = []
    for row in results.rows:
        line = [row.label, *(_cell(row.figures[figure]) for figure in figures)]
        if len(results.rows) > 1:
            line.append("" if row is first else _cell(_differences(row, first, figures[0])))
        cells.append(line)
    return columns, cells


def _heading(figure: str) -> str:
    """A figure as people write it: "recall@10, euclidean" of euclidean:recall_at_10."""
    distance, _, name = figure.rpartition(":")
    words = name.replace("_at_", "@").replace("_", " ")
    words = "MAP" if words == "map" else words
    return f"{words}, {distance}" if distance else words


def _differences(row: Row, first: Row, figure: str) -> list[float | None]:
    """Seed by seed: what two seeds have in common is in neither mean."""
    pairs = zip(row.figures[figure], first.figures[figure], strict=True)
    return [None if own is None or other is None else own - other for own, other in pairs]


def _cell(values: tuple[float | None, ...] | list[float | None]) -> str:
    return spread(values, digits=3, none=NO_NUMBER)


def print_results(results: Results) -> None:
    """Print the table."""
    print_table(results.name, *grid(results))


def markdown(results: Results) -> str:
    """The table, with what a reader has to know."""
    trained = [_trained(row) for row in results.rows]
    low, most = min(trained), max(trained)
    seeds = f"{most}" if low == most else f"{low} to {most}"
    values = [value for row in results.rows for own in row.figures.values() for value in own]
    note = f"Mean and standard deviation of {seeds} seeds" if most > 1 else "One seed"
    note += f", on {results.device}" if results.device else ""
    note += ". Differences are taken seed by seed."
    if None in values:
        note += f" {NO_NUMBER}: not there, or not trained yet."
    return "\n\n".join([markdown_table(*grid(results)), note])


def _trained(row: Row) -> int:
    """How many seeds of a row have been trained."""
    seeds = zip(*row.figures.values(), strict=True)
    return sum(any(value is not None for value in seed) for seed in seeds)


def write_table(path: Path, results: Results) -> None:
    """Write the table to a Markdown file; raises as `write_marked` does."""
    write_marked(path, results.name, markdown(results), title=results.name)
