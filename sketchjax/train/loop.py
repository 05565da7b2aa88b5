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
from sketchjax.train.step import Training, dispatch


class Logged(NamedTuple):
    """What the loop tells after a dispatch.

    state: after it; position: of the feed, from which the next dispatch reads; metrics: means over
    the dispatch's steps that were not skipped; skipped: how many were, as their loss or gradient
    was not finite; seconds: from its start to its end, without compilation; stopping: a stop was
    asked for, and the next dispatch waits for the caller.
    """

    state: State
    position: int
    metrics: dict[str, float]
    skipped: int
    sketches: int
    seconds: float
    stopping: bool


class Watch(Protocol):
    """Who is told when a dispatch starts and ends; `train.profile.Profile` is one."""

    def starts(self, first: int, end: int) -> None: ...
    def ended(self, end: int) -> None: ...


Compiled = Callable[[State, Any], tuple[State, dict[str, jax.Array]]]


def compile_dispatch(
    training: Training, held: Any, state: State, blocks: Any, devices: Sequence[Any] | None = None
) -> Compiled:
    """Compile the stage's dispatch for arguments like these: (State, blocks) -> (State, metrics).

    held: what the devices keep of the data; it is sent to them once, here. State and metrics f[m k]
    come back whole; blocks are as `Feed.take` gives them. Compiled ahead of the first call, so that
    a stage's speed is without it.
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
        # A restored state lies on the first device alone.
        return compiled(held, place(state, there), place_split(blocks, split_there))

    return run


class _Running(NamedTuple):
    """A dispatch on its way. first: its first step; block: its first block."""

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
    devices: Sequence[Any] | None = None,
) -> Generator[Logged]:
    """Dispatch until the stage's steps are done; yields after each dispatch.

    The next blocks are taken while the devices work. A dispatch starts when the one ahead of it has
    ended and before that one is told of, so that logging and saving cost no time of the devices;
    unless `should_stop`, asked once after each: then it waits until the caller comes back.
    devices: all of this process, where none are named.
    Raises NotFiniteError when max_skipped steps in a row had to be skipped.
    """
    stage = training.stage
    if int(state.step) >= stage.steps:
        return
    steps = outer_steps * stage.inner_steps
    ready = _take(feed, outer_steps)
    run = compile_dispatch(training, feed.held, state, ready[1], devices)
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
        if running:  # the caller goes: what still works may not outlive the data that it reads
            jax.block_until_ready(running.metrics)


def _take(feed: Feed, blocks: int) -> tuple[int, Any]:
    """The feed's next blocks, after the number of the first."""
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

    A step whose loss is finite may leave such parameters; they are never saved.
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
    """Raise NotFiniteError, naming step, loss and sketches, where `limit` in a row were skipped."""
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
    return f"lower stages.{stage}.learning_rate, or set train.clip_norm or an encoder' batch_norm"
