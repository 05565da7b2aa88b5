"""A network that compiles in a second, for what has to hold of any network in a stage."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax

from sketchjax import parallel
from sketchjax.models.two_branch import Output
from sketchjax.train import stages
from sketchjax.train.state import State, start
from sketchjax.train.step import Minibatch, Training

CLASSES, BITS, POINTS, HIDDEN = 3, 8, 6, 5


@dataclass(frozen=True)
class Model:
    """Of the network's model, what a state is made from."""

    classes: int = CLASSES
    bits: int = BITS


@dataclass(frozen=True)
class SmallNetwork:
    """Two branches of one layer each, one with batch statistics, both with noise in training."""

    model: Model = Model()

    def initialise(self, key, points=POINTS):
        """Parameters and batch statistics of all parts."""
        shapes = {
            "cnn": (2 * POINTS, HIDDEN),
            "rnn": (2 * POINTS, HIDDEN),
            "cnn_classifier": (HIDDEN, CLASSES),
            "rnn_classifier": (HIDDEN, CLASSES),
            "hash": (2 * HIDDEN, BITS),
            "classifier": (BITS, CLASSES),
        }
        keys = jax.random.split(key, len(shapes))
        params = {
            name: {"kernel": jax.random.normal(each, shape) * 0.5}
            for (name, shape), each in zip(shapes.items(), keys, strict=True)
        }
        return {"params": params, "batch_stats": {"cnn": {"mean": jnp.zeros(HIDDEN)}}}

    def apply(self, variables, points, length, branch):
        return self._output(variables["params"], points, branch, self._mean(variables), None)[0]

    def apply_in_training(self, variables, points, length, branch, keys):
        if branch == "rnn":
            return self._output(variables["params"], points, branch, None, keys)[0], {}
        output, mean = self._output(variables["params"], points, branch, None, keys)
        kept = 0.9 * self._mean(variables) + 0.1 * mean
        return output, {"cnn": {"mean": kept}}

    @staticmethod
    def _mean(variables):
        return variables["batch_stats"]["cnn"]["mean"]

    @staticmethod
    def _output(params, points, branch, mean, keys):
        inputs = points[..., :2].reshape(len(points), -1) / 255 - 0.5
        if keys is not None:
            # The first word of a key as noise: a generator of numbers takes a second to compile.
            words = jax.random.key_data(keys)[:, :1].astype(jnp.float32) / 2.0**32
            inputs = inputs + 0.2 * words * jnp.linspace(-1, 1, 2 * POINTS)
        hidden = inputs @ params["cnn"]["kernel"]
        if mean is None:
            mean = jax.lax.pmean(hidden.mean(0), parallel.AXIS)
        picture = jnp.tanh(hidden - mean)
        if branch == "cnn":
            return Output(None, picture @ params["cnn_classifier"]["kernel"]), mean
        strokes = jnp.tanh(inputs @ params["rnn"]["kernel"])
        if branch == "rnn":
            return Output(None, strokes @ params["rnn_classifier"]["kernel"]), mean
        joined = jnp.concatenate([picture, strokes], axis=1)
        features = jax.nn.sigmoid(joined @ params["hash"]["kernel"])
        return Output(features, features @ params["classifier"]["kernel"]), mean


LOSSES = {
    "cnn": {"cross_entropy": 1.0},
    "rnn": {"cross_entropy": 1.0},
    "joint": {"cross_entropy": 1.0},
    "center": {"cross_entropy": 1.0, "center": 0.5},
    "full": {"cross_entropy": 1.0, "center": 0.5, "quantization": 0.5},
}


def small_stage(name: str, *, blocks: int = 4, inner_steps: int = 3, rate: float = 0.02):
    """A stage of that row; an epoch is two blocks."""
    number = [row.name for row in stages.ROWS].index(name)
    return stages.Stage(
        row=stages.ROWS[number],
        number=number,
        losses=LOSSES[name],
        learning_rate=rate,
        schedule="cosine",
        blocks=blocks,
        blocks_per_epoch=2,
        inner_steps=inner_steps,
        warmup_steps=0,
    )


def small_training(stage, optimizer: optax.GradientTransformation | None = None) -> Training:
    """The stage with the small network, and the optimizer that a run has."""
    optimizer = optimizer or stages.optimizer(stage, weight_decay=1e-3, clip_norm=1.0)
    return Training(SmallNetwork(), stage, optimizer, parallel.average, 7)


def small_state(training: Training) -> State:
    """The first state of a stage, with centres of any kind."""
    variables = training.network.initialise(jax.random.key(1))
    centers = jax.random.uniform(jax.random.key(2), (CLASSES, BITS))
    return start(training.network, training.optimizer, training.stage, variables, centers)


def random_blocks(devices: int, m: int, k: int, batch: int, seed: int = 0) -> Minibatch:
    """Blocks [devices m k batch/devices ...] of random points, the same on any number."""
    rng = np.random.default_rng(seed)
    whole = (
        rng.integers(0, 256, (m, k, batch, POINTS, 3)).astype(np.uint8),
        np.full((m, k, batch), POINTS, np.int32),
        rng.integers(0, CLASSES, (m, k, batch)).astype(np.int32),
        np.broadcast_to(np.arange(batch, dtype=np.int32), (m, k, batch)),
    )
    return Minibatch(*parallel.split(whole, devices, axis=2))
