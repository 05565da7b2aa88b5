"""Sketches per second of encoding a gallery, against the bare forward pass.

    python -m benchmarks.encode [--sizes sample|paper] [--dtype float32|bfloat16] [--batch 512]
        [--sketches 8192] [--rounds 3] [--json FILE]

`retrieval.encode` reads the shards of the gallery, pads, sends, draws, runs the network on all
devices and gathers the features. `ratio` is its speed over that of the same compiled forward pass
repeated on one batch that is on the devices: 1 means that the devices wait for nothing. Where
PyTorch is installed its eager forward pass on finished pictures is timed as well; `peer_ratio` is
the speed of `retrieval.encode` over it. On a CPU `sketchjax encode` and `index` run a model by
onnxruntime where it is installed: `onnx_sketches_per_second`, from the shards to codes, and
`onnx_peer_ratio`.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np

from benchmarks import workload
from benchmarks.feed import data_folder
from benchmarks.record import peak_memory_bytes, report
from benchmarks.timing import in_turn, median_seconds
from sketchjax import parallel
from sketchjax.data.feed.scan import scan_feed
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.shards import Shards
from sketchjax.data.workers import cores
from sketchjax.index.sources import PART
from sketchjax.models.card import Card
from sketchjax.models.table import HEAD
from sketchjax.models.weights import save_weights
from sketchjax.retrieval.encode import Encoder

ONNX = ("onnx", "onnxruntime")


def main(arguments: list[str] | None = None) -> None:
    flags = read_flags(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = flags.folder or data_folder(Path(scratch))
        work = workload.make_workload(flags.sizes, flags.dtype, flags.batch, folder, steps=1)
        batch = work.config.train.batch_size
        most = min(flags.sketches, Manifest.load(folder).counts["gallery"])
        steps = -(-most // batch)
        encode, sketches = gallery_pass(work, folder, batch, steps)
        times = in_turn(encode, bare_pass(work, steps), flags.rounds)
        figures: dict[str, Any] = {
            "sizes": flags.sizes,
            "dtype": flags.dtype,
            "batch": batch,
            "sketches": sketches,
            "sketches_per_second": sketches / times.seconds,
            "forward_sketches_per_second": steps * batch / times.peer_seconds,
            # Its batches are full, the gallery's last may not be.
            "ratio": times.ratio * sketches / (steps * batch),
            "peak_memory_bytes": peak_memory_bytes(),
        }
        memory = jax.devices()[0].memory_stats() or {}
        figures["device_peak_bytes"] = memory.get("peak_bytes_in_use", "not known on a CPU")
        passes = {"": encode}
        if jax.default_backend() == "cpu" and all(map(importlib.util.find_spec, ONNX)):
            passes["onnx_"] = onnx_pass(work, folder, sketches)
            seconds = median_seconds(passes["onnx_"], flags.rounds)
            figures["onnx_sketches_per_second"] = sketches / seconds
        if importlib.util.find_spec("torch") is None:
            figures["peer"] = "PyTorch is not installed (pip install 'sketchjax[bench]')"
        else:
            for name, own in passes.items():
                found = against_torch(work, own, sketches, flags.rounds)
                figures |= {name + key: value for key, value in found.items()}
    report("encode", figures, flags.json)


def read_flags(arguments: list[str] | None) -> argparse.Namespace:
    flags = workload.step_parser(__doc__, rounds=3)
    flags.add_argument("--batch", type=int, default=8 if workload.is_tiny() else 512)
    flags.add_argument("--sketches", type=int, default=32 if workload.is_tiny() else 8192)
    return flags.parse_args(arguments)


def gallery_pass(
    work: workload.Workload, folder: Path, batch: int, steps: int
) -> tuple[Callable[[], None], int]:
    """Encoding of the gallery's first `steps` batches, and how many sketches they hold."""
    encoder = Encoder(work.network)
    points = work.config.data.points

    def scans():
        return islice(scan_feed(folder, "gallery", batch=batch, points=points), steps)

    def encode() -> None:
        for _ in encoder.stream(work.variables, scans()):
            pass

    return encode, sum(int(scan.mask.sum()) for scan in scans())


def onnx_pass(work: workload.Workload, folder: Path, sketches: int) -> Callable[[], None]:
    """Encoding of the gallery's first sketches by onnxruntime, as `sketchjax encode` does it."""
    from sketchjax.export.onnx_encoder import OnnxEncoder

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.safetensors"
        save_weights(path, work.variables, Card(work.network.architecture, "joint", HEAD))
        encoder = OnnxEncoder.load(path, threads=cores())

    def encode() -> None:
        with Shards(folder, "gallery") as shards:
            for first in range(0, sketches, PART):
                records = shards.read(np.arange(first, min(first + PART, sketches)))
                encoder.outputs(np.split(records.points, records.offsets[1:-1]))

    return encode


def bare_pass(work: workload.Workload, steps: int) -> Callable[[], None]:
    """Only the forward pass, as often, on one batch that is on the devices."""

    def forward(variables, inputs):
        output = work.network.apply(variables, inputs)
        return output.features, output.logits.argmax(-1)

    devices = jax.local_device_count()
    run = parallel.over_devices(
        forward, inputs=(parallel.WHOLE, parallel.SPLIT), outputs=parallel.SPLIT
    )
    first = jax.tree.map(lambda array: array[0], work.batch.inputs)
    parts = parallel.split(first, devices)
    compiled = cast(Any, run).lower(work.variables, parts).compile()
    placed = jax.device_put((work.variables, parts), tuple(compiled.input_shardings[0]))

    def passes() -> None:
        for _ in range(steps):
            jax.block_until_ready(compiled(*placed))

    return passes


def against_torch(
    work: workload.Workload, encode: Callable[[], None], sketches: int, rounds: int
) -> dict[str, Any]:
    """PyTorch's forward pass of one batch, taking turns with our encoding."""
    import torch  # pyright: ignore[reportMissingImports]

    from benchmarks import torch_step
    from benchmarks.torch_peer import make_model, precision

    batch = torch_step.on_device(torch_step.prepared(work)[0])
    model = make_model(work.config, work.classes, work.variables).eval()
    repeats = max(1, sketches // len(batch["label"]))

    @torch.inference_mode()
    def forward() -> None:
        for _ in range(repeats):
            with precision(work.config.model.dtype):
                torch_step.run_model(model, batch, HEAD)[1].argmax(-1).cpu()

    times = in_turn(encode, forward, rounds)
    seen = repeats * len(batch["label"])
    return {
        "peer": f"torch {torch.__version__}, eager, finished pictures",
        "peer_sketches_per_second": seen / times.peer_seconds,
        "peer_ratio": times.ratio * sketches / seen,
    }


if __name__ == "__main__":
    main()
