"""Sketches per second of a training step, and its share of the device's measured peak.

    python -m benchmarks.train_step [--sizes sample|paper] [--peer torch] [--batch 64 256]
        [--stages cnn rnn joint full] [--dtype float32|bfloat16] [--rounds 5] [--eager]
        [--json FILE]

A round is one dispatch as the trainer runs it: k steps, drawing and augmentation included; in the
stage `full` the codes of the k batches first. Batches are on the device before timing. The drawings
are those of SKETCHJAX_DATA, or synthetic doodles.

`--peer torch` runs the same k steps in PyTorch (see benchmarks/torch_peer.py) in turn with ours,
A B A B, after checking that both are the same function. The peer gets finished pictures: what it
would spend on drawing and augmentation is not counted. `ratio` is ours over the peer's, the median
of all rounds. A stage's figures are under its name, for the first of the batch sizes; all of them
are under `sweep`.

FLOPs are the model's (benchmarks/flops.py); `utilisation` is their rate over that of the fastest
large matmul of this device in this dtype.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from benchmarks import flops, workload
from benchmarks.feed import data_folder
from benchmarks.record import peak_memory_bytes, report, write
from benchmarks.timing import in_turn, median_seconds

STAGES = ("cnn", "rnn", "joint", "full")
LOGITS_WITHIN, GRADIENT_WITHIN = 1e-3, 2e-2
CHECKED = 64  # sketches of a batch, long and short ones
PEER_GETS = "finished pictures as uint8, no augmentation, batches sorted by length"


def main(arguments: list[str] | None = None) -> None:
    flags = read_flags(arguments)
    if flags.peer and importlib.util.find_spec("torch") is None:
        print("--peer torch needs PyTorch: pip install 'sketchjax[bench]'", file=sys.stderr)
        sys.exit(64)
    if flags.peer:  # jax would take three quarters of a GPU's memory and leave the peer too little
        os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.45")
    with tempfile.TemporaryDirectory() as scratch:
        folder = flags.folder or data_folder(Path(scratch))
        figures: dict[str, Any] = {"sizes": flags.sizes, "dtype": flags.dtype}
        figures["peak_flops_per_second"] = flops.measured_peak(flags.dtype)
        figures["sweep"] = []
        for batch in flags.batch:
            measure(flags, batch, folder, figures)
    report("train_step", figures, flags.json)


def read_flags(arguments: list[str] | None) -> argparse.Namespace:
    flags = workload.step_parser(__doc__)
    flags.add_argument("--peer", choices=("torch",))
    flags.add_argument("--batch", type=int, nargs="+", default=[0], help="0: the config's")
    flags.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    flags.add_argument("--eager", action="store_true", help="do not try torch.compile")
    flags.add_argument("--steps", type=int, default=0, help="k; 0: the config's")
    return flags.parse_args(arguments)


def measure(flags: argparse.Namespace, batch: int, folder: Path, figures: dict[str, Any]) -> None:
    """All stages at one batch size, into figures; written after each, as a sweep takes minutes."""
    work = workload.make_workload(flags.sizes, flags.dtype, batch, folder, steps=flags.steps)
    figures |= {"mean_length": work.mean_length, "points": work.config.data.points}
    size = work.config.train.batch_size
    row: dict[str, Any] = {"batch": size}
    figures["sweep"].append(row)
    batches = check_peer(work, figures) if flags.peer else []
    for stage in flags.stages:
        found = measure_stage(work, stage, batches, flags)
        found["utilisation"] = found["flops_per_second"] / figures["peak_flops_per_second"]
        row[stage] = found
        figures.setdefault(stage, found | {"batch": size})
        figures[f"{stage}, b = {size}"] = line_of(found)
        figures["peak_memory_bytes"] = peak_memory_bytes()
        print(f"{stage}, b = {size}: {line_of(found)}", flush=True)
        write("train_step", figures, flags.json)


def check_peer(work: workload.Workload, figures: dict[str, Any]) -> list[dict]:
    """The peer's batches. Raises AssertionError when it is not the same function as ours."""
    from benchmarks import torch_step

    batches = torch_step.prepared(work)
    if "peer_difference" not in figures:
        import torch  # pyright: ignore[reportMissingImports]

        some = max(1, len(batches[0]["label"]) // CHECKED)
        differences = torch_step.same_function(
            work, {name: each[::some] for name, each in batches[0].items()}
        )
        assert differences["logits"] < LOGITS_WITHIN, f"peer is another function: {differences}"
        assert differences["gradient"] < GRADIENT_WITHIN, f"peer's gradient differs: {differences}"
        figures |= {"peer": f"torch {torch.__version__}", "peer_gets": PEER_GETS}
        figures["peer_difference"] = differences
    return batches


def measure_stage(
    work: workload.Workload, stage: str, batches: list[dict], flags: argparse.Namespace
) -> dict[str, Any]:
    """Speed of a stage, and of the peer where there are batches for it."""
    ours = workload.compile_stage(work, stage)
    found: dict[str, Any] = {
        "compile_seconds": ours.compile_seconds,
        "temporary_bytes": ours.temporary_bytes,
    }
    if batches:
        from benchmarks import torch_step

        peer, kind, choice = torch_step.fastest_peer(work, stage, batches, flags.eager)
        times = in_turn(ours, peer, flags.rounds)
        seconds = times.seconds
        found |= {
            "peer": work.sketches / times.peer_seconds,
            "ratio": times.ratio,
            "ratio_range": [times.least_ratio, times.greatest_ratio],
            "peer_kind": kind,
            "peer_choice_seconds": choice,
        }
    else:
        seconds = median_seconds(ours, flags.rounds)
    speed = work.sketches / seconds
    each = flops.training_flops(work.config, work.classes, work.mean_length, stage)
    memory = jax.devices()[0].memory_stats() or {}
    return found | {
        "sketches_per_second": speed,
        "flops_per_sketch": each,
        "flops_per_second": speed * each,
        "device_peak_bytes": memory.get("peak_bytes_in_use"),
    }


def line_of(row: dict[str, Any]) -> str:
    """A stage's main figures on one line."""
    line = f"{row['sketches_per_second']:,.0f} sketches/s"
    if "ratio" in row:
        line += f", peer {row['peer']:,.0f} ({row['peer_kind']}), ratio {row['ratio']:.2f}"
    line += f", {row['utilisation']:.0%} of peak, compiled in {row['compile_seconds']:.0f} s"
    return f"{line}, {row['temporary_bytes'] / 1e6:,.0f} MB temporary"


def input_ratio(stage: workload.CompiledStage, take: Callable[[], Any], rounds: int) -> float:
    """Seconds of a step with real input over those of a step on a constant batch, taking turns.

    take: the feed's next blocks, such as `lambda: feed.take(1)`; stage: compiled for such blocks.
    """
    return in_turn(stage, lambda: stage.train(take()), rounds).ratio


if __name__ == "__main__":
    main()
