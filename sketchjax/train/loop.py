"""The loop of one stage: dispatch, check, yield; nothing here is mathematics."""

import time
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from sketchjax.errors import NotFiniteError
from sketchjax.parallel import (
    SPLIT,
    WHOLE,
    compile_for,
    over_devices,
    place,
    place_split,
)
from sketchjax.train.feed import Feed
from sketchjax.train.state import State
from sketchjax.train.step import Held, Training, dispatch


class Logged(NamedTuple):
    """What the loop reports after a dispatch.

    state: after it.
    position: of the feed, where the next dispatch reads on.
    metrics: means over the dispatch's steps that were not skipped.
    skipped: how many steps were, because their loss or gradient was not finite.
    sketches: that it trained with.
    seconds: from its start to its end, without compilation.
    stopping: whether a stop was requested; the next dispatch then waits for the caller.
    """

    state: State
    position: int
    metrics: dict[str, float]
    skipped: int
    sketches: int
    seconds: float
    stopping: bool


class Watch(Protocol):
    """Observes when dispatches start and end; `train.profile.Profile` is one.

    A dispatch is known by its steps, first to end - 1.
    """

    def starts(self, first: int, end: int) -> None: ...
    def ended(self, end: int) -> None: ...


Compiled = Callable[[State, Any], tuple[State, dict[str, jax.Array]]]


def compile_dispatch(
    training: Training, held: Any, state: State, blocks: Any, devices: Sequence[Any] | None = None
) -> Compiled:
    """Compile the stage's dispatch for arguments like these: (State, blocks) -> (State, metrics).

    training: what is fixed during the stage.
    held: what the devices hold of the data; it is sent to them once, here.
    state: as the stage begins.
    blocks: as `Feed.take` returns them.
    devices: None: all of this process.

    The returned metrics are f[m k], whole on all devices. Compilation happens before the first
    call, so that a stage's speed does not include it.
    """
    on_devices = over_devices(
        partial(dispatch, training),
        inputs=(WHOLE, WHOLE, SPLIT),
        outputs=(WHOLE, WHOLE),
        devices=devices,
    )
    compiled, (held_there, there, split_there) = compile_for(on_devices, held, state, blocks)
    held = place(held, held_there)

    def run(state: State, blocks: Any):
        # A restored state lies on the first device only.
        return compiled(held, place(state, there), place_split(blocks, split_there))

    return run


class _Running(NamedTuple):
    """A dispatch in flight.

    first: its first step.
    block: its first block.
    state: after it.
    metrics: f[m k] of its steps.
    started: `time.perf_counter()` at its start.
    """

    first: int
    block: int
    state: State
    metrics: dict[str, jax.Array]
    started: float


def run_stage(
    training: Training,
    state: State,
    feed: Feed,
    *,
    outer_steps: int,
    max_skipped: int = 1,
    should_stop: Callable[[], bool] = lambda: False,
    watch: Watch | None = None,
    frozen: Any = None,
    devices: Sequence[Any] | None = None,
    compiled: Callable[..., Compiled] = compile_dispatch,
) -> Generator[Logged]:
    """Dispatch until the stage's steps are done; yields after each dispatch.

    training: what is fixed during the stage.
    state: to begin with.
    feed: of the stage, at the state's position.
    outer_steps: m, blocks of a dispatch.
    max_skipped: this many skipped steps in a row end the stage.
    should_stop: asked once after each dispatch.
    watch: observes the dispatches.
    frozen: the variables of the stage's teacher, sent to the devices once.
    devices: None: all of this process.
    compiled: makes the dispatch; one that keeps programs need not compile for each stage.

    The next blocks are taken while the devices work. A dispatch starts as soon as the previous one
    has ended, before that one is yielded, so that logging and saving cost the devices no time. Only
    when a stop was requested does it wait until the caller comes back.
    Raises NotFiniteError when max_skipped steps in a row had to be skipped.
    """
    stage = training.stage
    if int(state.step) >= stage.steps:
        return
    steps = outer_steps * stage.inner_steps
    ready = _take(feed, outer_steps)
    held = feed.held if training.teacher is None else Held(feed.held, frozen)
    run = compiled(training, held, state, ready[1], devices)
    running: _Running | None = None

    def start(state: State, first: int) -> _Running:
        nonlocal ready
        block, items = ready
        if watch is not None:
            watch.starts(first, first + steps)
        started = time.perf_counter()
        now = _Running(first, block, *run(state, items), started)
        if first + steps < stage.steps:
            ready = _take(feed, outer_steps)
        return now

    try:
        while running or int(state.step) < stage.steps:
            now = running or start(state, int(state.step))
            values = {name: np.asarray(value) for name, value in now.metrics.items()}
            seconds = time.perf_counter() - now.started
            if watch is not None:
                watch.ended(now.first + steps)
            state, running = now.state, None
            _check_skipped(values, now, training, feed, max_skipped)
            stopping = should_stop()
            if now.first + steps < stage.steps and not stopping:
                running = start(state, now.first + steps)
            skipped = int((values["skipped"] > 0).sum())
            position, sketches = now.block + outer_steps, steps * feed.order.batch
            means = _means(values)
            yield Logged(state, position, means, skipped, sketches, seconds, stopping)
    finally:
        if running:  # The caller leaves: a dispatch must not outlive the data that it reads.
            jax.block_until_ready(running.metrics)


def _take(feed: Feed, blocks: int) -> tuple[int, Any]:
    """The number of the feed's next block, and the items of the next blocks."""
    return feed.position, feed.take(blocks)


def _means(values: dict[str, np.ndarray]) -> dict[str, float]:
    """Means over the steps that were not skipped; NaN where all were."""
    sound = values["skipped"] == 0
    return {
        name: float(value[sound].mean()) if sound.any() else float("nan")
        for name, value in values.items()
        if name != "skipped"
    }


def check_state(state: State, stage: str) -> None:
    """Raise NotFiniteError when a parameter or batch statistic is not finite, naming the first.

    A step whose loss is finite may still leave such parameters; they are never saved.
    """
    for path, leaf in jax.tree_util.tree_flatten_with_path(state.variables)[0]:
        if not np.isfinite(np.asarray(leaf)).all():
            name = "/".join(str(key.key) for key in path)
            raise NotFiniteError(
                f"stage {stage}, step {int(state.step)}: {name} is not finite; {_remedy(stage)}"
            )


def _check_skipped(
    metrics: dict[str, np.ndarray], now: _Running, training: Training, feed: Feed, limit: int
) -> None:
    """Raise NotFiniteError, naming step and losses, if `limit` steps in a row were skipped.

    The error's records are the sketches of the last of these steps.
    """
    skipped = metrics["skipped"].ravel()
    if skipped.max() < limit:
        return
    at, stage = int((skipped >= limit).argmax()), training.stage
    outer, inner = divmod(at, stage.inner_steps)
    terms = ", ".join(
        f"{name}={value.ravel()[at]:.4g}" for name, value in metrics.items() if name != "skipped"
    )
    row = f", {limit} steps in a row" if limit > 1 else ""
    error = NotFiniteError(
        f"stage {stage.name}, step {now.first + at}: the loss or its gradient is not finite{row} "
        f"({terms}); {_remedy(stage.name)}"
    )
    error.records = feed.order.indices(now.block + outer)[inner]
    raise error


def _remedy(stage: str) -> str:
    return (
        f"lower stages.{stage}.learning_rate, or set train.clip_norm, or batch_norm of an encoder"
    )
