"""What encoders look at: each view turns the inputs of a batch into arrays, on the device.

"Strokes, never pixels, travel": pictures are drawn here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax

from sketchjax.data.inputs import Strokes
from sketchjax.models.architecture import Drawing
from sketchjax.ops import draw


@dataclass(frozen=True)
class View:
    """A row of VIEWS.

    reads: the kind of inputs.
    make: (inputs, drawing) -> the arrays an encoder gets.
    """

    reads: type
    make: Callable[..., tuple[jax.Array, ...]]


def picture(strokes: Strokes, drawing: Drawing) -> tuple[jax.Array, ...]:
    """The drawing as a picture of ink, f32[b s s 1]."""
    raster = draw.rasterize(strokes, size=drawing.size, stroke_width=drawing.stroke_width)
    return (raster,)


def sequence(strokes: Strokes, drawing: Drawing) -> tuple[jax.Array, ...]:
    """The drawing as offsets f32[b t 4] in the order of the points, and lengths i32[b]."""
    return draw.sequence(strokes, scale=drawing.offset_scale), strokes.length


VIEWS = {"picture": View(Strokes, picture), "sequence": View(Strokes, sequence)}
