"""Sketches per second of `sketchjax convert`, from plain simplified ndjson files.

python -m benchmarks.convert [--sketches 200000] [--workers N] [--json FILE]

The drawings are those of SKETCHJAX_DATA, or synthetic doodles, repeated under new key_ids until
there are enough. The peer is what a user would write instead: one loop with json, numpy and a
Pillow drawing for the image entropy, writing the same ArrayRecord files.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import re
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image, ImageDraw

from benchmarks.record import parser, peak_memory_bytes, report
from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.sources import doodles as synthetic

_KEY_ID = re.compile(rb'("key_id": ?")(\d+)(")')


def drawings(scratch: Path) -> list[Path]:
    """The files to repeat: real ones if available, otherwise a few synthetic doodles."""
    home = os.environ.get("SKETCHJAX_DATA")
    if home:
        return sorted((Path(home) / "quickdraw").glob("*.ndjson.gz"))
    return synthetic.write(scratch / "doodles", per_category=100, seed=0)


def repeat(paths: list[Path], folder: Path, sketches: int) -> int:
    """Write about `sketches` lines, uncompressed, one file per category; returns how many."""
    folder.mkdir()
    contents = [(gzip.open if path.suffix == ".gz" else open)(path, "rb").read() for path in paths]
    total = sum(content.count(b"\n") for content in contents)
    copies = max(1, round(sketches / total))
    for path, content in zip(paths, contents, strict=True):
        with (folder / path.name.removesuffix(".gz")).open("wb") as file:
            for copy in range(copies):
                file.write(_KEY_ID.sub(rb"\g<1>%d\g<2>\g<3>" % (copy + 1), content))
    return copies * total


def peer(paths: list[Path], out: Path, sketches: int) -> float:
    """Sketches per second of the plain loop, over the first `sketches`."""
    start = time.perf_counter()
    writer = ArrayRecordWriter(str(out), "group_size:1")
    for record in itertools.islice(_records(paths), sketches):
        points = []
        image = Image.new("1", (224, 224))
        draw = ImageDraw.Draw(image)
        for xs, ys in record["drawing"]:
            points += [(x, y, 0) for x, y in zip(xs, ys, strict=True)]
            points[-1] = (*points[-1][:2], 1)
            draw.line([(x * 0.87, y * 0.87) for x, y in zip(xs, ys, strict=True)], 1, 2)
        ink = np.asarray(image).mean()
        entropy = -sum(p * np.log2(p) for p in (ink, 1 - ink) if p > 0)
        header = struct.pack("<QHHf", int(record["key_id"]), 0, len(points), entropy)
        writer.write(header + np.array(points, np.uint8).tobytes())
    writer.close()
    return sketches / (time.perf_counter() - start)


def _records(paths: list[Path]) -> Iterator[dict]:
    for path in paths:
        with path.open() as file:
            yield from map(json.loads, file)


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("--sketches", type=int, default=200_000)
    flags.add_argument("--workers", type=int, default=None)
    arguments = flags.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        sketches = repeat(drawings(scratch), scratch / "in", arguments.sketches)
        paths = sorted((scratch / "in").iterdir())
        # numba compiles once per machine and keeps the result: that is not part of the speed.
        convert(paths[:1], scratch / "warm", splits={"train": 1.0}, workers=1, progress=False)
        start, cpu = time.perf_counter(), _cpu_seconds()
        manifest = convert([scratch / "in"], scratch / "out", workers=arguments.workers)
        seconds, cpu = time.perf_counter() - start, _cpu_seconds() - cpu
        assert sum(manifest.counts.values()) == sketches
        plain = peer(paths, scratch / "peer.arrayrecord", min(10_000, sketches))
        figures = {
            "sketches_per_second": sketches / seconds,
            "peer_sketches_per_second": plain,
            "ratio": sketches / seconds / plain,
            "sketches": sketches,
            "files": len(paths),
            "bytes_in": sum(path.stat().st_size for path in paths),
            "seconds": seconds,
            "cpu_microseconds_per_sketch": 1e6 * cpu / sketches,
            "peak_memory_bytes": peak_memory_bytes(),
            "peak_memory_bytes_of_a_worker": peak_memory_bytes(children=True),
            "drawings": "real" if os.environ.get("SKETCHJAX_DATA") else "synthetic",
        }
    report("convert", figures, arguments.json)


def _cpu_seconds() -> float:
    """Processor time of this process and of its finished children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    main()
