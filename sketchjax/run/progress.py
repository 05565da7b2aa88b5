"""What a person sees while a run trains: a bar for each stage, or a plain line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from sketchjax.run.output import console as output_console


@dataclass
class _Row:
    """One stage or task: its bar, and what the estimate of its remaining time needs."""

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
        # The clock starts at the first report: the time before it is mostly compilation.
        if self.first_time is None:
            self.first_time, self.first_done = now, done
        self.done, self.now = done, now

    @property
    def seconds_left(self) -> float | None:
        """Remaining seconds at the pace since the first report; None before there is a pace."""
        if self.first_time is None or self.done <= self.first_done:
            return None
        pace = (self.now - self.first_time) / (self.done - self.first_done)
        return pace * (self.total - self.done)

    @property
    def place(self) -> str:
        """How far the row is: the epoch of a stage, the count of a task."""
        if self.epochs is None:
            return f"{self.done:,}/{self.total:,}"
        return f"epoch {self.epochs * self.done / max(self.total, 1):.2f}/{self.epochs:g}"

    @property
    def left(self) -> str:
        """The remaining time in words."""
        if self.done >= self.total:
            return "done"
        return "" if self.seconds_left is None else f"{clock(self.seconds_left)} left"


def clock(seconds: float) -> str:
    """Seconds as m:ss, or as h:mm:ss from one hour upwards."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class TrainingProgress:
    """Bars on a terminal, one per stage; elsewhere a plain line at most every `interval` seconds.

    ```python
    with TrainingProgress() as progress:
        progress.stage("first", epochs=5, steps=1000)
        progress.update(120, loss=0.81, accuracy=0.77, speed="1,234 sketches/s")
        with progress.task("encoding gallery", total=345_000) as advance:
            advance(1024)
    ```

    active: False in every process but 0, where nothing is shown.
    console: where to print; by default stdout, through `run.output`.
    interval: seconds between two plain lines of a stage; the stage's last line is always printed.
    now: the clock, in seconds.
    """

    def __init__(
        self,
        *,
        active: bool = True,
        console: Console | None = None,
        interval: float = 10.0,
        now: Callable[[], float] = time.monotonic,
    ):
        self._console = console or output_console()
        self._active = active
        self._interval = interval
        self._now = now
        self._row: _Row | None = None
        self._last_line = float("-inf")
        self._bars = Progress(
            # Stage names are free text: a name such as "joint [2]" is not markup.
            TextColumn("{task.description:<8}", markup=False),
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
        """Begin the bar of a stage.

        name: the stage's name.
        epochs: how many epochs its steps amount to; the bar counts epochs.
        steps: all of the stage's steps.
        done: steps that an earlier call of the run has done.
        """
        self._row = self._add(name, steps, epochs=epochs)
        if done:
            self._row.done = done
            self._bars.update(self._row.task, completed=done)
            self.note(f"{name}: resuming at epoch {epochs * done / steps:.2f}")

    def update(self, step: int, *, speed: str = "", **values: float):
        """Show how far the stage is.

        step: the stage's steps done so far.
        speed: of training, with its unit.
        values: numbers to show, such as loss, in this order; named as in metrics.jsonl.
        Raises ValueError when no stage has begun.
        """
        if self._row is None:
            raise ValueError("update() was called before stage(); begin a stage first")
        figures = [f"{name.replace('_', ' ')} {value:.4g}" for name, value in values.items()]
        self._row.figures = "  ".join(figures + [speed] * bool(speed))
        self._show(self._row, step)

    @contextmanager
    def task(self, name: str, *, total: int) -> Iterator[Callable[[int], None]]:
        """Show a bar for work other than training; yields advance(count), to call as items finish.

        The bar disappears when the context ends.

        name: of the work, such as "encoding gallery".
        total: the number of items, such as sketches to encode.
        """
        row = self._add(name, total)

        def advance(count: int) -> None:
            self._show(row, row.done + count)

        try:
            yield advance
        finally:
            self._bars.remove_task(row.task)

    def note(self, text: str) -> None:
        """Print a line that stays above the bars, such as the scores after a stage."""
        if self._active:
            self._console.print(text, markup=False, highlight=False, emoji=False)

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
