"""The loop of one stage: dispatch, check, yield; nothing here is mathematics."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, cast

import jax
import numpy as np

from sketchjax.data.feed import Batch
from sketchjax.errors import NotFiniteError
from sketchjax.parallel import SPLIT, WHOLE, over_devices, split
from sketchjax.train.state import State
from sketchjax.train.step import Minibatch, Training, dispatch


class Feed(Protocol):
    """An endless iterator of blocks whose position can be saved."""

    def __next__(self) -> Batch: ...
    def get_state(self) -> Any: ...


class Logged(NamedTuple):
    """What the loop tells after a dispatch.

    state: after it; feed_state: the position of the feed from which the next dispatch reads;
    metrics: means over the dispatch; seconds: from its start to its end, without compilation.
    """

    state: State
    feed_state: Any
    metrics: dict[str, float]
    sketches: int
    seconds: float


def compile_dispatch(
    training: Training, state: State, blocks: Minibatch, devices: Sequence[Any] | None = None
) -> Callable[[State, Minibatch], tuple[State, dict[str, jax.Array]]]:
    """Compile the stage's dispatch for arguments like these: (State, blocks) -> (State, metrics).

    State and metrics f[m k] come back whole; blocks are as `arrange` gives them. Compiled ahead of
    the first call, so that a stage's speed is without it.
    """
    on_devices = over_devices(
        partial(dispatch, training), inputs=(WHOLE, SPLIT), outputs=(WHOLE, WHOLE), devices=devices
    )
    compiled = cast(Any, on_devices).lower(state, blocks).compile()
    everywhere = compiled.input_shardings[0][0]

    def run(state: State, blocks: Minibatch):
        # A restored state lies on the first device alone; the compiled step moves nothing itself.
        return compiled(jax.device_put(state, everywhere), blocks)

    return run


def arrange(blocks: list[Batch], inner_steps: int, devices: int) -> Minibatch:
    """m blocks of k * b sketches as one Minibatch [devices m k b/devices ...]."""
    points, length, label = (
        np.stack([getattr(block, name) for block in blocks])
        for name in ("points", "length", "label")
    )
    m, sketches = label.shape
    shape = (m, inner_steps, sketches // inner_steps)
    place = np.broadcast_to(np.arange(shape[2], dtype=np.int32), shape)
    arrays = (
        points.reshape(*shape, *points.shape[2:]),
        length.reshape(shape),
        label.reshape(shape),
        place,
    )
    return Minibatch(*split(arrays, devices, axis=2))


def run_stage(
    training: Training,
    state: State,
    feed: Feed,
    *,
    outer_steps: int,
    devices: Sequence[Any] | None = None,
) -> Iterator[Logged]:
    """Dispatch until the stage's steps are done; yields after each dispatch.

    The next blocks are read while the devices work, and no dispatch starts before the one ahead
    of it has ended. Saving and stopping are the caller's, between two dispatches.
    devices: all of this process, where none are named.
    Raises NotFiniteError when a loss is not finite, naming stage and step.
    """
    stage = training.stage
    count = len(devices or jax.local_devices())
    step = int(state.step)

    def read() -> tuple[Minibatch, Any]:
        blocks = [next(feed) for _ in range(outer_steps)]
        return arrange(blocks, stage.inner_steps, count), feed.get_state()

    run = following = None
    while step < stage.steps:
        blocks, feed_state = following or read()
        run = run or compile_dispatch(training, state, blocks, devices)
        started = time.perf_counter()
        state, running = run(state, blocks)
        first, step = step, step + outer_steps * stage.inner_steps
        following = read() if step < stage.steps else None
        values = {name: np.asarray(value) for name, value in running.items()}
        seconds = time.perf_counter() - started
        _check_losses(values, stage.name, first)
        means = {name: float(value.mean()) for name, value in values.items()}
        yield Logged(state, feed_state, means, blocks.label.size, seconds)


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


def _check_losses(metrics: dict[str, np.ndarray], stage: str, first_step: int) -> None:
    bad = ~np.isfinite(metrics["loss"].ravel())
    if not bad.any():
        return
    at = int(bad.argmax())
    terms = ", ".join(f"{name}={value.ravel()[at]:.4g}" for name, value in metrics.items())
    raise NotFiniteError(
        f"stage {stage}, step {first_step + at}: the loss is not finite ({terms}); {_remedy(stage)}"
    )


def _remedy(stage: str) -> str:
    return f"lower stages.{stage}.learning_rate, or set train.clip_norm or model.cnn.batch_norm"
