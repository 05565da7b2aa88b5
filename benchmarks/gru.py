"""Two bidirectional GRU layers, forward and backward: sketches per second of ours and the peers.

    python -m benchmarks.gru [--hidden 512] [--points 128] [--batch 64] [--json FILE]

Measured in turn and in one process: `flax.linen.RNN`, the project's own layers (`ops.gru`), the
same without packing, and torch.nn.GRU on padded and on packed sequences (pack_padded_sequence).
Each runs with full lengths and with real ones, which are those of the drawings in SKETCHJAX_DATA,
or else log-normal with QuickDraw's mean of 46 and 99th percentile of 115 points. A ratio is the
median over the rounds of the peer's seconds divided by ours. Peak memory is that of a process that
runs only one of them; `--no-memory` leaves it out. The torch peers need the extra `bench`, and use
the GPU where there is one. --dtype, --phases and --unroll try other settings of our loop.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import parser, peak_memory_bytes, report

JAX = ("fused", "fused_padded", "linen")
TORCH = ("torch_packed", "torch_padded")
LAYERS, WIDTH = 2, 4
SETTINGS = ("hidden", "points", "batch", "dtype", "rounds")
# exp(mu + sigma^2 / 2) = 46 and exp(mu + 2.326 sigma) = 115.
LOG_MEDIAN, LOG_DEVIATION = np.log(41.9), 0.434


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print and write the figures."""
    arguments = _flags().parse_args(words)
    names = arguments.only or [*JAX, *(TORCH if importlib.util.find_spec("torch") else ())]
    lengths, source = real_lengths(arguments.batch, arguments.points, arguments.seed)
    figures: dict[str, Any] = {
        **{name: getattr(arguments, name) for name in SETTINGS},
        "lengths": source,
        "mean_length": float(lengths.mean()),
        "peer": "torch_packed" if "torch_packed" in names else "linen",
    }
    figures |= memory(names, arguments, lengths)
    full = np.full_like(lengths, arguments.points)
    for kind, own in (("real", lengths), ("full", full)):
        runs = {}
        for name in names:
            start = time.perf_counter()
            runs[name] = runner(name, arguments, own)
            runs[name]()
            if kind == "real":
                figures[f"{name}_first_call_seconds"] = time.perf_counter() - start
        figures |= {f"{kind}_{key}": value for key, value in in_turn(runs, arguments).items()}
    if arguments.phases is not None or arguments.unroll is not None:
        figures |= {"phases": arguments.phases, "unroll": arguments.unroll}
    report("gru", figures, arguments.json)


def _flags() -> argparse.ArgumentParser:
    flags = parser(__doc__)
    flags.add_argument("--hidden", type=int, default=512)
    flags.add_argument("--points", type=int, default=128)
    flags.add_argument("--batch", type=int, default=64)
    flags.add_argument("--rounds", type=int, default=5)
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--phases", type=int, help="static row counts of `fused`, 0: no packing")
    flags.add_argument("--unroll", type=int, help="steps per turn without packing")
    flags.add_argument("--only", nargs="+", choices=(*JAX, *TORCH), help="measure only these")
    flags.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    flags.add_argument("--no-memory", action="store_true", help="do not measure peak memory")
    return flags


def real_lengths(batch: int, points: int, seed: int) -> tuple[np.ndarray, str]:
    """Lengths i32[b], from 1 to `points`, and their source."""
    random = np.random.default_rng(seed)
    home = os.environ.get("SKETCHJAX_DATA")
    if home:
        from sketchjax.data.sources import find, read

        files = find([Path(home) / "quickdraw"])
        chosen = [files[i] for i in random.permutation(len(files))[:32]]
        drawn = np.concatenate([next(read(path, chunk=256)).lengths for path in chosen])
        lengths, source = random.choice(drawn, batch), "QuickDraw, simplified"
    else:
        lengths = random.lognormal(LOG_MEDIAN, LOG_DEVIATION, batch)
        source = "log-normal, mean 46, 99th percentile 115"
    return np.clip(lengths, 1, points).astype(np.int32), source


