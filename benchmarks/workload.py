"""What the benchmarks of a step measure: sizes, real drawings, and a compiled stage.

Both sizes have the stages of configs/sketchmate.py. `paper` is that config; `sample` is its network
at sizes that suit two CPU cores, which do not follow a config, so that figures stay comparable.
SKETCHJAX_BENCH_TINY=1 shrinks both to a network that compiles in seconds, to check that a benchmark
runs; such figures mean nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np

from benchmarks.record import REPOSITORY, parser
from sketchjax import parallel
from sketchjax.config import Config, architecture
from sketchjax.data.feed.batch import pad
from sketchjax.data.folder.shards import Shards
from sketchjax.models import network as networks
from sketchjax.models.network import Network
from sketchjax.train import stages
from sketchjax.train.state import State, start
from sketchjax.train.step import Minibatch, Training, dispatch

CLASSES = {"sample": 55, "paper": 345}
BLOCKS_PER_EPOCH = 1000  # the learning rate's schedule wants one; any will do


def is_tiny() -> bool:
    """Whether SKETCHJAX_BENCH_TINY asks for sizes that only show that everything runs."""
    return os.environ.get("SKETCHJAX_BENCH_TINY", "") not in ("", "0")


def step_parser(description: str | None, *, rounds: int = 5) -> argparse.ArgumentParser:
    """`record.parser` with the flags of a benchmark that runs the network on real drawings."""
    flags = parser(description)
    flags.add_argument("--sizes", choices=tuple(CLASSES), default="sample")
    flags.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    flags.add_argument("--rounds", type=int, default=rounds)
    flags.add_argument("--folder", type=Path, help="a data folder that `sketchjax convert` made")
    return flags


def load_config(sizes: str, dtype: str) -> Config:
    """The config of `sample` or `paper`, computing in dtype; shrunk where that is asked for."""
    config = read_config(REPOSITORY / "configs" / "sketchmate.py", "64")
    config.model.dtype = dtype
    if sizes == "sample":
        shrink(config)
    if is_tiny():
        config.drawing.size, config.data.points = 64, 24
        config.model.encoders.cnn.update({"width": 0.125, "stem_stride": 2, "dense_features": 32})
        config.model.encoders.rnn.update({"hidden": 8, "layers": 1})
        config.train.update({"batch_size": 8, "inner_steps": 2})
    return config


def read_config(path: Path, *argument: str) -> Config:
    """The config of a file.

    path: of the file; argument: what follows the colon on the command line, if anything.
    """
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None, f"{path} is a Python file"
    assert spec.loader is not None, f"{path} is a Python file"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(*argument)


def shrink(config: Config) -> None:
    """The sizes of `sample` in place of the paper's."""
    config.drawing.size, config.data.points = 64, 96
    config.model.encoders.cnn.update(
        {"width": 0.5, "stem_stride": 2, "dense_features": 1024, "dropout": 0.4}
    )
    config.model.encoders.rnn.update({"hidden": 128, "dropout": 0.2})
    config.train.update({"batch_size": 64, "inner_steps": 8, "outer_steps": 4})


@dataclass(frozen=True)
class Workload:
    """A network with variables to begin with, and one block of k batches to repeat.

    batch: arrays [k b ...] on the host; classes: l.
    """

    config: Config
    classes: int
    network: Network
    variables: dict
    batch: Minibatch

    @property
    def sketches(self) -> int:
        return self.batch.label.size

    @property
    def mean_length(self) -> float:
        """Points of a sketch, without padding."""
        return float(np.mean(self.batch.inputs.length))


def make_workload(sizes: str, dtype: str, batch: int, folder: Path, *, steps: int = 0) -> Workload:
    """k batches of drawings and fresh variables.

    sizes, dtype: of the network.
    batch: sketches of a step; 0: the config's.
    folder: of the data.
    steps: k; 0: the config's.
    """
    config, classes = load_config(sizes, dtype), CLASSES[sizes]
    config.train.batch_size = batch or config.train.batch_size
    config.train.inner_steps = steps or config.train.inner_steps
    network = networks.build(
        architecture(config, [str(label) for label in range(classes)], 30.0),
        axis_name=parallel.AXIS,
        augmentation=config.augmentation.to_dict(),
    )
    variables = jax.jit(network.initialise)(jax.random.key(0))
    shape = (config.train.inner_steps, config.train.batch_size)
    return Workload(config, classes, network, variables, read_block(folder, shape, config, classes))


