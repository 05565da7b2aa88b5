"""Whoever reports what a run does: the terminal, the log file, TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sketchjax.train.loop import Logged
    from sketchjax.train.stages import Stage


class Reporter(Protocol):
    """The voice of a run; `run.log.RunLog` is one."""

    def note(self, text: str) -> None:
        """A line that stays."""
        ...

    def task(self, name: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Work next to training; gives the function to call with a number of items done."""
        ...

    def begin(self, stage: Stage, done: int) -> None:
        """A stage begins, or resumes after `done` of its steps."""
        ...

    def dispatch(self, stage: Stage, before: int, logged: Logged, seconds: float) -> None:
        """A dispatch ended. before: steps of earlier stages; seconds: of training so far."""
        ...

    def scores(self, stage: Stage, before: int, values: Mapping[str, float]) -> None:
        """What was measured after a stage."""
        ...

    def resume_after(self, step: int) -> None:
        """Forget what was written beyond this step of the run; -1 forgets everything."""
        ...

    def flush(self) -> None:
        """Bring what was written to the disk."""
        ...
