"""Seconds and memory of the shallow methods at the paper's scale.

    python -m benchmarks.shallow [--rows 3105000] [--width 256] [--classes 345] [--bits 64]
        [--methods lsh pca_itq ...] [--folder DIR] [--json FILE]

Random float32 features around class centres are written to a temporary file in DIR (3.2 GB at full
size, removed at the end). Each method then reads them block by block in a separate process. The
figures are `NAME_fit_seconds` and `NAME_encode_seconds` (for all rows), the same in `cpu_seconds`
summed over threads, which depend less on how busy the machine is, and `NAME_peak_bytes`, the peak
resident memory of the process, including Python and its libraries. The file is read rather than
mapped, so its pages in the system cache do not count. SketchMate (section 4.2) needed 100 to 200
GB.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.record import REPOSITORY, parser, peak_memory_bytes, report, write
from sketchjax.paper.shallow import HASHERS

BLOCK = 65_536  # rows written at a time


class RowFile:
    """Rows f32[n e] in a file of raw float32, read on demand.

    width: e.
    """

    def __init__(self, path: Path, width: int):
        self.path, self.width = path, width
        self.row_bytes = 4 * width

    def __len__(self) -> int:
        return self.path.stat().st_size // self.row_bytes

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(len(self))
        count, offset = max(0, stop - start) * self.width, start * self.row_bytes
        return np.fromfile(self.path, np.float32, count, offset=offset).reshape(-1, self.width)


def main(arguments: list[str] | None = None) -> None:
    flags = read_flags(arguments)
    if flags.process:
        figures = fit_and_encode(flags.process, flags.folder, flags.width, flags.bits)
        sys.stdout.write(orjson.dumps(figures).decode())
        return
    with tempfile.TemporaryDirectory(dir=flags.folder) as scratch:
        figures: dict[str, Any] = {
            name: getattr(flags, name) for name in ("rows", "width", "classes", "bits")
        }
        write_features(Path(scratch), flags.rows, flags.width, flags.classes)
        for name in flags.methods:
            found = in_own_process(name, Path(scratch), flags.width, flags.bits)
            figures |= {f"{name}_{figure}": value for figure, value in found.items()}
            write("shallow", figures, flags.json)
    peaks = [value for name, value in figures.items() if name.endswith("peak_bytes")]
    figures["greatest_peak_bytes"] = max(peaks)
    report("shallow", figures, flags.json)


def read_flags(arguments: list[str] | None) -> argparse.Namespace:
    flags = parser(__doc__)
    flags.add_argument("--rows", type=int, default=3_105_000)
    flags.add_argument("--width", type=int, default=256)
    flags.add_argument("--classes", type=int, default=345)
    flags.add_argument("--bits", type=int, default=64)
    flags.add_argument("--methods", nargs="+", default=list(HASHERS), choices=list(HASHERS))
    flags.add_argument("--folder", type=Path, help="where to put the temporary file")
    flags.add_argument("--process", choices=list(HASHERS), help=argparse.SUPPRESS)
    return flags.parse_args(arguments)


def write_features(folder: Path, rows: int, width: int, classes: int) -> None:
    """Write `features` and `labels.npy`: rows with noise N(0, I) around centres N(0, I).

    folder: where to write them.
    rows: n.
    width: e.
    classes: l, each with its centre.
    """
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((classes, width), np.float32)
    labels = rng.integers(0, classes, rows, np.int32)
    np.save(folder / "labels.npy", labels)
    with (folder / "features").open("wb") as file:
        for start in range(0, rows, BLOCK):
            own = centers[labels[start : start + BLOCK]]
            own += rng.standard_normal(own.shape, np.float32)
            own.tofile(file)


def in_own_process(name: str, folder: Path, width: int, bits: int) -> dict[str, float]:
    """Run `fit_and_encode` in a new process, whose peak memory is only its own."""
    words = f"--process {name} --folder {folder} --width {width} --bits {bits}"
    command = [sys.executable, "-m", "benchmarks.shallow", *words.split()]
    done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, check=True)
    return orjson.loads(done.stdout)


def fit_and_encode(name: str, folder: Path, width: int, bits: int) -> dict[str, float]:
    """Time fit and encode; return seconds, peak memory and the share of bits that are 1.

    name: a key of HASHERS.
    folder: what `write_features` wrote.
    width: e.
    bits: d.
    """
    features, labels = RowFile(folder / "features", width), np.load(folder / "labels.npy")
    clocks = time.perf_counter, time.process_time
    begun = [clock() for clock in clocks]
    hasher = HASHERS[name](bits, seed=0).fit(features, labels)
    fitted = [clock() for clock in clocks]
    codes = hasher.encode(features)
    encoded = [clock() for clock in clocks]
    return {
        "fit_seconds": fitted[0] - begun[0],
        "fit_cpu_seconds": fitted[1] - begun[1],
        "encode_seconds": encoded[0] - fitted[0],
        "encode_cpu_seconds": encoded[1] - fitted[1],
        "peak_bytes": peak_memory_bytes(),
        "bits_set": float(np.mean(codes[:BLOCK])),
    }


if __name__ == "__main__":
    main()