def read_block(folder: Path, shape: tuple[int, int], config: Config, classes: int) -> Minibatch:
    """Random training drawings as [k b ...], repeated where the folder has too few.

    folder: of the data; shape: (k, b); config: for t, the points of a sketch.
    classes: l, into which labels are folded, as the folder may have another number of them.
    """
    with Shards(folder, "train") as shards:
        order = np.random.default_rng(0).permutation(len(shards))
        read = pad(shards.read(np.resize(order, shape[0] * shape[1])), config.data.points)
    inputs, label = jax.tree.map(
        lambda array: array.reshape(*shape, *array.shape[1:]), (read.inputs, read.label % classes)
    )
    place = np.broadcast_to(np.arange(shape[1], dtype=np.int32), shape)
    return Minibatch(*cast(Any, (inputs, label, place)))


def make_training(workload: Workload, stage: str) -> Training:
    """What is fixed during a stage, as the trainer makes it."""
    config, layers = workload.config, workload.network.layers
    planned = stages.plan(
        config, layers.parts_of, layers.head_parts(), lambda row: BLOCKS_PER_EPOCH
    )
    row = next(s for s in planned if s.name == stage)
    optimizer = stages.optimizer(
        row, weight_decay=config.train.weight_decay, clip_norm=config.train.clip_norm
    )
    return Training(workload.network, row, optimizer, parallel.average, config.seed)


@dataclass
class CompiledStage:
    """A stage's dispatch of one block, compiled; calling it trains on one block, and waits.

    run: (state, blocks) -> (state, metrics), for any blocks of one shape.
    blocks: those that a call takes, on the devices.
    compile_seconds: of tracing and compiling.
    temporary_bytes: what the program needs besides its arguments and results.
    """

    run: Callable[[State, Any], tuple[State, dict]]
    state: State
    blocks: Any
    compile_seconds: float
    temporary_bytes: int

    def __call__(self) -> None:
        self.train(self.blocks)

    def train(self, blocks: Any) -> np.ndarray:
        """Train on these blocks, such as a feed's next; returns their losses f[k]."""
        self.state, metrics = self.run(self.state, blocks)
        jax.block_until_ready((self.state, metrics))
        return np.asarray(metrics["loss"]).ravel()


def make_state(workload: Workload, training: Training) -> State:
    """The first state of a stage, with random class centres."""
    shape = (workload.classes, workload.network.architecture.width)
    centers = jax.random.uniform(jax.random.key(1), shape)
    memories = {"center": {"centers": centers}} if "center" in training.stage.row.losses else {}
    return start(training.optimizer, training.stage, workload.variables, memories)


def compile_stage(workload: Workload, stage: str, devices: int = 1) -> CompiledStage:
    """The one place that knows how the trainer wraps a step: `pmap` of a dispatch."""
    training = make_training(workload, stage)
    state = make_state(workload, training)
    one_block = jax.tree.map(lambda array: np.asarray(array)[None], workload.batch)  # m = 1
    blocks = parallel.split(one_block, devices, axis=2)
    return compile_dispatch(training, (), state, blocks, jax.local_devices()[:devices])


def compile_dispatch(
    training: Training, held: Any, state: State, blocks: Any, devices: list[Any]
) -> CompiledStage:
    """As `train.loop.compile_dispatch`, with the compiler's figures and blocks to repeat."""
    wrapped = parallel.over_devices(
        partial(dispatch, training),
        inputs=(parallel.WHOLE, parallel.WHOLE, parallel.SPLIT),
        outputs=(parallel.WHOLE, parallel.WHOLE),
        devices=devices,
    )
    begun = time.perf_counter()
    compiled = cast(Any, wrapped).lower(held, state, blocks).compile()
    seconds = time.perf_counter() - begun
    places = compiled.input_shardings[0]
    held, state, blocks = jax.device_put((held, state, blocks), tuple(places))
    return CompiledStage(
        partial(compiled, held),
        state,
        blocks,
        seconds,
        int(compiled.memory_analysis().temp_size_in_bytes),
    )
