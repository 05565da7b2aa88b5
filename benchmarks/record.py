"""What every benchmark does with its figures: print them as a table, write them whole as JSON.

arguments = parser(__doc__).parse_args()
report("feed", {"sketches_per_second": 61_000.0, "peer_sketches_per_second": 20_000.0},
       arguments.json)
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from sketchjax.files import write_whole

PACKAGES = ("sketchjax", "jax", "jaxlib", "flax", "numpy", "numba", "grain", "array-record")
REPOSITORY = Path(__file__).resolve().parent.parent


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser that knows `--json FILE`, to which a benchmark adds its own flags."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--json", type=Path, metavar="FILE", help="write the figures to FILE, whole or not at all"
    )
    return made


def report(name: str, figures: dict[str, Any], json_path: Path | None = None) -> dict[str, Any]:
    """Print the figures of the benchmark `name`, and write them with their setting as JSON.

    figures: a flat object of numbers and strings (nested objects are written and not printed).
    Returns what was written: the figures plus `benchmark`, `device`, `cores`, `load`, `versions`,
    `commit`, `time`. A figure of the same name as one of these wins.
    """
    whole = write(name, figures, json_path)
    table = Table("figure", "value", title=f"benchmark {name} on {whole['device']}")
    for key, value in figures.items():
        if not isinstance(value, dict | list):
            table.add_row(key, format_figure(value))
    Console().print(table)
    return whole


def write(name: str, figures: dict[str, Any], json_path: Path | None) -> dict[str, Any]:
    """`report` without the table: what a long benchmark has so far, should its time run out."""
    whole = {"benchmark": name, **setting(), **figures}
    if json_path is not None:
        options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
        write_whole(json_path, orjson.dumps(whole, option=options) + b"\n")
    return whole


def setting() -> dict[str, Any]:
    """Where and with what a benchmark runs: device, cores, load, versions, commit, time."""
    return {
        "device": device(),
        "cores": len(os.sched_getaffinity(0)),
        # A busy neighbour explains a slow run: the load average of the last minute.
        "load": round(os.getloadavg()[0], 2),
        "versions": versions(),
        "commit": commit(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def device() -> str:
    """The processor's name, and jax's devices where the benchmark has imported jax."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    if "jax" in sys.modules:
        import jax

        accelerators = [d for d in jax.devices() if d.platform != "cpu"]
        if accelerators:
            name += f" + {len(accelerators)} x {accelerators[0].device_kind}"
    return name


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a speed, as far as installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit of this checkout, with `+changes` when files differ from it; or `unknown`."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "--no-optional-locks", *words],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def peak_memory_bytes(children: bool = False) -> int:
    """Largest resident memory so far, of this process or of its largest ended child, in bytes.

    On Linux, a new process inherits the peak of the one that started it in `getrusage`, but not in
    its own status. So the figure of a child includes what its parent held when it was started.
    """
    status = Path("/proc/self/status")
    if not children and status.exists():
        (line,) = (row for row in status.read_text().splitlines() if row.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    who = resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF
    # Linux counts in KiB, macOS in bytes.
    return resource.getrusage(who).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def format_figure(value: Any) -> str:
    """A number as a person reads it: 1,234,567 or 12.35 or 0.00123."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"
