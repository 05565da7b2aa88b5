"""Sketches per second that the input pipeline gives one process, without drawing.

python -m benchmarks.feed [--folder DATA_FOLDER] [--block 1024] [--points 128] [--json FILE]

Without a data folder, the drawings of SKETCHJAX_DATA (or synthetic doodles) are converted to one.
The peers are what a user would take instead: grain's own transforms, which handle one record at a
time, over the same files; with grain's default of 16 threads, and without threads.
"""

from __future__ import annotations

import functools
import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grain
import numpy as np

from benchmarks.record import parser, peak_memory_bytes, report
from sketchjax.data.feed.order import Order
from sketchjax.data.feed.scan import scan_feed
from sketchjax.data.feed.streaming import train_feed
from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.record import HEADER
from sketchjax.data.sources import doodles as synthetic


def decode(element: bytes, points: int) -> dict[str, np.ndarray]:
    """One record to padded arrays, as a transform for grain."""
    header = np.frombuffer(element, HEADER, 1)
    own = np.frombuffer(element, np.uint8, offset=HEADER.itemsize).reshape(-1, 3)[:points]
    padded = np.zeros((points, 3), np.uint8)
    padded[: len(own)] = own
    padded[len(own) - 1, 2] = 1
    return {
        "points": padded,
        "length": np.array(len(own), np.int32),
        "label": header["label"][0],
        "entropy": header["entropy"][0],
    }


def peer(folder: Path, block: int, points: int, threads: int) -> Iterator[dict]:
    """grain over single records: shuffle, repeat, decode, batch."""
    paths = [str(folder / shard.name) for shard in Manifest.load(folder).shards["train"]]
    source: Any = grain.sources.ArrayRecordDataSource(paths)
    dataset = grain.MapDataset.source(source).seed(0).shuffle().repeat()
    dataset = dataset.map(functools.partial(decode, points=points))
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=500 if threads else 0)
    return iter(dataset.to_iter_dataset(options).batch(block))


def speed(batches: Iterator, sketches: int, block: int) -> float:
    """Sketches per second over some blocks, without the first one, which opens the files."""
    next(batches)
    blocks = max(1, sketches // block)
    start = time.perf_counter()
    for _ in itertools.islice(batches, blocks):
        pass
    return blocks * block / (time.perf_counter() - start)


def scan_speed(folder: Path, batch: int, points: int) -> float:
    """Sketches per second of one pass over the training split in order."""
    start = time.perf_counter()
    total = sum(
        int(step.mask.sum()) for step in scan_feed(folder, "train", batch=batch, points=points)
    )
    return total / (time.perf_counter() - start)


def data_folder(scratch: Path) -> Path:
    """Convert the drawings of SKETCHJAX_DATA, or synthetic doodles."""
    home = os.environ.get("SKETCHJAX_DATA")
    if home:
        source = Path(home) / "quickdraw"
    else:
        source = scratch / "doodles"
        synthetic.write(source, per_category=300, seed=0)
    convert([source], scratch / "data", splits={"train": 0.9, "gallery": 0.09, "query": 0.01})
    return scratch / "data"


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("--folder", type=Path)
    flags.add_argument("--block", type=int, default=1024)
    flags.add_argument("--points", type=int, default=128)
    flags.add_argument("--sketches", type=int, default=200_000)
    arguments = flags.parse_args()
    block, points = arguments.block, arguments.points
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.folder or data_folder(Path(name))
        order = Order(Manifest.load(folder).counts["train"], block, 1, (0,))
        feed = train_feed(folder, order, points=points)
        figures = {
            "sketches_per_second": speed(feed, arguments.sketches, block),
            "scan_sketches_per_second": scan_speed(folder, block, points),
        }
        # The peers are slower: a tenth of the sketches is enough to measure them.
        for threads in (16, 0):
            figures[f"peer_{threads}_threads_sketches_per_second"] = speed(
                peer(folder, block, points, threads), arguments.sketches // 10, block
            )
        best = max(value for key, value in figures.items() if key.startswith("peer"))
        figures["peer_sketches_per_second"] = best
        figures["ratio"] = figures["sketches_per_second"] / best
        figures |= {"block": block, "points": points, "peak_memory_bytes": peak_memory_bytes()}
    report("feed", figures, arguments.json)


if __name__ == "__main__":
    main()
