"""A study in the terminal: its progress and its tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.markup import escape
from rich.table import Table

from sketchjax.paper.report.layout import Block, Grid
from sketchjax.paper.report.material import STATES, RunState, StudyMaterial
from sketchjax.paper.report.scores import METRICS, pair_text
from sketchjax.paper.report.tables import grids
from sketchjax.report.tables import NO_NUMBER

STYLES = {"done": "green", "running": "bold cyan", "to do": "dim", "failed": "bold red"}


def progress_table(runs: Sequence[RunState]) -> Table:
    """One row per run with its state, minutes, and why it failed or waits; totals at the bottom."""
    counts = Counter(run.state for run in runs)
    total = sum(run.seconds or 0.0 for run in runs)
    summary = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    table = Table(show_footer=bool(runs))
    table.add_column("run", footer=f"{len(runs)} runs", no_wrap=True)
    table.add_column("what", footer=summary)
    table.add_column("state", no_wrap=True)
    table.add_column("minutes", footer=f"{total / 60:.1f}", justify="right", no_wrap=True)
    table.add_column("why")
    for run in runs:
        minutes = NO_NUMBER if run.seconds is None else f"{run.seconds / 60:.1f}"
        style = STYLES.get(run.state, "")
        state = f"[{style}]{run.state}[/]" if style else escape(run.state)
        table.add_row(escape(run.name), escape(run.what), state, minutes, escape(run.why))
    return table


def result_tables(material: StudyMaterial) -> Iterator[Table]:
    """The paper's tables with our scores next to its own, one for each block."""
    for grid in grids(material):
        for block in grid.blocks:
            yield _result_table(grid, block)


def _result_table(grid: Grid, block: Block) -> Table:
    table = Table(title=escape(", ".join(part for part in (grid.title, block.heading) if part)))
    table.add_column("method")
    for column in grid.columns:
        label = METRICS[column.metric].label
        bits = "" if column.bits is None else f", {column.bits} bits"
        table.add_column(f"{label}{bits}", justify="right")
    for line in block.lines:
        cells = [
            pair_text(score, column.metric, "[bold]{}[/]")
            for score, column in zip(line.scores, grid.columns, strict=True)
        ]
        table.add_row(escape(line.label), *cells)
    table.caption = "ours / paper, measured on different data"
    return table
