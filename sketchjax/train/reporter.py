"""Who reports what happens during a run: training, encoding and scoring talk to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # the loop may import this module
    from sketchjax.train.loop import Logged
    from sketchjax.train.stages import Stage


class Reporter(Protocol):
    """A run's reporter; `run.log.RunLog` is one.

    Steps passed to it count within a stage; `before` is the number of steps of all earlier stages.
    """

    def note(self, text: str) -> None:
        """Print a line that stays on the screen."""
        ...

    def task(self, name: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Show the progress of `total` items; the context yields advance(count)."""
        ...

    def begin(self, stage: Stage, done: int) -> None:
        """A stage begins, or resumes after `done` of its steps."""
        ...

    def dispatch(self, stage: Stage, before: int, logged: Logged, seconds: float) -> None:
        """One dispatch is done. seconds: of training in this run so far."""
        ...

    def scores(self, stage: Stage, before: int, values: Mapping[str, float | None]) -> None:
        """What was measured after a stage, by name; None for a score that does not exist."""
        ...

    def resume_after(self, step: int) -> None:
        """Drop what was logged after this step of the run; -1 drops everything."""
        ...

    def flush(self) -> None:
        """Flush what was logged to disk; called before a checkpoint that relies on it."""
        ...
