"""Bytes that the devices exchange in a training step, and what many GPUs lose by it, on paper.

    python -m benchmarks.communication [--sizes paper] [--dtype bfloat16] [--stage joint]
        [--json FILE]

The bytes are counted in the program of two devices, as it goes to the compiler: the results of its
all-reduces and all-gathers. The loop over the steps of a block is there once, so this is a step's.
Nothing is run.

The efficiency of n GPUs is t / (t + c), with t the time of a GPU's own sketches and c that of the
exchange, none of it hidden behind the computation: in a machine a reduce-scatter and an all-gather
of V bytes, then the same between the machines, each GPU with its share of V. The constants are in
`Cluster`; the share of the peak that a step reaches is an assumption until it is measured.
"""

from __future__ import annotations

import argparse
import math
import os
import re
from collections import Counter
from functools import partial
from typing import Any, NamedTuple, cast

from benchmarks.record import parser, report

# A type in a program's text, such as f32[48,128].
_ARRAY = re.compile(r"\b([a-z]+)(\d+)\[([\d,]*)\]")
# "name = TYPE all-reduce(", TYPE being an array or a tuple of them. One that has been made
# asynchronous has a start and a done; the start counts.
_EXCHANGE = re.compile(r"= (.*?) (all-reduce|all-gather)(?:-start)?\(")
GPUS = (1, 8, 16, 32, 64, 128, 256)


class Cluster(NamedTuple):
    """H100 SXM machines. Sources: NVIDIA's data sheets of the H100 and of ConnectX-7.

    peak: dense bfloat16 FLOP/s of a GPU.
    reached: share of it that a step reaches; assumed.
    inside: bytes/s each way of a GPU to the others of its machine (NVLink 4).
    between: bytes/s each way of a GPU to other machines (one port of 400 Gbit/s each).
    links: share of both that collectives reach; assumed.
    hop: seconds of latency for each doubling of the GPUs; assumed.
    gpus: of a machine.
    """

    peak: float = 989e12
    reached: float = 0.3
    inside: float = 450e9
    between: float = 50e9
    links: float = 0.8
    hop: float = 10e-6
    gpus: int = 8


def main(arguments: list[str] | None = None) -> None:
    flags = read_flags(arguments)
    os.environ["XLA_FLAGS"] = (
        os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
    )
    from benchmarks import workload

    config, classes = workload.load_config(flags.sizes, flags.dtype), workload.CLASSES[flags.sizes]
    found = exchanged(lowered(config, classes, flags.stage).as_text(dialect="hlo"))
    report("communication", figures(config, classes, flags.stage, found), flags.json)


def read_flags(arguments: list[str] | None) -> argparse.Namespace:
    flags = parser(__doc__)
    flags.add_argument("--sizes", choices=("sample", "paper"), default="paper")
    flags.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    flags.add_argument("--stage", choices=("cnn", "rnn", "joint"), default="joint")
    return flags.parse_args(arguments)


def lowered(config: Any, classes: int, stage: str, devices: int = 2) -> Any:
    """A dispatch of one block for several devices, from shapes only: nothing is computed."""
    import jax
    import numpy as np

    from benchmarks import workload
    from sketchjax import parallel
    from sketchjax.config import architecture
    from sketchjax.data.inputs import Strokes
    from sketchjax.models import network as networks
    from sketchjax.train.state import start
    from sketchjax.train.step import Minibatch, dispatch

    names = [str(label) for label in range(classes)]
    network = networks.build(
        architecture(config, names, 30.0),
        axis_name=parallel.AXIS,
        augmentation=config.augmentation.to_dict(),
    )
    shapes, steps, batch = network.shapes(), config.train.inner_steps, config.train.batch_size
    training = workload.make_training(
        workload.Workload(config, classes, network, shapes, cast(Any, None)), stage
    )
    state = jax.eval_shape(lambda own: start(training.optimizer, training.stage, own, {}), shapes)
    points = np.zeros((batch, config.data.points, 3), np.uint8)
    one = (Strokes.of(points, np.ones(batch, np.int32)), np.zeros(batch, np.int32))
    items = Minibatch(*cast(Any, (*one, np.arange(batch, dtype=np.int32))))
    blocks = jax.tree.map(lambda each: np.broadcast_to(each, (1, steps, *each.shape)), items)
    step = parallel.over_devices(
        partial(dispatch, training),
        inputs=(parallel.WHOLE, parallel.WHOLE, parallel.SPLIT),
        outputs=(parallel.WHOLE, parallel.WHOLE),
        devices=jax.local_devices()[:devices],
    )
    return cast(Any, step).lower((), state, parallel.split(blocks, devices, axis=2))


def exchanged(text: str) -> dict[str, int]:
    """Bytes of the results of a program's all-reduces and all-gathers, by kind."""
    found = Counter[str]()
    for types, kind in _EXCHANGE.findall(text):
        for name, bits, shape in _ARRAY.findall(types):
            elements = math.prod(int(side) for side in shape.split(",") if side)
            found[kind] += elements * (1 if name == "pred" else int(bits) // 8)
    return dict(found)


def figures(config: Any, classes: int, stage: str, found: dict[str, int]) -> dict[str, Any]:
    """Bytes, and the efficiency for two batches of a GPU. found: of `exchanged`."""
    from benchmarks import flops

    whole = sum(found.values())
    values: dict[str, Any] = {"stage": stage, "bytes_of_a_step": whole}
    values |= {f"{kind}_bytes": number for kind, number in found.items()}
    work = flops.training_flops(config, classes, 44, stage)
    for batch in (256, 1024):
        for count in GPUS:
            share = efficiency(count, batch * work, whole, Cluster())
            values[f"{count}_gpus_of_{batch}_efficiency"] = share
    return values


def efficiency(count: int, work: float, exchange: float, cluster: Cluster) -> float:
    """The share of the time in which `count` GPUs compute.

    work: FLOPs of a GPU's own sketches in a step.
    exchange: bytes that are summed over all of them.
    """
    compute = work / (cluster.peak * cluster.reached)
    inside = min(count, cluster.gpus)
    machines = -(-count // cluster.gpus)
    seconds = 2 * (inside - 1) / inside * exchange / (cluster.links * cluster.inside)
    share = exchange / inside
    seconds += 2 * (machines - 1) / machines * share / (cluster.links * cluster.between)
    seconds += cluster.hop * math.log2(count)
    return compute / (compute + seconds)


if __name__ == "__main__":
    main()
