"""Augment sketches on their points, on the device: other drawings of the same thing.

Each change is a small pure function of one sketch, `change(key, points, valid, amount)`, and does
nothing unless asked for. The order of the strokes, which the sequence branch reads, always stays.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array

from sketchjax.data.canvas import BOX
from sketchjax.ops.draw import bounding_center

# Each change draws from a stream of its own, numbered by its place here: switching one on leaves
# the others as they were. New names go to the end.
_STREAMS = (
    "rotation",
    "scale",
    "shift",
    "shear",
    "drop_stroke",
    "anisotropy",
    "flip",
    "deform",
    "stroke_shift",
    "jitter",
)
_WAVES = 3  # sinusoids that make a deformation; with 3 no two look alike and none looks wavy


def augment(
    keys: Array,
    points: Array,
    length: Array,
    *,
    rotation: float = 0.0,
    scale: float = 0.0,
    shift: float = 0.0,
    shear: float = 0.0,
    drop_stroke: float = 0.0,
    anisotropy: float = 0.0,
    flip: float = 0.0,
    deform: float = 0.0,
    stroke_shift: float = 0.0,
    jitter: float = 0.0,
) -> tuple[Array, Array]:
    """Changed points f32[b t 3] and length i32[b] of each sketch.

    keys: [b] typed PRNG keys, one a sketch, so that a sketch's change depends neither on the rest
    of the batch nor on its padding nor on the devices. points: u8|f[b t 3]; length: i32[b].
    The amounts are Python numbers (static under jit), all 0 by default; each draws uniformly:
      drop_stroke  probability that a stroke is left out, never the last one that remains
      jitter       each point moves by up to this, in units
      stroke_shift each stroke moves by up to this fraction of BOX, on x and on y
      deform       the plane is bent by slow waves of up to this fraction of BOX
      flip         probability of a mirror image, left to right
      scale        the size changes by a factor from 1 / (1 + scale) to 1 + scale
      anisotropy   the width against the height, likewise
      shear        x changes by up to this fraction of y
      rotation     turned by up to so many degrees
      shift        the whole moves by up to this fraction of BOX, on x and on y
    They apply in this order; flip to rotation leave the middle of the given bounding box in place.
    `rasterize` centres what it is given: pass it `center=bounding_center(points, length)` of the
    points before augmentation, or the shift is not seen. With all at 0 this is the identity.
    Padding comes back zero. Raises ValueError for an amount out of range or shapes that do not fit.
    """
    amounts = {
        "rotation": rotation,
        "scale": scale,
        "shift": shift,
        "shear": shear,
        "drop_stroke": drop_stroke,
        "anisotropy": anisotropy,
        "flip": flip,
        "deform": deform,
        "stroke_shift": stroke_shift,
        "jitter": jitter,
    }
    _check_amounts(amounts)
    if keys.shape != length.shape:
        raise ValueError(
            f"keys must be typed and [b], one a sketch: got {keys.shape} for {length.shape}"
        )
    middle = bounding_center(points, length)

    def change(key: Array, points: Array, length: Array, middle: Array) -> tuple[Array, Array]:
        streams = {name: jax.random.fold_in(key, i) for i, name in enumerate(_STREAMS)}
        valid = jnp.arange(points.shape[0]) < length
        points = jnp.where(valid[:, None], points.astype(jnp.float32), 0.0)
        if drop_stroke:
            points, length = drop_strokes(
                streams["drop_stroke"], points, length, probability=drop_stroke
            )
            valid = jnp.arange(points.shape[0]) < length
        places = points[:, :2]
        if jitter:
            places = places + _uniform(streams["jitter"], places.shape) * jitter
        if stroke_shift:
            offsets = _uniform(streams["stroke_shift"], places.shape) * (stroke_shift * BOX)
            places = places + offsets[stroke_index(points)]
        if deform:
            places = deformed(streams["deform"], places, amount=deform)
        if flip or scale or anisotropy or shear or rotation:
            matrix = affine_matrix(
                streams, flip=flip, scale=scale, anisotropy=anisotropy, shear=shear,
                rotation=rotation,
            )  # fmt: skip
            # As sums of products, not as a matmul, which a GPU would round to 10 bits.
            places = middle + jnp.sum((places - middle)[:, None, :] * matrix, axis=-1)
        if shift:
            places = places + _uniform(streams["shift"], (1, 2)) * (shift * BOX)
        changed = jnp.concatenate([places, points[:, 2:]], axis=-1)
        return jnp.where(valid[:, None], changed, 0.0), length.astype(jnp.int32)

    return jax.vmap(change)(keys, points, length, middle)


def stroke_index(points: Array) -> Array:
    """Which stroke each point of one sketch belongs to, i32[t], from 0.

    points: f[t 3]. The padding after a closed last stroke counts as one stroke more.
    """
    end = (points[:, 2] > 0).astype(jnp.int32)
    return jnp.cumsum(end) - end


def drop_strokes(
    key: Array, points: Array, length: Array, *, probability: float
) -> tuple[Array, Array]:
    """Leave out each stroke of one sketch with a probability; close the gaps: f32[t 3], i32[].

    points: f32[t 3]; length: i32[]. At least one stroke remains, each equally likely to be it.
    """
    steps = jnp.arange(points.shape[0])
    valid = steps < length
    index = stroke_index(points)
    draw = jax.random.uniform(key, steps.shape)[index]
    # The stroke with the greatest draw is the last that a rising probability would drop.
    last = jnp.max(jnp.where(valid, draw, -1.0))
    kept = valid & ((draw >= probability) | (draw == last))
    order = jnp.argsort(~kept, stable=True)
    count = jnp.sum(kept, dtype=jnp.int32)
    return jnp.where((steps < count)[:, None], points[order], 0.0), count


def deformed(key: Array, places: Array, *, amount: float) -> Array:
    """Bend the plane under one sketch: strokes that touch stay together, lines become curved.

    places: f32[t 2]. The displacement is a mean of slow waves with random directions and phases
    and a wavelength of BOX or more: at most amount * BOX on x and on y, typically a quarter of it.
    Returns f32[t 2].
    """
    turn, phase, speed, height = (
        jax.random.uniform(part, (2, _WAVES)) for part in jax.random.split(key, 4)
    )
    angle = 2 * math.pi * turn
    rate = 2 * math.pi / BOX * (0.4 + 0.6 * speed)  # radians a unit: wavelength BOX to 2.5 BOX
    x, y = places[:, 0, None, None], places[:, 1, None, None]
    across = (x * jnp.cos(angle)[None] + y * jnp.sin(angle)[None]) * rate[None]
    waves = jnp.sin(across + 2 * math.pi * phase[None]) * height[None]
    return places + jnp.mean(waves, axis=-1) * (amount * BOX)


def affine_matrix(
    streams: dict[str, Array],
    *,
    flip: float,
    scale: float,
    anisotropy: float,
    shear: float,
    rotation: float,
) -> Array:
    """A random linear map of (x, y), f32[2 2]: mirror, then size, shear and turn.

    streams: a PRNG key for each of the five names; amounts as in `augment`.
    """
    draw = {
        name: _uniform(streams[name], ()) for name in ("scale", "anisotropy", "shear", "rotation")
    }
    mirror = jnp.where(jax.random.uniform(streams["flip"]) < flip, -1.0, 1.0)
    size = jnp.exp(draw["scale"] * math.log1p(scale))
    # Half of it on x, half against it on y: the area stays.
    stretch = jnp.exp(draw["anisotropy"] * (math.log1p(anisotropy) / 2))
    sx, sy = mirror * size * stretch, size / stretch
    slant = draw["shear"] * shear
    angle = draw["rotation"] * math.radians(rotation)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    # turn @ [[1, slant], [0, 1]] @ diag(sx, sy)
    return jnp.stack(
        [
            jnp.stack([cos * sx, (cos * slant - sin) * sy]),
            jnp.stack([sin * sx, (sin * slant + cos) * sy]),
        ]
    )


def _uniform(key: Array, shape: tuple[int, ...]) -> Array:
    return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)


def _check_amounts(amounts: dict[str, float]) -> None:
    for name, amount in amounts.items():
        if amount < 0 or (name in ("drop_stroke", "flip") and amount > 1):
            most = " and at most 1" if name in ("drop_stroke", "flip") else ""
            raise ValueError(f"{name}={amount} must be at least 0{most}")
