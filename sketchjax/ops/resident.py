"""A training split that lives on the devices: shuffled, gathered and padded in the compiled step.

All points lie end to end, 3 bytes each: QuickDraw-3.8M (3.1 million training sketches of about 140
bytes) takes 0.5 GB, and a batch is one gather. As 8-bit pictures it would be 156 GB.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from sketchjax.data.feed.permutation import domain_bits, shuffle
from sketchjax.data.inputs import Pictures, Strokes
from sketchjax.ops.draw import strokes_of


class Resident(NamedTuple):
    """n sketches: sketch i owns points[offset[i]:offset[i + 1]].

    points: u8[p 3], columns x, y, end; offset: i32[n + 1]; label: i32[n].
    instance: i32[n], the photo that each draws; None where no batch needs it.
    """

    points: jax.Array
    offset: jax.Array
    label: jax.Array
    instance: jax.Array | None = None


class ResidentPictures(NamedTuple):
    """n photos or raster sketches: u8 pictures, i32[n] labels and instances as in `Resident`."""

    pictures: Pictures
    label: jax.Array
    instance: jax.Array | None = None


def take_pictures(resident: ResidentPictures, index: jax.Array) -> tuple[Pictures, jax.Array]:
    """The pictures at an index i32[b], and their labels i32[b]."""
    found = jax.tree.map(lambda each: each[index], resident.pictures)
    return found, resident.label[index]


def permute(places: jax.Array, size: int, keys: jax.Array) -> jax.Array:
    """`data.feed.permutation.permute` on the device, with the same numbers bit for bit: i32[b].

    places: i32[b], each below size.
    size: n, how many sketches there are.
    keys: u32[r], the epoch's round keys.
    """
    bits = domain_bits(size)

    # One loop that begins with all of them: the shuffle is in the program once.
    def once(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        numbers, outside = state
        numbers = jnp.where(outside, shuffle(numbers, bits, keys), numbers)
        return numbers, numbers >= size

    start = (places.astype(jnp.uint32), places >= 0)
    numbers, _ = lax.while_loop(lambda state: state[1].any(), once, start)
    return numbers.astype(jnp.int32)


def take(resident: Resident, index: jax.Array, points: int) -> tuple[Strokes, jax.Array]:
    """The sketches at an index as strokes of u8[b t 3], and their labels i32[b].

    resident: n sketches.
    index: i32[b], each below n.
    points: t. Shorter sketches are padded with zeros; longer ones are cut to their first t points,
      and the last point kept ends a stroke, as in `data.feed.batch.pad`.
    """
    start = resident.offset[index]
    length = jnp.minimum(resident.offset[index + 1] - start, points)
    steps = jnp.arange(points, dtype=jnp.int32)[None, :]
    inside = steps < length[:, None]
    found = resident.points[jnp.where(inside, start[:, None] + steps, 0)]
    found = jnp.where(inside[:, :, None], found, jnp.uint8(0))
    last = steps == length[:, None] - 1
    ends = jnp.where(last, jnp.uint8(1), found[:, :, 2])
    return strokes_of(found.at[:, :, 2].set(ends), length), resident.label[index]
