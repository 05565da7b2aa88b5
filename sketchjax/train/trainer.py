"""Training from the first stage to the last, across any number of interruptions.

A run resumes from one tuple: state, feed position, progress. It is saved between two dispatches:
every `train.checkpoint_seconds`, when a stop is requested, and at the end of a stage.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from sketchjax.config import Config
from sketchjax.data.inputs import part_name
from sketchjax.errors import CheckpointError, DataError, NotFiniteError, Stopped
from sketchjax.losses.loss import Memory, Setup, TrainingPart
from sketchjax.losses.objective import begin_memory, blank_memory
from sketchjax.models.network import Network
from sketchjax.models.table import FUSION, HEAD
from sketchjax.parallel import average, own_copy
from sketchjax.retrieval.encode import Encoded
from sketchjax.retrieval.passes import Passes
from sketchjax.together import PATIENCE_SECONDS, agree
from sketchjax.train import stages
from sketchjax.train.averaging import mean_weights
from sketchjax.train.checkpoint import Checkpoints, Progress
from sketchjax.train.head_start import check_start, head_layer, look, started
from sketchjax.train.loop import Logged, check_state, run_stage
from sketchjax.train.pretrained import first_variables
from sketchjax.train.profile import Profile
from sketchjax.train.reporter import Reporter
from sketchjax.train.spike import Spike, check_spike
from sketchjax.train.stages import Stage
from sketchjax.train.state import State, start, trained_params
from sketchjax.train.step import Training
from sketchjax.train.supply import Supply
from sketchjax.train.teacher import Teacher, needs_teacher


@dataclass
class Trainer:
    """The training of one run.

    config: of the run.
    supply: gives each stage its feed.
    workdir: of the run.
    network: whose variables are trained.
    plan: the stages, in order.
    passes: over the data, for class centres and the start of the head.
    checkpoints: of the run, open.
    reporter: reports what happens.
    should_stop: whether a stop was requested.
    progress: where the run is, with the sha256 of its data.
    started: `time.monotonic()` when this call of the run began.
    word_vectors: f[l e], if a loss needs them.
    teacher: of the stages whose losses imitate one.
    earlier_seconds: of earlier calls of the run.
    """

    config: Config
    supply: Supply
    workdir: Path
    network: Network
    plan: list[Stage]
    passes: Passes
    checkpoints: Checkpoints
    reporter: Reporter
    should_stop: Callable[[], bool]
    progress: Progress
    started: float
    word_vectors: np.ndarray | None = None
    teacher: Teacher | None = None
    earlier_seconds: float = 0.0

    def stages(self) -> Iterator[tuple[Stage, State]]:
        """Train the remaining stages; yields each with its last state, which is saved.

        A run that was interrupted after a stage begins by yielding that stage again, as the caller
        may not have finished with its state.
        Raises Stopped when a stop was requested, NotFiniteError, CheckpointError, and DataError
        when the data are not those that the run began with.
        """
        number, current = self._resume() or (0, self._first_state())
        while True:
            try:
                current = self._train(self.plan[number], current)
            except Spike as spike:
                number, current = self._go_back(spike)
                continue
            stage = self.plan[number]
            trained = trained_params(current.params, stage)
            mean = mean_weights(trained, current.optimizer, stage.head_parts)
            current = current.replace(params=current.params | mean)
            yield stage, current
            if (number := number + 1) == len(self.plan):
                return
            self.progress.losses = []
            current = self._next_state(self.plan[number], current)

    def steps_before(self, stage: Stage) -> int:
        """Steps of all stages before this one."""
        return sum(other.steps for other in self.plan if other.row.number < stage.row.number)

    def parts_trained(self, stage: Stage) -> tuple[str, ...]:
        """The parameters trained by the end of a stage, with pretrained ones, by top-level name."""
        names = dict.fromkeys(self.progress.pretrained)
        for other in self.plan:
            if other.row.number <= stage.row.number:
                names |= dict.fromkeys(other.parts)
        return tuple(names)

    def seconds_total(self) -> float:
        """Seconds of this call of the run and of earlier calls, as far as their work was kept."""
        return self.earlier_seconds + time.monotonic() - self.started

    def _resume(self) -> tuple[int, State] | None:
        """The newest checkpoint: the index of its stage in the plan, and its state."""
        latest = self._latest()
        self.reporter.resume_after(-1 if latest is None else latest[0])
        if latest is None:
            return None
        step, progress, damaged = latest
        for line in damaged:
            self.reporter.note(f"{line}; resuming from checkpoint {step}")
        if progress.data != self.progress.data:
            raise DataError(
                f"{self.passes.folder} is not the data this run began with (its manifest.json has "
                "changed); use another --workdir"
            )
        if progress.teacher != self.progress.teacher:
            raise CheckpointError(
                f"train.teacher={self.config.train.teacher} is not the model that this run began "
                "with; give that one, or use another --workdir"
            )
        self.progress, self.earlier_seconds = progress, progress.seconds_total
        names = [stage.name for stage in self.plan]
        if progress.stage not in names:
            raise CheckpointError(
                f"checkpoint {step} of {self.workdir} is of stage {progress.stage}, and this "
                f"config's stages are {', '.join(names)}; use another --workdir, or the config "
                "that it was made with"
            )
        number = names.index(progress.stage)
        stage = self.plan[number]

        def like(variables: dict) -> State:
            memories = blank_memory(stage.row.losses, self._setup(stage, variables))
            return start(self._optimizer(stage), stage, variables, memories)

        shapes = jax.eval_shape(like, self.network.shapes())
        return number, self.checkpoints.restore(step, shapes)

    def _latest(self) -> tuple[int, Progress, list[str]] | None:
        """The newest checkpoint. Process 0 sets damaged ones aside before the others look."""
        return agree(
            self.checkpoints.latest,
            lambda latest: {"newest checkpoint in --workdir": latest and latest[0]},
            PATIENCE_SECONDS,
        )

    def _first_state(self) -> State:
        variables, pretrained = first_variables(self.network, self.config)
        self.progress.pretrained = list(pretrained)
        head = self.network.architecture.head
        kind = self.config.train.head_start
        if kind != "random":
            check_start(kind, variables["params"][head], pretrained, head)
        return self._start(self.plan[0], variables, {})

    def _next_state(self, stage: Stage, before: State) -> State:
        """A stage's first state, from the last state of the stage before."""
        return self._start(stage, before.variables, before.memories)

    def _start(self, stage: Stage, variables: dict, earlier: Mapping[str, Memory]) -> State:
        """The first state of a stage.

        variables: of the network.
        earlier: what the losses of the stage before remember; class centres stay as they are.
        """
        variables = self._with_head(stage, variables)
        memories = begin_memory(stage.row.losses, self._setup(stage, variables), earlier)
        return start(self._optimizer(stage), stage, variables, memories)

    def _with_head(self, stage: Stage, variables: dict) -> dict:
        """The variables with a started head, if this is the first stage that trains it."""
        kind, head = self.config.train.head_start, self.network.architecture.head
        first = next((each for each in self.plan if head in each.parts), None)
        if kind == "random" or stage is not first:
            return variables
        parts = self._training_parts(variables, "train", FUSION, "start of the head")
        architecture, seed = self.network.architecture, self.config.seed
        sketches = self.passes.manifest.counts["train"]
        seen = look(parts, architecture.classes, sketches, seed)
        return started(variables, head, head_layer(kind, seen, architecture.width, seed))

    def _training_parts(
        self, variables: dict, part: str, output: str, name: str
    ) -> Iterator[Encoded]:
        """One pass over a side's training split, without the classes kept out of training."""
        unseen = self.supply.split.unseen
        for some in self.passes.stream(variables, part, output, name=name):
            yield some[~unseen[some.labels]]

    def _setup(self, stage: Stage, variables: dict) -> Setup:
        """What the losses of a stage may look at before the stage begins."""
        manifest, unseen = self.passes.manifest, self.supply.split.unseen

        def train() -> Iterator[TrainingPart]:
            for side in stage.row.inputs:
                part = part_name(side, "train")
                for some in self._training_parts(variables, part, HEAD, "centres"):
                    yield TrainingPart(some.features, some.labels, some.entropy)

        classes, splits = self.network.architecture.classes, self.supply.splits
        labels = [split.side.labels for split in splits.values()] if len(splits) == 2 else []
        return Setup(
            classes=classes,
            width=self.network.architecture.width,
            entropy_low=np.asarray(manifest.entropy_low),
            entropy_high=np.asarray(manifest.entropy_high),
            in_training=~unseen,
            block_share=1 / stage.blocks_per_epoch,
            word_vectors=self.word_vectors,
            train=train,
            counts=np.stack([np.bincount(own, minlength=classes) for own in labels])
            if labels
            else None,
        )

    def _optimizer(self, stage: Stage):
        settings = self.config.train
        return stages.optimizer(
            stage,
            weight_decay=settings.weight_decay,
            clip_norm=settings.clip_norm,
            averaging=settings.averaging,
        )

    def _train(self, stage: Stage, current: State) -> State:
        """Train the remaining steps of a stage."""
        settings = self.config.train
        if int(current.step) >= stage.steps:
            return current
        self._stop_if_asked()
        feed = self.supply.feed(
            stage,
            position=self.progress.feed if int(current.step) else 0,
            detour=self.progress.detours.get(stage.name, 0),
        )
        teacher = self.teacher if needs_teacher(stage.row.losses) else None
        training = Training(
            self.network.augmenting(stage.row.augmentation),
            stage,
            self._optimizer(stage),
            average,
            self.config.seed,
            feed.load,
            teacher=teacher and teacher.network,
        )
        self.reporter.begin(stage, done=int(current.step))
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
            frozen=teacher and teacher.variables,
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
                            f"{stage.steps} steps; rerun the same command to resume"
                        )
        except NotFiniteError as error:
            raise self.supply.with_sketches(error, stage.row.inputs[0]) from error
        return own_copy(current)

    def _go_back(self, spike: Spike) -> tuple[int, State]:
        """Return to the newest checkpoint, with the sketches in another order from there on."""
        self.reporter.note(
            f"{spike}; going back to the last checkpoint, with the sketches in another order"
        )
        self.checkpoints.wait()
        name, detours, earlier = spike.stage, self.progress.detours, self.earlier_seconds
        self.progress.losses = []
        number, state = self._resume() or (0, self._first_state())
        self.progress.detours = detours | {name: detours.get(name, 0) + 1}
        self.earlier_seconds = earlier
        return number, state

    def _count(self, stage: Stage, logged: Logged) -> None:
        """Count and report a dispatch."""
        progress, name = self.progress, stage.name
        progress.seconds[name] = progress.seconds.get(name, 0.0) + logged.seconds
        progress.sketches[name] = progress.sketches.get(name, 0) + logged.sketches
        progress.skipped[name] = progress.skipped.get(name, 0) + logged.skipped
        if logged.skipped:
            self.reporter.note(
                f"stage {name}: {logged.skipped} of the steps up to {int(logged.state.step)} were "
                "skipped, because their loss or gradient was not finite"
            )
        seconds = sum(progress.seconds.values())
        self.reporter.dispatch(stage, self.steps_before(stage), logged, seconds)
        progress.losses = check_spike(
            name,
            logged.metrics["loss"],
            progress.losses,
            factor=self.config.train.rollback_factor,
            detours=progress.detours.get(name, 0),
        )

    def _save(self, stage: Stage, logged: Logged) -> None:
        """Start saving the state after a dispatch, once it is known to be finite."""
        check_state(logged.state, stage.name)
        self.progress.stage, self.progress.feed = stage.name, logged.position
        self.progress.seconds_total = self.seconds_total()
        self.reporter.flush()
        number = self.steps_before(stage) + int(logged.state.step)
        self.checkpoints.save(number, logged.state, self.progress)

    def _stop_if_asked(self) -> None:
        """Stop between two stages if asked to; everything trained so far is saved."""
        if self.should_stop():
            raise Stopped("stopped between two stages; rerun the same command to resume")
