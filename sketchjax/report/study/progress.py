"""How far a study is, for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from sketchjax.report.study.material import STATES, RunState
from sketchjax.report.tables import NO_NUMBER

STYLES = {"done": "green", "running": "bold cyan", "to do": "dim", "failed": "bold red"}


def progress_table(runs: Sequence[RunState]) -> Table:
    """A row a run: its state, its minutes, and why it failed or waits; the sums in the footer."""
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