def runner(name: str, arguments: argparse.Namespace, lengths: np.ndarray) -> Callable[[], Any]:
    """A function that runs the forward and backward pass once and waits for the gradients."""
    batch, points = arguments.batch, arguments.points
    sequence = np.random.default_rng(1).normal(size=(batch, points, WIDTH)).astype(np.float32)
    sequence *= (np.arange(points)[None] < lengths[:, None])[:, :, None]
    if name in TORCH:
        packed = name == "torch_packed"
        return torch_runner(arguments.hidden, sequence, lengths, arguments.dtype, packed=packed)
    return jax_runner(name, arguments, sequence, lengths)


def jax_runner(
    name: str, arguments: argparse.Namespace, sequence: np.ndarray, lengths: np.ndarray
) -> Callable[[], Any]:
    """The layers of jax, compiled once for all lengths as in training."""
    import jax
    import jax.numpy as jnp

    from sketchjax.models.bigru import BiGRU

    phases = {"fused": arguments.phases, "fused_padded": 0}.get(name)
    model = BiGRU(
        hidden=arguments.hidden,
        layers=LAYERS,
        implementation="linen" if name == "linen" else "fused",
        dtype=jnp.dtype(arguments.dtype),
        phases=phases,
        unroll=arguments.unroll,
    )
    shapes = jax.eval_shape(model.init, jax.random.key(0), sequence, lengths)
    random = np.random.default_rng(2)
    scale = arguments.hidden**-0.5
    variables = jax.tree.map(
        lambda leaf: scale * random.normal(size=leaf.shape).astype(np.float32), shapes
    )

    def loss(variables, sequence, lengths):
        final: Any = model.apply(variables, sequence, lengths)
        return (final**2).sum()

    step = _compiled(jax.jit(jax.grad(loss)), name, variables, sequence, lengths)
    inputs = jax.device_put((variables, sequence, lengths))
    return lambda: jax.block_until_ready(step(*inputs))


_STEPS: dict[str, Any] = {}


def _compiled(step: Any, name: str, *arguments: Any) -> Any:
    if name not in _STEPS:
        _STEPS[name] = step.lower(*arguments).compile()
    return _STEPS[name]


def torch_runner(
    hidden: int, sequence: np.ndarray, lengths: np.ndarray, dtype: str, *, packed: bool
) -> Callable[[], Any]:
    """torch.nn.GRU as its users write it."""
    import torch  # pyright: ignore[reportMissingImports]
    from torch.nn.utils.rnn import pack_padded_sequence  # pyright: ignore[reportMissingImports]

    from benchmarks.torch_peer import device, precision, wait

    layers = torch.nn.GRU(WIDTH, hidden, LAYERS, batch_first=True, bidirectional=True).to(device())
    # Packing reads the lengths on the host.
    inputs = torch.from_numpy(sequence).to(device())
    counts = torch.from_numpy(lengths.astype(np.int64))

    def run():
        layers.zero_grad()
        steps: Any = inputs
        with precision(dtype):
            if packed:
                steps = pack_padded_sequence(inputs, counts, batch_first=True, enforce_sorted=False)
            final = layers(steps)[1]
        (final.float() ** 2).sum().backward()
        wait()

    return run


def in_turn(runs: dict[str, Callable[[], Any]], arguments: argparse.Namespace) -> dict[str, float]:
    """A B C A B C ...: sketches per second of each, and the ratio of `fused` to the others."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(arguments.rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    figures = {
        f"{name}_sketches_per_second": arguments.batch / float(np.median(own))
        for name, own in seconds.items()
    }
    if "fused" in runs:
        figures |= {
            f"ratio_to_{name}": float(np.median(np.divide(own, seconds["fused"])))
            for name, own in seconds.items()
            if name != "fused"
        }
    return figures


def memory(names: list[str], arguments: argparse.Namespace, lengths: np.ndarray) -> dict[str, int]:
    """Peak resident memory of each with real lengths, each in a separate process."""
    if arguments.no_memory:
        return {}
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return {
            f"{name}_peak_memory_bytes": pool.apply(_peak, (name, arguments, lengths))
            for name in names
        }


def _peak(name: str, arguments: argparse.Namespace, lengths: np.ndarray) -> int:
    run = runner(name, arguments, lengths)
    run()
    run()
    return peak_memory_bytes()


if __name__ == "__main__":
    main()
