"""Training from the first stage to the last, across any number of interruptions.

What a run goes on from is one tuple: state, feed position, progress. It is saved between two
dispatches: every `train.checkpoint_seconds`, when a stop is asked for, and at the end of a stage.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import jax
import numpy as np

from sketchjax.config import Config
from sketchjax.errors import DataError, NotFiniteError, Stopped
from sketchjax.losses import Setup, begin_memory, blank_memory
from sketchjax.losses.loss import Memory, TrainingPart
from sketchjax.models.network import Network
from sketchjax.parallel import average, gather, own_copy
from sketchjax.retrieval.passes import Passes
from sketchjax.train import stages
from sketchjax.train.checkpoint import Checkpoints, Progress
from sketchjax.train.feeds import Feeds
from sketchjax.train.loop import Logged, check_state, run_stage
from sketchjax.train.pretrained import first_variables, variable_shapes
from sketchjax.train.profile import Profile
from sketchjax.train.spike import Spike, check_spike
from sketchjax.train.stages import Stage
from sketchjax.train.state import State, start
from sketchjax.train.step import Training


class Log(Protocol):
    """Who is told what happens; `report.log.RunLog` is one."""

    def note(self, text: str) -> None: ...
    def begin(self, stage: Stage, done: int) -> None: ...
    def dispatch(self, stage: Stage, before: int, logged: Logged, seconds: float) -> None: ...
    def resume_after(self, step: int) -> None: ...
    def flush(self) -> None: ...


@dataclass
class Trainer:
    """The training of one run.

    feeds: of its stages; workdir: of the run; passes: over the data, for the class centres; plan:
    the stages to run;
    should_stop: whether a stop was asked for; progress: where the run is, with the sha256 of its
    data; started: `time.monotonic()` when this call of the run began; word_vectors: f[l e], where
    a loss needs them.
    """

    config: Config
    feeds: Feeds
    workdir: Path
    network: Network
    plan: list[Stage]
    passes: Passes
    checkpoints: Checkpoints
    log: Log
    should_stop: Callable[[], bool]
    progress: Progress
    started: float
    word_vectors: np.ndarray | None = None
    earlier_seconds: float = 0.0

    def stages(self) -> Iterator[tuple[Stage, State]]:
        """Train what is left to train; yields each stage with its last state, which is saved.

        A run that was ended after a stage begins by yielding that stage again: whatever is made
        of its state may not have come to its end.
        Raises Stopped when a stop was asked for, NotFiniteError, CheckpointError, and DataError
        when the data are not those that the run began with.
        """
        number, current = self._resume() or (0, self._first_state())
        while True:
            try:
                current = self._train(self.plan[number], current)
            except Spike as spike:
                number, current = self._go_back(spike)
                continue
            yield self.plan[number], current
            if (number := number + 1) == len(self.plan):
                return
            self.progress.losses = []
            current = self._next_state(self.plan[number], current)

    def steps_before(self, stage: Stage) -> int:
        """Steps of all stages before this one."""
        return sum(other.steps for other in self.plan if other.number < stage.number)

    def seconds_total(self) -> float:
        """Of this call of the run, and of the earlier ones as far as their work counts."""
        return self.earlier_seconds + time.monotonic() - self.started

    def _resume(self) -> tuple[int, State] | None:
        """The newest checkpoint: the place of its stage in the plan, and its state."""
        latest = self._latest()
        self.log.resume_after(-1 if latest is None else latest[0])
        if latest is None:
            return None
        step, progress, damaged = latest
        for line in damaged:
            self.log.note(f"{line}; going on from checkpoint {step}")
        if progress.data != self.progress.data:
            raise DataError(
                f"{self.passes.folder} is not what this run began with (its manifest.json has "
                "changed); use another --workdir"
            )
        self.progress, self.earlier_seconds = progress, progress.seconds_total
        number = [stage.name for stage in self.plan].index(progress.stage)
        stage = self.plan[number]

        def like(variables: dict) -> State:
            memories = blank_memory(stage.losses, self._setup(stage, variables))
            return start(self._optimizer(stage), stage, variables, memories)

        shapes = jax.eval_shape(like, variable_shapes(self.network, self.config))
        return number, self.checkpoints.restore(step, shapes)

    def _latest(self) -> tuple[int, Progress, list[str]] | None:
        """The newest checkpoint; process 0 sets damaged ones aside before the others look."""
        latest = self.checkpoints.latest() if jax.process_index() == 0 else None
        gather(np.zeros(1))
        return latest if jax.process_index() == 0 else self.checkpoints.latest()

    def _first_state(self) -> State:
        return self._start(self.plan[0], first_variables(self.network, self.config), {})

    def _next_state(self, stage: Stage, before: State) -> State:
        """Stage's first state from the last one before."""
        return self._start(stage, before.variables, before.memories)

    def _start(self, stage: Stage, variables: dict, earlier: Mapping[str, Memory]) -> State:
        """earlier: what losses of the stage before remembered: class centres stay as they are."""
        memories = begin_memory(stage.losses, self._setup(stage, variables), earlier)
        return start(self._optimizer(stage), stage, variables, memories)

    def _setup(self, stage: Stage, variables: dict) -> Setup:
        """What the losses of a stage may look at before it."""
        manifest, unseen = self.passes.manifest, self.feeds.split.unseen

        def train() -> Iterator[TrainingPart]:
            for part, entropy in self.passes.stream(variables, "train", name="centres"):
                kept = ~unseen[part.labels]
                yield TrainingPart(part.features[kept], part.labels[kept], entropy[kept])

        return Setup(
            classes=self.network.model.classes,
            width=self.network.model.width,
            entropy_low=np.asarray(manifest.entropy_low),
            entropy_high=np.asarray(manifest.entropy_high),
            in_training=~unseen,
            block_share=1 / stage.blocks_per_epoch,
            word_vectors=self.word_vectors,
            train=train,
        )

    def _optimizer(self, stage: Stage):
        settings = self.config.train
        return stages.optimizer(
            stage, weight_decay=settings.weight_decay, clip_norm=settings.clip_norm
        )

    def _train(self, stage: Stage, current: State) -> State:
        """The steps that the stage has left."""
        settings = self.config.train
        if int(current.step) >= stage.steps:
            return current
        self._stop_if_asked()
        feed = self.feeds.of(
            stage,
            position=self.progress.feed if int(current.step) else 0,
            detour=self.progress.detours.get(stage.name, 0),
        )
        training = Training(
            self.network, stage, self._optimizer(stage), average, self.config.seed, feed.load
        )
        self.log.begin(stage, done=int(current.step))
        profile = Profile(
            self.config.profile.steps, self.workdir / "profile", self.steps_before(stage)
        )
        dispatches = run_stage(
            training,
            current,
            feed,
            outer_steps=settings.outer_steps,
            max_skipped=settings.max_skipped,
            should_stop=self.should_stop,
            watch=profile,
        )
        saved = time.monotonic()
        try:
            with closing(feed), closing(profile), closing(dispatches):
                for logged in dispatches:
                    current = logged.state
                    self._count(stage, logged)
                    done = int(current.step) >= stage.steps
                    due = time.monotonic() - saved > settings.checkpoint_seconds
                    if done or due or logged.stopping:
                        self._save(stage, logged)
                        saved = time.monotonic()
                    if logged.stopping:
                        raise Stopped(
                            f"stopped in stage {stage.name} after {int(current.step)} of "
                            f"{stage.steps} steps; run the same command again to go on"
                        )
        except NotFiniteError as error:
            raise self.feeds.with_sketches(error) from error
        return own_copy(current)

    def _go_back(self, spike: Spike) -> tuple[int, State]:
        """The newest checkpoint, to go on from with the sketches in another order."""
        self.log.note(f"{spike}; going back to the last checkpoint, with another order of sketches")
        self.checkpoints.wait()
        name, detours, earlier = spike.stage, self.progress.detours, self.earlier_seconds
        self.progress.losses = []
        number, state = self._resume() or (0, self._first_state())
        self.progress.detours = detours | {name: detours.get(name, 0) + 1}
        self.earlier_seconds = earlier
        return number, state

    def _count(self, stage: Stage, logged: Logged) -> None:
        """Count and tell what a dispatch did."""
        progress, name = self.progress, stage.name
        progress.seconds[name] = progress.seconds.get(name, 0.0) + logged.seconds
        progress.sketches[name] = progress.sketches.get(name, 0) + logged.sketches
        progress.skipped[name] = progress.skipped.get(name, 0) + logged.skipped
        if logged.skipped:
            self.log.note(
                f"stage {name}: {logged.skipped} of the steps up to {int(logged.state.step)} left "
                "out, as their loss or gradient was not finite"
            )
        seconds = sum(progress.seconds.values())
        self.log.dispatch(stage, self.steps_before(stage), logged, seconds)
        progress.losses = check_spike(
            name,
            logged.metrics["loss"],
            progress.losses,
            factor=self.config.train.rollback_factor,
            detours=progress.detours.get(name, 0),
        )

    def _save(self, stage: Stage, logged: Logged) -> None:
        """Start saving what a dispatch left; never what is not finite."""
        check_state(logged.state, stage.name)
        self.progress.stage, self.progress.feed = stage.name, logged.position
        self.progress.seconds_total = self.seconds_total()
        self.log.flush()
        number = self.steps_before(stage) + int(logged.state.step)
        self.checkpoints.save(number, logged.state, self.progress)

    def _stop_if_asked(self) -> None:
        """Between stages: what was trained is saved."""
        if self.should_stop():
            raise Stopped("stopped between two stages; run the same command again to go on")
