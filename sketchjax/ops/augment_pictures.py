"""Augment photos and raster sketches on the device: another crop, another light.

Like `ops.augment` for points, each change is off unless asked for. Mirroring, sizes and shifts are
one resampling by two small matrices, one for each axis, so that a picture is interpolated once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax import Array

from sketchjax.data.inputs import Pictures
from sketchjax.ops.augment import flipped

# Each change has its own random stream, numbered by its place here: append new names at the end.
PICTURE_AMOUNTS = (
    "scale",
    "anisotropy",
    "shift",
    "contrast",
    "brightness",
    "hue",
    "saturation",
    "negative",
)


def augment_pictures(
    keys: Array, flips: Array, pictures: Pictures, *, flip: float, amounts: Mapping[str, float]
) -> Pictures:
    """Changed pictures: pixels f32[b s s c] from 0 to 255, and contours likewise.

    keys: [b] typed PRNG keys, one per picture.
    flips: [b] typed PRNG keys that decide about mirror images as in `ops.augment.augment`, so that
      a sketch and its photo, given the same keys, are mirrored together.
    pictures: b of them.
    flip: probability of a mirror image, left to right.
    amounts: by name, those of PICTURE_AMOUNTS; others are passed over. Each but the last is the
      bound of a uniform draw, 0 where it is missing:
        scale       the size changes by a factor from 1 / (1 + scale) to 1 + scale
        anisotropy  the ratio of width to height changes likewise
        shift       the picture moves by up to this fraction of its side, on x and on y
        contrast    differences from the picture's mean change by up to this fraction of them
        brightness  all values change by up to this fraction of 255
        hue         colours turn about the grey axis by up to this fraction of half a turn
        saturation  differences from grey change by up to this fraction of them
        negative    the probability that light and dark, and each colour with its opposite, change
    What lies beyond the edge is the edge's colour. Contours follow the changes of place only, and
    pictures of one channel have no colours to change.
    With all amounts at 0 the values are those of the pictures.
    """
    own = {name: float(amounts.get(name, 0.0)) for name in PICTURE_AMOUNTS}

    def change(key: Array, mirror: Array, picture: Pictures) -> Pictures:
        draw = {
            name: jax.random.uniform(jax.random.fold_in(key, place), (2,), minval=-1, maxval=1)
            for place, name in enumerate(PICTURE_AMOUNTS)
        }
        size = jnp.exp(draw["scale"][0] * math.log1p(own["scale"]))
        # Half on x and the inverse half on y, which preserves the area.
        stretch = jnp.exp(draw["anisotropy"][0] * (math.log1p(own["anisotropy"]) / 2))
        x, y = draw["shift"] * own["shift"]
        side = picture.pixels.shape[0]
        sign = jnp.where(flipped(mirror, flip), -1.0, 1.0)
        across = resampling(side, sign * size * stretch, x)
        down = resampling(side, size / stretch, y)

        def resampled(pixels: Array | None) -> Array | None:
            if pixels is None:
                return None
            moved = jnp.einsum("yr,rxc->yxc", down, pixels.astype(jnp.float32), precision="highest")
            return jnp.einsum("xr,yrc->yxc", across, moved, precision="highest")

        light = resampled(picture.pixels)
        assert light is not None
        if own["contrast"]:
            mean = light.mean()
            light = mean + (light - mean) * (1 + draw["contrast"][0] * own["contrast"])
        if own["brightness"]:
            light = light + draw["brightness"][0] * (own["brightness"] * 255)
        if light.shape[-1] == 3 and (own["hue"] or own["saturation"]):
            turn = draw["hue"][0] * (own["hue"] * math.pi)
            light = light @ recolouring(turn, 1 + draw["saturation"][0] * own["saturation"])
        if own["negative"]:
            chosen = (draw["negative"][0] + 1) / 2 < own["negative"]
            light = jnp.where(chosen, 255 - light, light)
        return Pictures(jnp.clip(light, 0, 255), resampled(picture.contour))

    if not (flip or any(own.values())):
        return jax.tree.map(lambda pixels: pixels.astype(jnp.float32), pictures)
    return jax.vmap(change)(keys, flips, pictures)


def recolouring(turn: Array, saturation: Array) -> Array:
    """The matrix f32[3 3] that turns colours about the grey axis and moves them from it.

    turn: f32[], radians.
    saturation: f32[], what the distance from the axis is multiplied by.
    A row of red, green and blue times the matrix; grey stays as it is.
    """
    grey = jnp.full((3, 3), 1 / 3)
    across = jnp.array([[0.0, 1, -1], [-1, 0, 1], [1, -1, 0]]) / math.sqrt(3)
    turned = jnp.cos(turn) * (jnp.eye(3) - grey) + jnp.sin(turn) * across
    return grey + saturation * turned


def resampling(side: int, factor: Array, shift: Array) -> Array:
    """The matrix f32[s s] that scales a row of s pixels about its middle, then shifts it.

    side: s.
    factor: f32[] of the size; negative mirrors.
    shift: f32[], as a fraction of s.
    Values between two pixels are interpolated linearly, and those beyond the edge are the edge's.
    """
    middle = (side - 1) / 2
    places = (jnp.arange(side) - middle - shift * side) / factor + middle
    places = jnp.clip(places, 0, side - 1)
    return jnp.maximum(0, 1 - jnp.abs(places[:, None] - jnp.arange(side)))
