"""What a run tells while it goes on: on the terminal, in metrics.jsonl and to TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

import jax.numpy as jnp
import numpy as np

from sketchjax.run.progress import TrainingProgress
from sketchjax.run.writers import Writers
from sketchjax.train.loop import Logged
from sketchjax.train.stages import Stage, learning_rate

NOTED = ("validation_accuracy", "map", "precision_at_200", "accuracy_gallery")


class RunLog:
    """One run's voice; in every process but 0 it is silent and writes nothing.

    The steps that it is given count within a stage; the files count them over the whole run.
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
        """Print a line that stays."""
        self._bars.note(text)

    def task(self, name: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """A bar for work beside training; gives the function that advances it."""
        return self._bars.task(name, total=total)

    def resume_after(self, step: int) -> None:
        """Forget what was written beyond this step of the run; -1 forgets all."""
        self._writers.truncate_after(step)

    def begin(self, stage: Stage, done: int) -> None:
        """A stage begins, or goes on after `done` of its steps."""
        # All at once: a computation asked for later would wait for the dispatch on its way.
        rates = learning_rate(stage)(jnp.arange(stage.steps))
        self._rates = np.broadcast_to(np.asarray(rates), (stage.steps,))
        epochs = stage.blocks / stage.blocks_per_epoch
        self._bars.stage(stage.name, epochs=epochs, steps=stage.steps, done=done)

    def dispatch(self, stage: Stage, before: int, logged: Logged, seconds: float) -> None:
        """One dispatch. before: steps of the stages before; seconds: of training until now."""
        step = int(logged.state.step)
        speed = logged.sketches / logged.seconds
        values = logged.metrics | {
            "stage_step": step,
            "epoch": step / stage.steps_per_epoch,
            # Of the last step done: after the last of all, a cosine would show 0.
            "learning_rate": float(self._rates[step - 1]),
            "sketches_per_second": speed,
            "seconds": seconds,
        }
        self._writers.write(before + step, values, stage.name)
        shown = {name: logged.metrics[name] for name in ("loss", "accuracy")}
        self._bars.update(step, sketches_per_second=speed, **shown)

    def scores(self, stage: Stage, before: int, values: Mapping[str, float]) -> None:
        """What was measured after a stage."""
        if not values:
            return
        self._writers.write(before + stage.steps, values, stage.name)
        figures = "  ".join(
            f"{name.replace('_', ' ')} {values[name]:.4f}" for name in NOTED if name in values
        )
        self.note(f"after stage {stage.name}: {figures}")

    def flush(self) -> None:
        """Bring what was written to the disk, before a checkpoint that counts on it."""
        self._writers.flush()
