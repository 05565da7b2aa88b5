"""A network that compiles in a second, for what has to hold of any network in a stage."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from sketchjax import parallel
from sketchjax.config import StageRow
from sketchjax.data.inputs import Strokes
from sketchjax.losses.loss import Setup
from sketchjax.losses.objective import loss
from sketchjax.losses.quantization import nearest_codes
from sketchjax.losses.table import LOSSES
from sketchjax.models.network import Output
from sketchjax.models.table import HEAD
from sketchjax.parallel import SPLIT, WHOLE, over_devices
from sketchjax.train import stages
from sketchjax.train.loop import compile_dispatch
from sketchjax.train.state import State, start
from sketchjax.train.step import Minibatch, Training, features_step, theta_step

CLASSES, BITS, POINTS, HIDDEN = 3, 8, 6, 5


@dataclass(frozen=True)
class SmallArchitecture:
    """Of a network's architecture, what training reads."""

    classes: int = CLASSES
    width: int = BITS


@dataclass(frozen=True)
class SmallLayers:
    """Of a network's layers, what a plan asks."""

    @staticmethod
    def parts_of(names, output):
        parts = ["hash" if name == HEAD else name for name in names]
        return *parts, "classifier" if output == HEAD else f"{output}_classifier"


@dataclass(frozen=True)
class SmallNetwork:
    """Two encoders of one layer each, one with batch statistics, both with noise in training."""

    architecture: SmallArchitecture = SmallArchitecture()
    layers: SmallLayers = SmallLayers()

    @staticmethod
    def variables(random):
        """Parameters and batch statistics of all parts, without a program to draw them."""
        shapes = {
            "cnn": (2 * POINTS, HIDDEN),
            "rnn": (2 * POINTS, HIDDEN),
            "cnn_classifier": (HIDDEN, CLASSES),
            "rnn_classifier": (HIDDEN, CLASSES),
            "hash": (2 * HIDDEN, BITS),
            "classifier": (BITS, CLASSES),
        }
        params = {
            name: {"kernel": random.normal(0, 0.5, shape).astype(np.float32)}
            for name, shape in shapes.items()
        }
        return {"params": params, "batch_stats": {"cnn": {"mean": np.zeros(HIDDEN, np.float32)}}}

    def apply(self, variables, inputs, output=HEAD):
        return self._output(variables["params"], inputs, output, self._mean(variables), None)[0]

    def apply_in_training(self, variables, inputs, output, keys):
        found, mean = self._output(variables["params"], inputs, output, None, keys)
        if output == "rnn":
            return found, {}
        kept = 0.9 * self._mean(variables) + 0.1 * mean
        return found, {"cnn": {"mean": kept}}

    @staticmethod
    def _mean(variables):
        return variables["batch_stats"]["cnn"]["mean"]

    @staticmethod
    def _output(params, strokes, output, mean, keys):
        inputs = strokes.points[..., :2].reshape(len(strokes.points), -1) / 255 - 0.5
        if keys is not None:
            # The first word of a key as noise: a generator of numbers takes a second to compile.
            words = jax.random.key_data(keys)[:, :1].astype(jnp.float32) / 2.0**32
            inputs = inputs + 0.2 * words * jnp.linspace(-1, 1, 2 * POINTS)
        hidden = inputs @ params["cnn"]["kernel"]
        if mean is None:
            mean = jax.lax.pmean(hidden.mean(0), parallel.AXIS)
        picture = jnp.tanh(hidden - mean)
        if output == "cnn":
            return Output(picture @ params["cnn_classifier"]["kernel"]), mean
        sequence = jnp.tanh(inputs @ params["rnn"]["kernel"])
        if output == "rnn":
            return Output(sequence @ params["rnn_classifier"]["kernel"]), mean
        joined = jnp.concatenate([picture, sequence], axis=1)
        activations = joined @ params["hash"]["kernel"]
        features = jax.nn.sigmoid(activations)
        logits = features @ params["classifier"]["kernel"]
        return Output(logits, features, activations), mean


def drawn_variables(shapes):
    """Variables of any kind for a real network of these shapes, without a program to draw them."""
    random = np.random.default_rng(1)

    def fill(path, leaf):
        if path[-1].key in ("scale", "var"):
            return np.ones(leaf.shape, leaf.dtype)
        if len(leaf.shape) < 2:
            return np.zeros(leaf.shape, leaf.dtype)
        scale = np.sqrt(1 / np.prod(leaf.shape[:-1]))
        return (scale * random.normal(size=leaf.shape)).astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(fill, shapes)


class Quiet:
    """The network without noise and batch statistics in training."""

    def __init__(self, network):
        self.apply, self.variables = network.apply, network.variables

    def apply_in_training(self, variables, inputs, output, keys):
        return self.apply(variables, inputs, output), {}


WHOLE_NETWORK = ("cnn", "rnn", "head")
# What each stage trains, what its losses read, and the losses.
ROWS = {
    "cnn": (("cnn",), "cnn", {"cross_entropy": 1.0}),
    "rnn": (("rnn",), "rnn", {"cross_entropy": 1.0}),
    "joint": (WHOLE_NETWORK, HEAD, {"cross_entropy": 1.0}),
    "center": (WHOLE_NETWORK, HEAD, {"cross_entropy": 1.0, "center": 0.5}),
    "full": (WHOLE_NETWORK, HEAD, {"cross_entropy": 1.0, "center": 0.5, "quantization": 0.5}),
}


