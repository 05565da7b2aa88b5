"""Augment sketches on the device by changing their points: other drawings of the same thing.

Each change is a small pure function of one sketch, and each is off unless asked for. The order of
the strokes, which a sequence encoder reads, never changes.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array

from sketchjax.data.canvas import BOX
from sketchjax.data.inputs import Strokes

# Each change has its own random stream, numbered by its place here, so switching one on leaves the
# others as they were. Append new names at the end.
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
_WAVES = 3  # sinusoids per deformation; with 3, no two look alike and none looks wavy


def augment(
    keys: Array,
    strokes: Strokes,
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
) -> Strokes:
    """Changed strokes: points f32[b t 3], length i32[b] and the centre that was given.

    keys: [b] typed PRNG keys, one per sketch, so that a sketch's change depends neither on the rest
      of the batch, nor on its padding, nor on the devices.
    strokes: b drawings of t points.

    The amounts are Python numbers (static under jit), all 0 by default. Each is the bound of a
    uniform draw, and they apply in this order:
      drop_stroke   probability of leaving out a stroke, but never the last one that remains
      jitter        each point moves by up to this, in units
      stroke_shift  each stroke moves by up to this fraction of BOX, on x and on y
      deform        slow waves bend the plane by up to this fraction of BOX
      flip          probability of a mirror image, left to right
      scale         the size changes by a factor from 1 / (1 + scale) to 1 + scale
      anisotropy    the ratio of width to height changes likewise
      shear         x changes by up to this fraction of y
      rotation      the drawing turns by up to this, in degrees
      shift         the whole drawing moves by up to this fraction of BOX, on x and on y
    The changes from flip to rotation leave `strokes.center` in place. The centre is returned
    unchanged, so a shift is visible in the picture. With all amounts at 0 this is the identity.
    The padding of the result is zero.
    Raises ValueError for an amount out of range or shapes that do not fit.
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
    if keys.shape != strokes.length.shape:
        raise ValueError(
            f"keys must be typed and [b], one per sketch: "
            f"got {keys.shape} for {strokes.length.shape}"
        )

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
            # Sums of products instead of a matmul, which a GPU would round to 10 bits.
            places = middle + jnp.sum((places - middle)[:, None, :] * matrix, axis=-1)
        if shift:
            places = places + _uniform(streams["shift"], (1, 2)) * (shift * BOX)
        changed = jnp.concatenate([places, points[:, 2:]], axis=-1)
        return jnp.where(valid[:, None], changed, 0.0), length.astype(jnp.int32)

    points, length = jax.vmap(change)(keys, *strokes)
    return Strokes(points, length, strokes.center)


def flipped(key: Array, flip: float) -> Array:
    """Whether `augment` mirrors the sketch of a key, bool[], with this probability `flip`."""
    return jax.random.uniform(jax.random.fold_in(key, _STREAMS.index("flip"))) < flip


def stroke_index(points: Array) -> Array:
    """Which stroke each point of one sketch belongs to, i32[t], from 0.

    points: f[t 3]. The padding after the last stroke counts as one more stroke.
    """
    end = (points[:, 2] > 0).astype(jnp.int32)
    return jnp.cumsum(end) - end


def drop_strokes(
    key: Array, points: Array, length: Array, *, probability: float
) -> tuple[Array, Array]:
    """Leave out strokes of one sketch at random and close the gaps: f32[t 3], i32[].

    key: a typed PRNG key.
    points: f32[t 3].
    length: i32[], points that are not padding.
    probability: that a stroke is left out. At least one stroke always remains, and each is equally
      likely to be that one.
    """
    steps = jnp.arange(points.shape[0])
    valid = steps < length
    index = stroke_index(points)
    draw = jax.random.uniform(key, steps.shape)[index]
    # The stroke with the largest draw is the last one that a rising probability would drop.
    last = jnp.max(jnp.where(valid, draw, -1.0))
    kept = valid & ((draw >= probability) | (draw == last))
    order = jnp.argsort(~kept, stable=True)
    count = jnp.sum(kept, dtype=jnp.int32)
    return jnp.where((steps < count)[:, None], points[order], 0.0), count


def deformed(key: Array, places: Array, *, amount: float) -> Array:
    """Bend the plane under one sketch, f32[t 2]: touching strokes still touch, lines become curves.

    key: a typed PRNG key.
    places: f32[t 2], units.
    amount: the largest displacement on x and on y, as a fraction of BOX; typically it is a quarter
      of that. It is a mean of slow waves of random direction and phase, at least BOX long.
    """
    turn, phase, speed, height = (
        jax.random.uniform(part, (2, _WAVES)) for part in jax.random.split(key, 4)
    )
    angle = 2 * math.pi * turn
    rate = 2 * math.pi / BOX * (0.4 + 0.6 * speed)  # radians per unit: wavelength BOX to 2.5 BOX
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
    """A random linear map of (x, y), f32[2 2]: mirror, then scale, shear and rotate.

    streams: a typed PRNG key for each of the five names. The amounts are those of `augment`.
    """
    draw = {
        name: _uniform(streams[name], ()) for name in ("scale", "anisotropy", "shear", "rotation")
    }
    mirror = jnp.where(jax.random.uniform(streams["flip"]) < flip, -1.0, 1.0)
    size = jnp.exp(draw["scale"] * math.log1p(scale))
    # Half on x and the inverse half on y, which preserves the area.
    stretch = jnp.exp(draw["anisotropy"] * (math.log1p(anisotropy) / 2))
    sx, sy = mirror * size * stretch, size / stretch
    slant = draw["shear"] * shear
    angle = draw["rotation"] * math.radians(rotation)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    # rotation @ [[1, slant], [0, 1]] @ diag(sx, sy)
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
            raise ValueError(f"{name}={amount}: must be at least 0{most}.")
