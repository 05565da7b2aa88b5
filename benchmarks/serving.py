"""Requests a second of a server, and how long clients wait: `sketchjax serve` over HTTP.

    python -m benchmarks.serving runs/quickdraw55 --drawings 345000 --clients 8 --json serving.json

Makes an index of synthetic drawings with the model's width: codes clustered as trained ones are,
features at random, points of doodles. Starts `sketchjax serve` on it, then one client, then several
clients at once search by doodles, each as soon as it has its answer. The clients are a process of
their own that shares the machine's cores with the server; what they compute counts against it.
Figures: requests a second, and the median and the 99th percentile of a request in milliseconds;
seconds until the server was ready, and its memory; and the milliseconds in which onnxruntime runs
the model for one drawing on one thread, the part of a request that depends on the model.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pool import clustered
from benchmarks.record import parser, report
from benchmarks.timing import median_seconds
from sketchjax.data.sketch import drawing_of
from sketchjax.data.sources.doodles import sketches
from sketchjax.export.onnx_encoder import OnnxEncoder
from sketchjax.index.engine import Items, Scale
from sketchjax.index.records import FORMAT, Meta
from sketchjax.index.store import MODEL, Store
from sketchjax.retrieval.model import Model, load

CATEGORIES, PER_CATEGORY, PART = ("cat", "fish", "house", "sun"), 50, 1 << 16


def main(words: Sequence[str] | None = None) -> None:
    """Measure one client and several, and print the figures."""
    arguments = _flags().parse_args(words)
    model = load(arguments.model)
    bodies = [json.dumps({"drawing": each}).encode() for each in _doodles()]
    figures: dict[str, Any] = {"drawings": arguments.drawings, "clients": arguments.clients}
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index"
        make_index(index, model, arguments.drawings, arguments.seed)
        with served(index) as (port, seconds, process):
            figures["seconds_until_ready"] = seconds
            for name, clients in (("one_client", 1), ("clients", arguments.clients)):
                measured = load_of(port, bodies, clients, arguments.seconds)
                figures |= {f"{name}_{key}": value for key, value in measured.items()}
            figures["memory_mb"] = _memory_mb(process)
        figures["encoder_ms"] = encoder_ms(index)
    report("serving", figures, arguments.json)


def _flags() -> argparse.ArgumentParser:
    flags = parser(__doc__)
    flags.add_argument("model", type=Path, help="a model file, or the workdir of a run")
    flags.add_argument("--drawings", type=int, default=345_000)
    flags.add_argument("--clients", type=int, default=8)
    flags.add_argument("--seconds", type=float, default=15.0, help="of each measurement")
    flags.add_argument("--seed", type=int, default=0)
    return flags


def _doodles() -> list[list[list[list[int]]]]:
    return [
        drawing_of(drawn.points_of(i))
        for name in CATEGORIES
        for drawn in [sketches(name, PER_CATEGORY, seed=1)]
        for i in range(PER_CATEGORY)
    ]


def make_index(folder: Path, model: Model, count: int, seed: int) -> None:
    """Write an index of this many synthetic drawings for a model."""
    random = np.random.default_rng(seed)
    bits = model.bits or 0
    drawn = sketches(CATEGORIES[0], PER_CATEGORY, seed=0)
    outputs = model.outputs(drawn)
    scale = Scale.of(outputs.features)
    width = outputs.features.shape[1]
    whole = np.tile(clustered(count, random), (1, -(-bits // 64)))[:, : bits // 8]
    meta = Meta(FORMAT, model.fingerprint, bits, width, scale)
    folder.mkdir()
    store = Store(folder, read_only=False, meta=meta)
    for first in range(0, count, PART):
        codes = whole[first : first + PART]
        rows = np.arange(len(codes)) % len(drawn)
        some = Items.of(drawn, outputs, scale, "synthetic")[rows]
        names = [CATEGORIES[i] for i in random.integers(0, len(CATEGORIES), len(codes))]
        items = Items(
            codes=codes,
            features=random.integers(0, 256, (len(codes), width), np.uint8),
            categories=names,
            key_ids=some.key_ids,
            sources=some.sources,
            places=some.places,
            points=some.points,
            offsets=some.offsets,
            ids=np.arange(first, first + len(codes)),
        )
        store.add(items)
    store.finish()
    store.close()
    (folder / MODEL).mkdir()
    model.save(folder / MODEL / "model.safetensors")


@contextmanager
def served(index: Path) -> Iterator[tuple[int, float, int]]:
    """A server of an index: its port, the seconds until it was ready, and its process id."""
    command = [sys.executable, "-u", "-m", "sketchjax.cli", "serve", str(index), "--port", "0"]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        found = next(filter(None, (re.search(r"Draw at .*:(\d+)/", own) for own in process.stdout)))
        yield int(found[1]), time.perf_counter() - start, process.pid
    finally:
        process.terminate()
        process.wait()


def load_of(port: int, bodies: list[bytes], clients: int, seconds: float) -> dict[str, float]:
    """Requests a second, and milliseconds of a request, of clients in a process of their own."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_clients, args=(port, bodies, clients, seconds, sending))
    process.start()
    times = receiving.recv()
    process.join()
    return {
        "per_second": len(times) / seconds,
        "ms_p50": float(np.percentile(times, 50)) * 1e3,
        "ms_p99": float(np.percentile(times, 99)) * 1e3,
    }


def _clients(port: int, bodies: list[bytes], clients: int, seconds: float, sending: Any) -> None:
    times: list[float] = []
    end = time.perf_counter() + seconds + 1
    measured_from = end - seconds  # the first second warms connections and caches
    requests = [_request(port, body) for body in bodies]

    def ask(number: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (start := time.perf_counter()) < end:
                connection.sendall(requests[number % len(requests)])
                _read_answer(connection)
                number += clients
                if start >= measured_from:
                    times.append(time.perf_counter() - start)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sending.send(times)


def _request(port: int, body: bytes) -> bytes:
    lines = (
        "POST /v1/search HTTP/1.1",
        f"host: 127.0.0.1:{port}",
        "content-type: application/json",
        f"content-length: {len(body)}",
    )
    return "\r\n".join([*lines, "", ""]).encode() + body


def _read_answer(connection: socket.socket) -> None:
    """Read one answer to its end. `http.client` takes a tenth of what the server takes for it."""
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0:
        received += _some(connection)
    head = received[:end]
    assert head.startswith(b"HTTP/1.1 200 "), received
    length = re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
    assert length is not None, received
    missing = int(length[1]) - (len(received) - end - 4)
    while missing > 0:
        missing -= len(_some(connection))
    assert missing == 0


def _some(connection: socket.socket) -> bytes:
    received = connection.recv(1 << 16)
    assert received, "the server closed the connection"
    return received


def encoder_ms(index: Path, rounds: int = 200) -> float:
    """Milliseconds of the model of an index for one drawing, without a server; the median."""
    encoder = OnnxEncoder.load(index / MODEL)
    drawn = sketches(CATEGORIES[0], PER_CATEGORY, seed=1)
    following = itertools.cycle(drawn.points_of(i) for i in range(len(drawn)))
    return 1e3 * median_seconds(lambda: encoder.outputs(next(following)), rounds)


def _memory_mb(process: int) -> float:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return float("nan")


if __name__ == "__main__":
    main()
