"""Rehearse the whole way at the paper's size on one machine, with a small network.

    python -m benchmarks.rehearsal [--scale 1] [--folder DIR] [--json FILE] [--table FILE]
    python -m benchmarks.rehearsal --scale 0.01 0.05      # how each step grows with the data
    python -m benchmarks.rehearsal --drawings 50_000_000 --only convert,index,search --form bin

It writes 3,829,500 drawings in 345 categories, and some more from which the splits choose, then
takes the steps convert, verify, stream, resident, train, encode, scores, report, index, search,
each in a process of its own. It prints seconds, the peak of the memory of all the step's
processes, and the disk that it took, and extrapolates the paper's schedule of 55 epochs for this
network. Full size takes 26 minutes on two free cores of an AMD EPYC, of which 15 are the encoding
of the training split for the class centres, and 4 GB of disk. With --drawings all drawings go to
the gallery, and the index is made of codes without a network.

The bars are those of two cores: 4 GB of memory in each step, 25,000 drawings/s in `convert`, a
report within 60 s of the scores; with two scales, also that no step grows faster than the data.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import orjson

from benchmarks.record import parser, write
from benchmarks.rehearsal import drawings, table
from benchmarks.rehearsal.steps import STEPS, Rehearsal
from benchmarks.rehearsal.watch import disk_bytes, watched
from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.sources.categories import all_categories

COUNTS = {"train": 9000, "validation": 1000, "gallery": 1000, "query": 100}
LEAST = {"train": 8, "validation": 1, "gallery": 2, "query": 1}


def main(arguments: list[str] | None = None) -> None:
    flags = read_flags(arguments)
    if flags.step:
        figures = STEPS[flags.step](_rehearsal(flags.folder, flags.scale[0], flags.drawings))
        sys.stdout.write("\n" + orjson.dumps(figures).decode())
        return
    sizes = [rehearse(flags, scale) for scale in flags.scale]
    for line in table.bars(sizes):
        print(line)
    text = table.markdown(sizes)
    print(text)
    if flags.table:
        table.insert(flags.table, text)
    write("rehearsal", {"sizes": sizes}, flags.json)


def read_flags(arguments: list[str] | None) -> argparse.Namespace:
    flags = parser(__doc__)
    flags.add_argument("--scale", type=float, nargs="+", default=[1.0])
    flags.add_argument("--drawings", type=int, default=0, help="all for the gallery, not by scale")
    flags.add_argument("--categories", type=int, default=345)
    flags.add_argument("--only", type=_steps, default=list(STEPS), metavar="STEP,...")
    flags.add_argument("--form", choices=("ndjson", "bin"), default="ndjson")
    flags.add_argument("--folder", type=Path, help="where to put temporary files")
    flags.add_argument("--table", type=Path, help="a page whose table of the rehearsal is replaced")
    flags.add_argument("--step", choices=list(STEPS), help=argparse.SUPPRESS)
    return flags.parse_args(arguments)


def _steps(text: str) -> list[str]:
    chosen = text.split(",")
    if wrong := set(chosen) - set(STEPS):
        raise argparse.ArgumentTypeError(f"{min(wrong)!r} is no step; they are {', '.join(STEPS)}")
    return [name for name in STEPS if name in chosen]


def _rehearsal(folder: Path, scale: float, count: int) -> Rehearsal:
    counts = {split: max(LEAST[split], round(scale * each)) for split, each in COUNTS.items()}
    return Rehearsal(folder, {} if count else counts)


def rehearse(flags: argparse.Namespace, scale: float) -> dict[str, Any]:
    """All steps at one size; returns the size and a row of figures for each step."""
    with tempfile.TemporaryDirectory(dir=flags.folder, prefix="rehearsal-") as name:
        rehearsal = _rehearsal(Path(name), scale, flags.drawings)
        categories = all_categories()[: flags.categories]
        each = flags.drawings // len(categories)
        each = each or drawings.enough(rehearsal.counts, len(categories))
        cores = len(os.sched_getaffinity(0))
        made = drawings.write(Path(name) / "drawings", categories, each, flags.form, cores)
        _compile_kernels(Path(name))
        kept = sum(rehearsal.counts.values()) or each
        size: dict[str, Any] = {
            "drawings": kept * len(categories),
            "written": each * len(categories),
            "source_bytes": made,
            "form": flags.form,
            "rows": [],
        }
        print(f"{size['written']:,} drawings written, {made / 1e9:.2f} GB", flush=True)
        for step in flags.only:
            size["rows"].append(row := take(step, rehearsal, flags, scale))
            print(table.line(row), flush=True)
            write("rehearsal", {"sizes": [size]}, flags.json)
        size["disk_bytes"] = disk_bytes(Path(name))
    return size


def _compile_kernels(folder: Path) -> None:
    """numba compiles once per machine and keeps the result: that is no part of a step's time."""
    first = min((folder / "drawings").iterdir())
    convert([first], folder / "warm", splits={"train": 1.0}, workers=1, progress=False)
    shutil.rmtree(folder / "warm")


def take(step: str, rehearsal: Rehearsal, flags: argparse.Namespace, scale: float) -> dict:
    """One step in its own process; returns its costs and figures."""
    words = ["--step", step, "--folder", str(rehearsal.folder), "--scale", str(scale)]
    words += ["--drawings", str(flags.drawings)]
    command = [sys.executable, "-m", "benchmarks.rehearsal", *words]
    cost = watched(command, rehearsal.folder)
    figures = orjson.loads(cost.output.splitlines()[-1])
    return {"step": step} | {k: v for k, v in cost._asdict().items() if k != "output"} | figures


if __name__ == "__main__":
    main()
