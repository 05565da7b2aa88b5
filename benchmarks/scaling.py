"""The same training steps on 1, 2 and 4 devices: the same losses, and what several devices cost.

    python -m benchmarks.scaling [--devices 1 2 4] [--stage joint] [--batch 64]
        [--rounds 3] [--json FILE]
    python -m benchmarks.scaling --weak --devices 1 2 4 8    # the batch grows with the devices

Each number of devices has its own process. Without GPUs the devices are virtual ones, threads
on the same cores: then the figures show that the result is right and what dividing a batch costs,
not how fast several devices would be. `greatest_difference` is that of the losses of the first
block's steps from those on one device, relative to them. With --weak, `efficiency` is the speed of
all devices over that of the first number of them; on virtual devices it is 1 where dividing a batch
costs nothing, on real ones their number over the first's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.feed import data_folder
from benchmarks.record import REPOSITORY, parser, report

NOTE = "virtual devices on one CPU: correctness and overhead, not speed"


def main(arguments: list[str] | None = None) -> None:
    flags = read_flags(arguments)
    if flags.alone:
        print(json.dumps(measure(flags)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = flags.folder or data_folder(Path(scratch))
        runs = [run_alone(flags, count, folder) for count in flags.devices]
    measured = weak(flags.devices, runs) if flags.weak else compare(flags.devices, runs)
    report("scaling", measured, flags.json)


def read_flags(arguments: list[str] | None) -> argparse.Namespace:
    flags = parser(__doc__)
    flags.add_argument("--sizes", choices=("sample", "paper"), default="sample")
    flags.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    flags.add_argument("--stage", choices=("cnn", "rnn", "joint"), default="joint")
    flags.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4])
    flags.add_argument("--batch", type=int, default=0, help="over all devices; 0: the config's")
    flags.add_argument("--weak", action="store_true", help="the batch is that of each device")
    flags.add_argument("--steps", type=int, default=2, help="k, the steps of a block")
    flags.add_argument("--rounds", type=int, default=3)
    flags.add_argument("--folder", type=Path, help="a data folder that `sketchjax convert` made")
    flags.add_argument("--alone", type=int, default=0, help=argparse.SUPPRESS)
    return flags.parse_args(arguments)


def run_alone(flags: argparse.Namespace, count: int, folder: Path) -> dict[str, Any]:
    """What `measure` finds in a process with `count` devices."""
    command = [sys.executable, "-m", "benchmarks.scaling", "--alone", str(count)]
    for name in ("sizes", "dtype", "stage", "batch", "steps", "rounds"):
        command += [f"--{name}", str(getattr(flags, name))]
    if flags.weak:
        command.append("--weak")
    virtual = f" --xla_force_host_platform_device_count={count}"
    environment = os.environ | {"XLA_FLAGS": os.environ.get("XLA_FLAGS", "") + virtual}
    done = subprocess.run(
        [*command, "--folder", str(folder)],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def measure(flags: argparse.Namespace) -> dict[str, Any]:
    """In the process of one number of devices: the first block's losses, and seconds of a block."""
    import jax

    from benchmarks import workload
    from benchmarks.timing import median_seconds

    if jax.local_device_count() < flags.alone:
        return {"missing": f"{jax.local_device_count()} devices here"}
    batch = flags.batch
    if flags.weak:
        batch = batch or workload.load_config(flags.sizes, flags.dtype).train.batch_size
        batch *= flags.alone
    work = workload.make_workload(flags.sizes, flags.dtype, batch, flags.folder, steps=flags.steps)
    stage = workload.compile_stage(work, flags.stage, devices=flags.alone)
    losses = stage.train(stage.blocks).tolist()
    return {
        "losses": losses,
        "seconds": median_seconds(stage, flags.rounds),
        "sketches": work.sketches,
        "platform": jax.devices()[0].platform,
    }


def compare(counts: list[int], runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of all runs next to the first's; a run that lacked devices says so."""
    first = runs[0]
    figures: dict[str, Any] = {"note": NOTE if first.get("platform") == "cpu" else "real devices"}
    for count, run in zip(counts, runs, strict=True):
        if "missing" in run:
            figures[f"{count} devices"] = f"not measured: {run['missing']}"
            continue
        difference = max(
            abs(loss - usual) / abs(usual)
            for loss, usual in zip(run["losses"], first["losses"], strict=True)
        )
        figures[f"{count}_sketches_per_second"] = run["sketches"] / run["seconds"]
        figures[f"{count}_time_to_first"] = run["seconds"] / first["seconds"]
        figures[f"{count}_greatest_difference"] = difference
    figures["losses"] = {str(c): run.get("losses") for c, run in zip(counts, runs, strict=True)}
    return figures


def weak(counts: list[int], runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The speed of each number of devices, and over that of the first."""
    first = runs[0]
    figures: dict[str, Any] = {"note": NOTE if first.get("platform") == "cpu" else "real devices"}
    for count, run in zip(counts, runs, strict=True):
        if "missing" in run:
            figures[f"{count} devices"] = f"not measured: {run['missing']}"
            continue
        figures[f"{count}_sketches_per_second"] = speed = run["sketches"] / run["seconds"]
        figures[f"{count}_efficiency"] = speed * first["seconds"] / first["sketches"]
    return figures


if __name__ == "__main__":
    main()
