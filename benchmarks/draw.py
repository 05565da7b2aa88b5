"""Drawing on the device: sketches per second compared with Pillow, and its share of the step.

    python -m benchmarks.draw [--sizes sample|paper] [--batch 64] [--rounds 5] [--json FILE]

Ours is `ops.draw.rasterize` under jit at 64 px and 224 px, with the points on the device. The peers
draw the same points on one core, as a worker of a data loader would: Pillow at twice the size and
scaled down, and Pillow without anti-aliasing. `share_of_joint_step` is the time to draw a batch
divided by the time of the joint step on it, at the sizes of the config and measured in turn. The
target is at most 0.05.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image, ImageDraw

from benchmarks import workload
from benchmarks.feed import data_folder
from benchmarks.record import report
from benchmarks.timing import in_turn
from sketchjax.data.canvas import to_pixels
from sketchjax.data.inputs import Strokes
from sketchjax.data.sketch import strokes
from sketchjax.ops.draw import rasterize
from sketchjax.train.step import Minibatch

SIDES = (64, 224)  # px


def main(arguments: list[str] | None = None) -> None:
    flags = read_flags(arguments)
    sides = (32, 48) if workload.is_tiny() else SIDES
    with tempfile.TemporaryDirectory() as scratch:
        folder = flags.folder or data_folder(Path(scratch))
        work = workload.make_workload(flags.sizes, flags.dtype, flags.batch, folder, steps=1)
    width = work.config.drawing.stroke_width
    figures: dict[str, Any] = {"sizes": flags.sizes, "batch": work.config.train.batch_size}
    for side in sides:
        figures |= against_pillow(work.batch, side, width, flags.rounds)
    figures["share_of_joint_step"] = share_of_joint_step(work, flags.rounds)
    report("draw", figures, flags.json)


def read_flags(arguments: list[str] | None) -> argparse.Namespace:
    flags = workload.step_parser(__doc__)
    flags.add_argument("--batch", type=int, default=0, help="sketches; 0: the config's")
    return flags.parse_args(arguments)


def drawing(batch: Minibatch, side: int, width: float):
    """A function that draws the block's first batch and waits for the pictures."""
    draw = jax.jit(partial(rasterize, size=side, stroke_width=width))
    strokes = jax.device_put(first_batch(batch))
    return lambda: draw(strokes).block_until_ready()


def first_batch(batch: Minibatch) -> Strokes:
    """The first of the k batches of a block [k b ...]."""
    return jax.tree.map(lambda part: part[0], batch.inputs)


def against_pillow(batch: Minibatch, side: int, width: float, rounds: int) -> dict[str, float]:
    """Speeds at one size, and their ratios to both ways of drawing with Pillow.

    batch: a block of k batches, of which the first is drawn.
    side: of the picture, px.
    width: of the strokes, px.
    rounds: measurements of each side.
    """
    ours = drawing(batch, side, width)
    points, length, _ = first_batch(batch)
    sketches = [np.asarray(own[:count]) for own, count in zip(points, length, strict=True)]
    found: dict[str, float] = {}
    for name, scale in (("pillow_2x", 2), ("pillow_plain", 1)):

        def peer(scale: int = scale) -> None:
            for own in sketches:
                pillow(own, side, width, scale)

        times = in_turn(ours, peer, rounds)
        found[f"{side}px_sketches_per_second"] = len(sketches) / times.seconds
        found[f"{side}px_{name}_sketches_per_second"] = len(sketches) / times.peer_seconds
        found[f"{side}px_ratio_to_{name}"] = times.ratio
    return found


def pillow(points: np.ndarray, side: int, width: float, scale: int) -> np.ndarray:
    """One picture u8[s s] as Pillow draws it, 255 for ink.

    points: u8[t 3], without padding.
    side: s, px.
    width: of the strokes, px.
    scale: how many times larger it is drawn before it is scaled down.
    """
    canvas = Image.new("L", (side * scale, side * scale))
    pen = ImageDraw.Draw(canvas)
    places = points[:, :2].astype(np.float32)
    middle = (places.min(0) + places.max(0)) / 2
    placed = np.concatenate(
        [to_pixels(places, middle, middle, side, width) * scale, points[:, 2:]], axis=1
    )
    for stroke in strokes(placed):
        pen.line(stroke.ravel().tolist(), fill=255, width=round(width * scale))
    if scale > 1:
        canvas = canvas.resize((side, side), Image.Resampling.BOX)
    return np.asarray(canvas)


def share_of_joint_step(work: workload.Workload, rounds: int) -> float:
    """Seconds to draw one batch, divided by the seconds of one joint step on it."""
    step = workload.compile_stage(work, "joint")
    draw = drawing(work.batch, work.config.drawing.size, work.config.drawing.stroke_width)
    return in_turn(step, draw, rounds).ratio


if __name__ == "__main__":
    main()
