"""Where a drawing is placed in its picture.

One map for everything that draws: the device (`ops.draw`), graphs and what draws for them
(`export.drawing`, `export.pictures`), the pictures of a report (`report.thumbnails`) and the image
entropy (`data.entropy`).
"""

from __future__ import annotations

from numba.extending import register_jitable

BOX = 255.0  # the longer side of a simplified drawing, in units
# px. With 0.5 the edge of a line along the box, which is common, would pass exactly through pixel
# middles and rounding would decide on whole columns of ink: 1 drawing in 10 differed by them.
MARGIN = 0.8


@register_jitable
def to_pixels(coordinate, low, high, size, stroke_width):
    """Map a coordinate (x or y alike) from drawing units to pixels.

    low, high: the bounding box of the drawing on that axis; its middle goes to the picture's
    middle, size / 2. The scale is fixed: BOX units cover the picture but for a margin of
    stroke_width / 2 + MARGIN px on either side, so that a drawing whose longer side is BOX fills
    the picture and its anti-aliased edge stays inside. Pixel i spans [i, i + 1) and is sampled at
    its middle, i + 0.5. Plain arithmetic: floats, numpy, jax and numba values all pass through.
    """
    pixels_per_unit = (size - stroke_width - 2.0 * MARGIN) / BOX
    return size * 0.5 + (coordinate - (low + high) * 0.5) * pixels_per_unit
