"""What runs the model in a server: onnxruntime against jax, in time, memory and start.

    python -m benchmarks.encoder runs/quickstart --json encoder.json

Each runs in a process of its own, as `sketchjax serve WORKDIR` does: it loads the model, encodes
the gallery, and answers requests one after another, from strokes to JSON. The figures are
milliseconds of a request (median, 99th percentile, and of the processor), seconds until the first
answer, and MiB of resident memory at the end. Both must give the same codes.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.record import parser, report

RUNTIMES = ("onnx", "jax")


def main(words: Sequence[str] | None = None) -> None:
    """Measure both, or with --only one of them, in this process."""
    flags = parser(__doc__)
    flags.add_argument("workdir", type=Path, help="of a finished run")
    flags.add_argument("--requests", type=int, default=500)
    flags.add_argument("--only", choices=RUNTIMES, help="print the figures of one as JSON")
    arguments = flags.parse_args(words)
    if arguments.only:
        found = measure(arguments.workdir, arguments.only, arguments.requests)
        print(msgspec.json.encode(found).decode())
        return
    figures: dict[str, Any] = {"requests": arguments.requests}
    codes = []
    for runtime in RUNTIMES:
        command = [sys.executable, "-m", "benchmarks.encoder", str(arguments.workdir)]
        command += ["--requests", str(arguments.requests), "--only", runtime]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = msgspec.json.decode(printed)
        codes.append(found.pop("codes"))
        figures |= {f"{runtime}_{name}": value for name, value in found.items()}
    figures["same_codes"] = codes[0] == codes[1]
    report("encoder", figures, arguments.json)


def measure(workdir: Path, runtime: str, requests: int) -> dict[str, Any]:
    """The figures of one runtime, and the codes of its requests."""
    begin = time.perf_counter()
    from sketchjax.data.sketch import drawing_of
    from sketchjax.index.sources import find_sources
    from sketchjax.serving.gallery import index_in_memory
    from sketchjax.serving.schema import SearchRequest
    from sketchjax.serving.service import Service

    encoder = _encoder(workdir, runtime)
    (gallery,) = find_sources(
        [workdir], encoder, split="gallery", skip_bad=False, note=lambda text: None
    )
    service = Service(index_in_memory("gallery", gallery, encoder, _unwatched), encoder)
    service.warm()
    ready = time.perf_counter() - begin
    items = service.engine.snapshot().get(range(min(requests, service.describe().count)))
    drawings = [drawing_of(items.points_of(row)) for row in range(len(items.codes))]
    busy, seconds, codes = time.process_time(), [], []
    for number in range(requests):
        body = {"drawing": drawings[number % len(drawings)], "k": 36}
        start = time.perf_counter()
        answer = service.search(SearchRequest.model_validate(body))
        msgspec.json.encode(answer)
        seconds.append(time.perf_counter() - start)
        codes.append(answer.code)
    busy = time.process_time() - busy
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "milliseconds": 1e3 * float(np.median(seconds)),
        "p99_milliseconds": 1e3 * float(np.quantile(seconds, 0.99)),
        "cpu_milliseconds": 1e3 * busy / requests,
        "ready_seconds": ready,
        "mebibytes": pages * 4096 / 2**20,
        "codes": codes,
    }


def _encoder(workdir: Path, runtime: str) -> Any:
    if runtime == "onnx":
        from sketchjax.export.onnx_encoder import OnnxEncoder

        return OnnxEncoder.load(workdir)
    from sketchjax.retrieval.model import load

    return load(workdir)


@contextmanager
def _unwatched(name: str, total: int):
    """A task that nobody watches."""
    del name, total
    yield lambda done: None


if __name__ == "__main__":
    main()
