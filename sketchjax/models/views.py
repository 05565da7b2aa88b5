"""What encoders look at: each view turns the inputs of a batch into arrays, on the device.

"Strokes, never pixels, travel": drawings become pictures here. Only what was never drawn with
strokes, photos and raster sketches, comes as pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from sketchjax.data.inputs import Pictures, Strokes
from sketchjax.models.architecture import Drawing
from sketchjax.ops import draw


@dataclass(frozen=True)
class View:
    """A row of VIEWS.

    reads: the kinds of inputs.
    make: (inputs, drawing) -> the arrays an encoder gets.
    """

    reads: tuple[type, ...]
    make: Callable[..., tuple[jax.Array, ...]]


def picture(inputs: Strokes | Pictures, drawing: Drawing) -> tuple[jax.Array, ...]:
    """The item as a picture.

    Strokes and raster sketches become ink, f32[b s s 1], 1 where there is some; photos become
    f32[b s s 3] with red, green and blue in [0, 1].
    """
    if isinstance(inputs, Strokes):
        return (draw.rasterize(inputs, size=drawing.size, stroke_width=drawing.stroke_width),)
    is_ink = inputs.pixels.shape[-1] == 1
    return (_ink(inputs.pixels) if is_ink else inputs.pixels.astype(jnp.float32) / 255,)


def picture_and_contour(pictures: Pictures, drawing: Drawing) -> tuple[jax.Array, ...]:
    """The photo as `picture` has it, and the ink of its contour map f32[b s s 1]."""
    return *picture(pictures, drawing), _ink(pictures.contour)


def _ink(pixels: jax.Array) -> jax.Array:
    """Dark lines on white, 0 to 255, as ink in [0, 1]."""
    return 1 - pixels.astype(jnp.float32) / 255


def sequence(strokes: Strokes, drawing: Drawing) -> tuple[jax.Array, ...]:
    """The drawing as offsets f32[b t 4] in the order of the points, and lengths i32[b]."""
    return draw.sequence(strokes, scale=drawing.offset_scale), strokes.length


VIEWS = {
    "picture": View((Strokes, Pictures), picture),
    "picture_and_contour": View((Pictures,), picture_and_contour),
    "sequence": View((Strokes,), sequence),
}
