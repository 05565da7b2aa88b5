"""The table of the study of objectives, on the terminal and in a Markdown document."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from statistics import mean

from sketchjax.paper.marked import markdown_table, plain, print_table, write_marked
from sketchjax.paper.objectives.results import Found, Results
from sketchjax.report.tables import NO_NUMBER
from sketchjax.run.summary import spread

_cell = partial(spread, digits=3, none=NO_NUMBER)
MARK = "objectives"  # of the table's place in a document


def grid(results: Results) -> tuple[list[str], list[list[str]]]:
    """The columns and the rows of the table: objectives by their mean rank over all lengths."""
    lengths = sorted({row.bits for row in results.rows})
    by_name: dict[str, dict[int, Found]] = {}
    for row in results.rows:
        by_name.setdefault(row.objective, {})[row.bits] = row
    ranks = _ranks(results, lengths)
    columns = ["objective", "mean rank", *(f"{bits} bits" for bits in lengths)]
    if results.unseen:
        columns += [f"unseen, {bits}" for bits in lengths]
    columns += ["seconds", "kB"]
    cells = []
    for name in sorted(by_name, key=lambda name: mean(ranks[name])):
        own = by_name[name]
        line = [name, f"{mean(ranks[name]):.1f}", *(_cell(own[bits].map) for bits in lengths)]
        if results.unseen:
            line += [_cell(own[bits].map_unseen) for bits in lengths]
        last = own[lengths[-1]]
        line += [
            NO_NUMBER if last.seconds is None else f"{last.seconds:.1f}",
            f"{last.bytes / 1e3:,.0f}",
        ]
        cells.append(line)
    if results.map_posteriors:
        line = ["posteriors, floats", NO_NUMBER, *[_cell(results.map_posteriors)] * len(lengths)]
        if results.unseen:
            line += [_cell(results.map_posteriors_unseen)] * len(lengths)
        cells.append([*line, NO_NUMBER, NO_NUMBER])
    return columns, cells


def _ranks(results: Results, lengths: list[int]) -> dict[str, list[int]]:
    """The place of each objective at each length, from 1; rows are sorted already."""
    ranks: dict[str, list[int]] = {}
    for bits in lengths:
        own = [row.objective for row in results.rows if row.bits == bits]
        for place, name in enumerate(own, 1):
            ranks.setdefault(name, []).append(place)
    return ranks


def print_results(results: Results) -> None:
    """Print the table."""
    print_table(results.name, *grid(results))


def markdown(results: Results) -> str:
    """The table, with what a reader has to know."""
    columns, rows = grid(results)
    runs = max(len(row.map_validation) for row in results.rows)
    of_runs = f"mean and standard deviation of {runs} runs, each with heads of its own"
    notes = [
        f"MAP of {results.queries} sketches against {results.gallery}, exact under ties: "
        f"{of_runs if runs > 1 else 'one run'}. Seconds (on {results.device}) and sizes are of one "
        "head at the longest codes.",
    ]
    if results.unseen:
        notes.append(
            f"Unseen: the sketches of {len(results.unseen)} classes kept out of training, "
            f"ranked among themselves: {plain(', '.join(results.unseen))}."
        )
    return "\n\n".join([markdown_table(columns, rows), *notes])


def write_table(path: Path, results: Results) -> None:
    """Write the table to a Markdown file; raises as `write_marked` does."""
    write_marked(path, MARK, markdown(results), title=results.name)
