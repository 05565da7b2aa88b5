"""Draw sketches on the device: strokes travel, pixels are made inside the compiled step.

Speed with XLA on two idle CPU cores with AVX2 (b = 64, t = 96, real drawings): 24,000 sketches/s
at 64 px and 2,250 at 224 px, and the same inside `lax.scan`. Alternatives that were measured:

  - A loop over segments that keeps the smallest squared distance (this file), taking 1, 4 or 8
    segments per turn, by `fori_loop` or `scan`: all within 10 % of each other. With eight, a GPU
    saves seven of eight reads and writes of the canvas.
  - One fused reduction over [b s s t]: 3 times slower at 64 px, 8 times at 224 px.
  - Stopping at the longest sketch of the batch: no gain. Of 64 sketches one nearly always has 96
    points, and a `while_loop` has no reverse-mode gradient.

The loop spends about 10 flops per pixel and segment, near the peak of the cores. Only skipping
segments that are far from a pixel could be faster.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from sketchjax.data.canvas import to_pixels
from sketchjax.data.inputs import Strokes

SEGMENTS_A_TURN = 8
_FAR = 1e4  # px: the distance to a segment that does not exist


class _Segments(NamedTuple):
    """Segments in pixels, each f[b t]: p lies at (x tx + y ty + along, y tx - x ty + across).

    The first coordinate runs along the unit tangent (tx, ty), measured from the segment's middle;
    the second runs across it. half is half the segment's length.
    """

    tx: Array
    ty: Array
    along: Array
    across: Array
    half: Array


def strokes_of(points: Array, length: Array) -> Strokes:
    """Strokes with their centre, computed on the device.

    points: f|u8[b t 3], columns x, y (drawing units, y downwards) and end of stroke.
    length: i32[b], points that are not padding.
    Raises ValueError when the shapes do not fit. `Strokes.of` does the same on the host.
    """
    return Strokes(points, length, bounding_center(points, length))


def rasterize(strokes: Strokes, *, size: int, stroke_width: float) -> Array:
    """Anti-aliased pictures f32[b s s 1]: ink coverage in [0, 1], 1 for ink.

    strokes: b drawings of t points. `strokes.center` goes to the middle of the picture.
    size: s, px.
    stroke_width: w, px.

    Coverage is clip(w / 2 + 0.5 - distance to the nearest segment, 0, 1), sampled at pixel centres,
    so coverage > 0.5 is the binary picture of `data.entropy`. Segments join consecutive points of
    a stroke; a stroke of one point is a dot; ink outside the picture is cut off. Units become
    pixels by `data.canvas.to_pixels`. An empty sketch is blank. Differentiable in the points.
    Raises ValueError when the shapes do not fit.
    """
    _check(strokes)
    points, length, center = strokes
    middle = center[:, None, :].astype(jnp.float32)
    places = to_pixels(points[..., :2].astype(jnp.float32), middle, middle, size, stroke_width)
    segments = _segments(places, _valid(points, length), points[..., 2] > 0)
    squared = _smallest_squared_distance(segments, size)
    # Never the root of 0, whose gradient is infinite.
    distance = jnp.sqrt(jnp.maximum(squared, 1e-12))
    return jnp.clip(stroke_width / 2 + 0.5 - distance, 0.0, 1.0)[..., None]


def bounding_center(points: Array, length: Array) -> Array:
    """Middle of each sketch's bounding box in drawing units, f32[b 2]; 0 for an empty sketch.

    points: f|u8[b t 3]; length: i32[b]. Raises ValueError when the shapes do not fit.
    """
    _check_points(points, length)
    valid = _valid(points, length)[..., None]
    places = points[..., :2].astype(jnp.float32)
    low = jnp.min(jnp.where(valid, places, 1e9), axis=1)
    high = jnp.max(jnp.where(valid, places, -1e9), axis=1)
    return (low + high) * 0.5


def sequence(strokes: Strokes, *, scale: float | Array) -> Array:
    """Stroke-4 steps f32[b t 4]: Δx / scale, Δy / scale, pen-down, pen-up.

    strokes: b drawings of t points; the centre is not used.
    scale: units, a number or f[]; the standard deviation of the training set's offsets.

    These are sketch-rnn's offsets without the end-of-sketch state. Step i moves from point i - 1 to
    point i. Pen-up is 1 where point i ends its stroke, so that the next step draws nothing;
    elsewhere pen-down is 1. The first step has Δ = 0: a drawing means the same wherever it lies.
    Padding is exactly zero. Raises ValueError when the shapes do not fit.
    """
    _check(strokes)
    points, length, _ = strokes
    valid = _valid(points, length)
    # Zeroed first, so that neither a NaN nor a gradient can leak out of the padding.
    places = jnp.where(valid[..., None], points[..., :2].astype(jnp.float32), 0.0)
    moves = jnp.diff(places, axis=1, prepend=places[:, :1]) / scale
    up = points[..., 2:] > 0
    steps = jnp.concatenate([moves, ~up, up], axis=-1, dtype=jnp.float32)
    return jnp.where(valid[..., None], steps, 0.0)


def _check(strokes: Strokes) -> None:
    points, length, center = strokes
    _check_points(points, length)
    if center.shape != (len(points), 2):
        raise ValueError(f"center must be [b 2], got {center.shape} for points {points.shape}")


def _check_points(points: Array, length: Array) -> None:
    if points.ndim != 3 or points.shape[-1] != 3 or length.shape != points.shape[:1]:
        raise ValueError(
            f"points must be [b t 3] and length [b], got {points.shape} and {length.shape}"
        )


def _valid(points: Array, length: Array) -> Array:
    """Which points are not padding, bool[b t]."""
    return jnp.arange(points.shape[1])[None, :] < length[:, None]


def _segments(places: Array, valid: Array, end: Array) -> _Segments:
    """One segment per point: to the next point of its stroke, or a dot at the stroke's end.

    places: f32[b t 2] in pixels.
    valid: bool[b t], points that are not padding.
    end: bool[b t], points that end a stroke.
    """
    joined = valid & ~end & jnp.pad(valid[:, 1:], ((0, 0), (0, 1)))
    following = jnp.concatenate([places[:, 1:], places[:, -1:]], axis=1)
    step = jnp.where(joined[..., None], following - places, 0.0)
    squared = jnp.sum(step * step, axis=-1)
    long = squared > 0
    length = jnp.sqrt(jnp.where(long, squared, 1.0))
    tx = jnp.where(long, step[..., 0] / length, 1.0)
    ty = jnp.where(long, step[..., 1] / length, 0.0)
    x, y = jnp.moveaxis(jnp.where(valid[..., None], places + step / 2, 0.0), -1, 0)
    return _Segments(
        tx=jnp.where(valid, tx, 0.0),
        ty=jnp.where(valid, ty, 0.0),
        along=-(x * tx + y * ty),
        across=jnp.where(valid, x * ty - y * tx, _FAR),
        half=jnp.where(long, length / 2, 0.0),
    )


def _smallest_squared_distance(segments: _Segments, size: int) -> Array:
    """Squared distance from each pixel's centre to its nearest segment, px², f32[b s s]."""
    batch, points = segments.half.shape
    padding = -points % SEGMENTS_A_TURN
    padded = _Segments(
        *(jnp.pad(part, ((0, 0), (0, padding))) for part in segments[:3]),
        across=jnp.pad(segments.across, ((0, 0), (0, padding)), constant_values=_FAR),
        half=jnp.pad(segments.half, ((0, 0), (0, padding))),
    )
    # [turns, SEGMENTS_A_TURN, b, 1, 1], so a turn reads one slice and no axis moves.
    turns = [part.T.reshape(-1, SEGMENTS_A_TURN, batch, 1, 1) for part in padded]
    middles = jnp.arange(size, dtype=jnp.float32) + 0.5
    x, y = middles[None, None, :], middles[None, :, None]

    def turn(index: int, nearest: Array) -> Array:
        now = _Segments(*(part[index] for part in turns))
        for k in range(SEGMENTS_A_TURN):
            tx, ty, along, across, half = (part[k] for part in now)
            beyond = jnp.maximum(jnp.abs(x * tx + (y * ty + along)) - half, 0.0)
            aside = y * tx - x * ty + across
            nearest = jnp.minimum(nearest, beyond * beyond + aside * aside)
        return nearest

    start = jnp.full((batch, size, size), _FAR * _FAR, jnp.float32)
    return jax.lax.fori_loop(0, turns[0].shape[0], turn, start)
