"""What a person sees while a run goes on: a bar for each stage, or a plain line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn


@dataclass
class _Row:
    """One stage or task: its place in the bars, and the clock behind its time left."""

    name: str
    total: int
    task: TaskID
    epochs: float | None = None
    first_done: int = 0
    first_time: float | None = None
    done: int = 0
    now: float = 0.0
    figures: str = ""

    def reach(self, done: int, now: float) -> None:
        # The first report starts the clock: what lies before it is mostly compilation.
        if self.first_time is None:
            self.first_time, self.first_done = now, done
        self.done, self.now = done, now

    @property
    def seconds_left(self) -> float | None:
        """Seconds at the pace since the first report, None before there is a pace."""
        if self.first_time is None or self.done <= self.first_done:
            return None
        pace = (self.now - self.first_time) / (self.done - self.first_done)
        return pace * (self.total - self.done)

    @property
    def place(self) -> str:
        """Where the row stands: the epoch of a stage, the count of a task."""
        if self.epochs is None:
            return f"{self.done:,}/{self.total:,}"
        return f"epoch {self.epochs * self.done / max(self.total, 1):.2f}/{self.epochs:g}"

    @property
    def left(self) -> str:
        if self.done >= self.total:
            return "done"
        return "" if self.seconds_left is None else f"{clock(self.seconds_left)} left"


def clock(seconds: float) -> str:
    """Seconds as m:ss, or h:mm:ss from one hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class TrainingProgress:
    """Bars on a terminal, one line a stage; elsewhere a plain line at most every `interval` s.

    ```python
    with TrainingProgress() as progress:
        progress.stage("joint", epochs=5, steps=1000)
        progress.update(120, loss=0.81, accuracy=0.77, sketches_per_second=1234)
        with progress.task("encoding gallery", total=345_000) as advance:
            advance(1024)
    ```

    active: false in every process but 0, where nothing is shown.
    interval: seconds between two plain lines of one stage; its last line always comes.
    """

    def __init__(
        self,
        *,
        active: bool = True,
        console: Console | None = None,
        interval: float = 10.0,
        now: Callable[[], float] = time.monotonic,
    ):
        # Wide where there is no terminal, or rich would fold a log's lines at 80 columns.
        self._console = console or Console(soft_wrap=True, highlight=False)
        self._active = active
        self._interval = interval
        self._now = now
        self._row: _Row | None = None
        self._last_line = float("-inf")
        self._bars = Progress(
            TextColumn("{task.description:<8}"),
            TextColumn("{task.fields[place]}"),
            BarColumn(bar_width=None, style="grey37", complete_style="blue"),
            TextColumn("{task.fields[figures]}"),
            TextColumn("{task.fields[left]}", justify="right"),
            console=self._console,
            disable=not (active and self._console.is_terminal),
            expand=True,
        )

    def __enter__(self) -> TrainingProgress:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def stage(self, name: str, *, epochs: float, steps: int, done: int = 0) -> None:
        """Begin the line of a stage of `steps` steps, of which a resumed run has `done` behind it.

        epochs: what the steps amount to; the line counts them.
        """
        self._row = self._add(name, steps, epochs=epochs)
        if done:
            self._row.done = done
            self._bars.update(self._row.task, completed=done)
            self.note(f"{name}: going on from epoch {epochs * done / steps:.2f}")

    def update(self, step: int, *, sketches_per_second: float | None = None, **values: float):
        """Show that the stage has reached `step` of its steps, with values such as loss.

        values: name=number in the order to be shown; names as in metrics.jsonl.
        Raises ValueError when no stage has begun.
        """
        if self._row is None:
            raise ValueError("update() comes before stage(); begin a stage first")
        figures = [f"{name.replace('_', ' ')} {value:.4g}" for name, value in values.items()]
        if sketches_per_second is not None:
            figures.append(f"{sketches_per_second:,.0f} sketches/s")
        self._row.figures = "  ".join(figures)
        self._show(self._row, step)

    @contextmanager
    def task(self, name: str, *, total: int) -> Iterator[Callable[[int], None]]:
        """A simple bar for work beside training; yields advance(count), called as items are done.

        total: the number of items, such as the sketches to encode. The bar goes when they are done.
        """
        row = self._add(name, total)

        def advance(count: int) -> None:
            self._show(row, row.done + count)

        try:
            yield advance
        finally:
            self._bars.remove_task(row.task)

    def note(self, text: str) -> None:
        """Print a line that stays, such as a validation's figures, above the bars."""
        if self._active:
            self._console.print(text, markup=False, highlight=False)

    def _add(self, name: str, total: int, epochs: float | None = None) -> _Row:
        task = self._bars.add_task(name, total=total, place="", figures="", left="")
        self._last_line = float("-inf")
        return _Row(name, total, task, epochs)

    def _show(self, row: _Row, done: int) -> None:
        row.reach(done, self._now())
        self._bars.update(
            row.task, completed=done, place=row.place, figures=row.figures, left=row.left
        )
        if not self._bars.disable or not self._active:
            return
        if done >= row.total or row.now - self._last_line >= self._interval:
            self._last_line = row.now
            percent = f"{100 * done / max(row.total, 1):.0f} %"
            parts = (f"{row.name:<8}", row.place, percent, row.figures, row.left)
            self.note("  ".join(part for part in parts if part))