def small_stage(
    name: str,
    *,
    blocks: int = 4,
    inner_steps: int = 3,
    rate: float = 0.02,
    losses=None,
    trains: tuple[str, ...] = (),
):
    """A stage of that row; an epoch is two blocks. losses, trains: others than the row's."""
    own_trains, output, own_losses = ROWS[name]
    trains = trains or own_trains
    row = StageRow(
        name=name,
        number=list(ROWS).index(name),
        trains=trains,
        output=output,
        losses={
            name: defaults(name) | (given if isinstance(given, dict) else {"weight": given})
            for name, given in (losses or own_losses).items()
        },
        epochs=blocks / 2,
        learning_rate=rate,
        schedule="cosine",
        warmup_epochs=0.0,
        classes=0,
        each=0,
    )
    return stages.Stage(
        row=row,
        parts=SmallLayers.parts_of(trains, output),
        head_parts=SmallLayers.parts_of((HEAD,), HEAD),
        head_rate=1.0,
        blocks=blocks,
        blocks_per_epoch=2,
        inner_steps=inner_steps,
        warmup_steps=0,
    )


def defaults(name: str) -> dict:
    """The settings of a loss, as a config gives them."""
    return {setting: row.default for setting, row in LOSSES[name].settings.items()}


def small_training(stage, optimizer: optax.GradientTransformation | None = None) -> Training:
    """The stage with the small network, and the optimizer that a run has."""
    optimizer = optimizer or stages.optimizer(stage, weight_decay=1e-3, clip_norm=1.0)
    return Training(SmallNetwork(), stage, optimizer, parallel.average, 7)


def small_state(training: Training) -> State:
    """The first state of a stage, with centres of any kind."""
    variables = training.network.variables(np.random.default_rng(1))
    return start(training.optimizer, training.stage, variables, small_memories(training.stage))


def small_memories(stage) -> dict:
    """What the losses of a stage remember: centres of any kind, factors as they begin."""
    names = {"center", "common_center"} & set(stage.row.losses)
    memories = {
        name: {"centers": np.random.default_rng(2).random((CLASSES, BITS), np.float32)}
        for name in names
    }
    if "semantic" in stage.row.losses:
        blank = loss("semantic").blank
        assert blank is not None
        memories["semantic"] = blank(small_setup(stage))
    return memories


def small_setup(stage) -> Setup:
    """What the losses of a stage may look at before it begins."""
    return Setup(
        classes=CLASSES,
        width=BITS,
        entropy_low=np.zeros(CLASSES),
        entropy_high=np.ones(CLASSES),
        in_training=np.ones(CLASSES, bool),
        block_share=1 / stage.blocks_per_epoch,
        word_vectors=np.random.default_rng(3).normal(size=(CLASSES, 4)),
        train=lambda: iter(()),
    )


def random_blocks(devices: int, m: int, k: int, batch: int, seed: int = 0) -> Minibatch:
    """Blocks [devices m k batch/devices ...] of random points, the same on any number."""
    rng = np.random.default_rng(seed)
    shape = (m, k, batch)
    points = rng.integers(0, 256, (*shape, POINTS, 3)).astype(np.uint8)
    whole = (
        Strokes(points, np.full(shape, POINTS, np.int32), np.zeros((*shape, 2), np.float32)),
        rng.integers(0, CLASSES, shape).astype(np.int32),
        np.broadcast_to(np.arange(batch, dtype=np.int32), shape),
    )
    return Minibatch(*parallel.split(whole, devices, axis=2))


class PlainLoop:
    """Lines 6 to 10 of Algorithm 1, one call of the devices after the other."""

    def __init__(self, training):
        self.alternate = "quantization" in training.stage.row.losses
        self.step = over_devices(
            partial(theta_step, training), inputs=(WHOLE, SPLIT, SPLIT), outputs=(WHOLE, WHOLE)
        )

        def code(state, batch):
            return nearest_codes(features_step(training, state, batch))

        self.code = over_devices(code, inputs=(WHOLE, SPLIT), outputs=SPLIT)

    def run(self, state, blocks, codes_of="block"):
        """The state and metrics [m k] after all blocks, and all codes.

        blocks: [devices m k b ...].
        codes_of: the state that gives a batch's codes: that of the `block`'s start, of the `step`
          itself or of the `run`'s start.
        """
        # Where a step leaves it: from elsewhere, each program would be compiled once more.
        state = parallel.hold(state)
        first, metrics, all_codes = state, [], []
        m, k = blocks.label.shape[1:3]
        for outer in range(m):
            at_block = state
            for i in range(k):
                batch = jax.tree.map(lambda leaf, outer=outer, i=i: leaf[:, outer, i], blocks)
                fixed = {"block": at_block, "run": first, "step": state}[codes_of]
                codes = np.asarray(self.code(fixed, batch)) if self.alternate else None
                given = {"quantization": codes} if self.alternate else {}
                # On few cores two averaging calls on the way at once lock each other up.
                state, values = jax.block_until_ready(self.step(state, batch, given))
                metrics.append(values)
                all_codes.append(codes)
        return state, jax.tree.map(lambda *each: np.stack(each).reshape(m, k), *metrics), all_codes


def assert_same_bits(first, second):
    for (path, a), b in zip(
        jax.tree_util.tree_flatten_with_path(first)[0], jax.tree.leaves(second), strict=True
    ):
        np.testing.assert_array_equal(a, b, err_msg=jax.tree_util.keystr(path))


def differs(first, second) -> bool:
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return any(not np.array_equal(a, b) for a, b in pairs)


def run_dispatch(training, state, blocks, devices=None):
    return jax.block_until_ready(
        compile_dispatch(training, (), state, blocks, devices)(state, blocks)
    )
