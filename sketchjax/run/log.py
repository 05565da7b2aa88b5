"""What a run reports as it trains: on the terminal, in metrics.jsonl and to TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

import jax
import numpy as np

from sketchjax.data.inputs import items_of
from sketchjax.run.progress import TrainingProgress
from sketchjax.run.writers import Writers
from sketchjax.train.loop import Logged
from sketchjax.train.stages import Stage, learning_rate

SHOWN = ("loss", "accuracy")
NOTED = (
    *("validation_accuracy", "photo_validation_accuracy", "map", "precision_at_200"),
    *("accuracy_gallery", "recall_at_1_by_hamming", "recall_at_1_by_euclidean"),
)


class RunLog:
    """A `train.reporter.Reporter`: prints to the terminal and writes to the workdir.

    The steps passed to it count within a stage; the files count them over the whole run.

    workdir: the run's folder.
    active: False in every process but 0, where it prints and writes nothing.
    """

    def __init__(self, workdir: Path, *, active: bool = True):
        self._writers = Writers(workdir, active=active)
        self._bars = TrainingProgress(active=active)
        self._rates = np.zeros(0)

    def __enter__(self) -> Self:
        self._bars.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self._bars.__exit__(*error)
        self._writers.close()

    def note(self, text: str) -> None:
        """Print a line that stays on the screen."""
        self._bars.note(text)

    def task(self, name: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Show a bar for work other than training; the context yields advance(count)."""
        return self._bars.task(name, total=total)

    def resume_after(self, step: int) -> None:
        """Drop what was logged after this step of the run; -1 drops everything."""
        self._writers.truncate_after(step)

    def begin(self, stage: Stage, done: int) -> None:
        """Show that a stage begins, or resumes after `done` of its steps."""
        # All rates at once: one computed later would wait for the dispatch in flight. Without jit,
        # each operation of the schedule would be compiled by itself.
        rates = jax.jit(learning_rate(stage))(np.arange(stage.steps))
        self._rates = np.broadcast_to(np.asarray(rates), (stage.steps,))
        self._bars.stage(stage.name, epochs=stage.epochs, steps=stage.steps, done=done)

    def dispatch(self, stage: Stage, before: int, logged: Logged, seconds: float) -> None:
        """Write the metrics of one dispatch and show them.

        before: steps of all earlier stages.
        seconds: of training in this run so far.
        """
        step = int(logged.state.step)
        speed = logged.sketches / logged.seconds
        values = logged.metrics | {
            "stage_step": step,
            "epoch": step / stage.steps_per_epoch,
            # The rate of the last step taken: after a stage's last step a cosine would give 0.
            "learning_rate": float(self._rates[step - 1]),
            "sketches_per_second": speed,
            "seconds": seconds,
        }
        self._writers.write(before + step, values, stage.name)
        shown = {name: logged.metrics[name] for name in SHOWN if name in logged.metrics}
        self._bars.update(step, speed=f"{speed:,.0f} {items_of(stage.row.inputs)}/s", **shown)

    def scores(self, stage: Stage, before: int, values: Mapping[str, float | None]) -> None:
        """Write what was measured after a stage and print the main figures.

        before: steps of all earlier stages.
        values: scores by name; None for one that does not exist.
        """
        if not values:
            return
        self._writers.write(before + stage.steps, values, stage.name)
        figures = [
            f"{name.replace('_', ' ')} {value:.4f}"
            for name in NOTED
            if (value := values.get(name)) is not None
        ]
        if figures:
            self.note(f"after stage {stage.name}: {'  '.join(figures)}")

    def flush(self) -> None:
        """Flush what was logged to disk, before a checkpoint that relies on it."""
        self._writers.flush()
