"""Progress bars of making and converting data: whole files or shards, sketches, their rate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def progress_bars(console: Console) -> Iterator[Progress]:
    """Show progress bars on a console, unless it is quiet."""
    columns = (
        TextColumn("{task.description:<8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TextColumn("{task.fields[sketches]:,} {task.fields[what]}"),
        TextColumn("{task.fields[rate]:,.0f}/s"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=console.quiet) as bars:
        yield bars


class Bar:
    """One line of progress: whole files or shards out of all, sketches so far, and their rate.

    It is shown where there is anything to do. what: "pictures" in place of "sketches".
    """

    def __init__(
        self,
        bars: Progress,
        title: str,
        unit: str,
        total: int,
        done: int,
        what: str = "sketches",
    ):
        self._bars, self._sketches = bars, 0
        self._id = bars.add_task(
            title,
            total=total,
            completed=done,
            visible=total > 0,
            unit=unit,
            what=what,
            sketches=0,
            rate=0.0,
        )

    def sketches(self, number: int) -> None:
        """Add sketches."""
        self._sketches += number
        elapsed = self._bars.tasks[self._id].elapsed or 0.0
        rate = self._sketches / elapsed if elapsed else 0.0
        self._bars.update(self._id, sketches=self._sketches, rate=rate)

    def finished(self) -> None:
        """Count one more file or shard as whole."""
        self._bars.advance(self._id)
