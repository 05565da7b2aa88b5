"""The loop of one stage: dispatch, log, save, stop; nothing here is mathematics."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, Protocol

import jax
import numpy as np

from sketchjax.data.feed import Batch
from sketchjax.errors import NotFiniteError
from sketchjax.parallel import SPLIT, WHOLE, over_devices, split
from sketchjax.train.state import State
from sketchjax.train.step import Minibatch, Training, dispatch


class Feed(Protocol):
    """An endless iterator of blocks whose position can be saved and restored."""

    def __next__(self) -> Batch: ...
    def get_state(self) -> dict: ...
    def set_state(self, state: dict) -> None: ...


class Logged(NamedTuple):
    """What the loop tells after a dispatch.

    state: after it; feed_state: the position of the feed after it; metrics: means over the
    dispatch; seconds: since the last one.
    """

    state: State
    feed_state: dict
    metrics: dict[str, float]
    sketches: int
    seconds: float


def compile_dispatch(training: Training, outer_steps: int) -> Callable:
    """The stage's dispatch on every device: (State, blocks) -> (State, metrics f[m k]).

    State and metrics come back whole. `blocks` is a list of `outer_steps` blocks from the feed.
    """
    on_devices = over_devices(
        partial(dispatch, training), inputs=(WHOLE, SPLIT), outputs=(WHOLE, WHOLE)
    )
    devices = jax.local_device_count()

    def run(state: State, blocks: list[Batch]):
        assert len(blocks) == outer_steps
        return on_devices(state, arrange(blocks, training.stage.inner_steps, devices))

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
    training: Training, state: State, feed: Feed, *, outer_steps: int
) -> Iterator[Logged]:
    """Dispatch until the stage's steps are done; yields after each dispatch.

    The next blocks are read while the devices work. Saving and stopping are the caller's,
    between two dispatches.
    Raises NotFiniteError when a loss is not finite, naming stage and step.
    """
    stage = training.stage
    run = compile_dispatch(training, outer_steps)
    steps_each = outer_steps * stage.inner_steps
    step = int(state.step)
    blocks = None
    while step < stage.steps:
        started = time.perf_counter()
        blocks = blocks or [next(feed) for _ in range(outer_steps)]
        feed_state = feed.get_state()
        state, metrics = run(state, blocks)
        sketches = len(blocks[0].label) * outer_steps
        step += steps_each
        blocks = [next(feed) for _ in range(outer_steps)] if step < stage.steps else None
        values = {name: np.asarray(value) for name, value in metrics.items()}
        _check_finite(values, stage.name, step - steps_each)
        means = {name: float(value.mean()) for name, value in values.items()}
        yield Logged(state, feed_state, means, sketches, time.perf_counter() - started)


def _check_finite(metrics: dict[str, np.ndarray], stage: str, first_step: int) -> None:
    bad = ~np.isfinite(metrics["loss"].ravel())
    if not bad.any():
        return
    at = int(bad.argmax())
    terms = ", ".join(f"{name}={value.ravel()[at]:.4g}" for name, value in metrics.items())
    raise NotFiniteError(
        f"stage {stage}, step {first_step + at}: the loss is not finite ({terms}); lower "
        f"stages.{stage}.learning_rate, or set train.clip_norm or model.cnn.batch_norm"
    )
