"""The pictures that a graph draws, bit for bit, by a kernel that skips what is far from a stroke.

An operator of a graph works on the whole canvas of every segment, and most of it is far away.
"""

from __future__ import annotations

import numpy as np

from sketchjax.compiled import kernel
from sketchjax.data.canvas import to_pixels
from sketchjax.models.architecture import Drawing


def pictures_of(
    points: np.ndarray, lengths: np.ndarray, drawing: Drawing, *, mirrored: bool = False
) -> np.ndarray:
    """Pictures f32[b 1 s s] as `export.drawing.picture` makes them.

    points: u8[b t 3], padded.
    lengths: i32[b], 1 to t.
    drawing: how to draw.
    mirrored: the mirror images, left to right.
    """
    places = points[..., :2].astype(np.float32)
    if mirrored:
        places = places * np.array([-1, 1], np.float32)
    padding = np.arange(points.shape[1])[:, None] >= lengths[:, None, None]
    low = np.where(padding, np.float32(1e9), places).min(1, keepdims=True)
    high = np.where(padding, np.float32(-1e9), places).max(1, keepdims=True)
    size, width = drawing.size, drawing.stroke_width
    places = to_pixels(places, low, high, size, width)
    reach = np.float32(width / 2 + 0.5)
    pictures = np.empty((len(points), 1, size, size), np.float32)
    _draw(pictures, places, points[..., 2] > 0, lengths, reach)
    return pictures


@kernel
def _draw(pictures, places, ends, lengths, reach):
    """Draw on f32[b 1 s s], whatever it holds.

    places: f32[b t 2] in pixels.
    ends: bool[b t], whether a point ends its stroke.
    lengths: i32[b].
    reach: px, f32, from the middle of a line to where it ends.

    All arithmetic is in float32, in the order of the graph.
    """
    zero, one, two = np.float32(0), np.float32(1), np.float32(2)
    half_pixel, least = np.float32(0.5), np.float32(1e-12)
    size = pictures.shape[-1]
    columns = np.arange(size).astype(np.float32) + half_pixel
    for row in range(len(lengths)):
        nearest = pictures[row, 0]  # squared distances to the nearest segment so far, px²
        nearest[:] = reach * reach
        for point in range(lengths[row]):
            x, y = places[row, point, 0], places[row, point, 1]
            step_x = step_y = zero
            if point + 1 < lengths[row] and not ends[row, point]:
                step_x, step_y = places[row, point + 1, 0] - x, places[row, point + 1, 1] - y
            squared = step_x * step_x + step_y * step_y
            tx, ty, half = one, zero, zero
            if squared > zero:
                length = np.sqrt(squared)
                tx, ty, half = step_x / length, step_y / length, length / two
            x, y = x + step_x / two, y + step_y / two
            along, across = zero - (x * tx + y * ty), x * ty - y * tx
            # The box around all pixels in reach, with one more for rounding.
            wide, high = abs(tx) * half + reach + one, abs(ty) * half + reach + one
            first, last = max(int(x - wide), 0), min(int(x + wide) + 1, size)
            for line in range(max(int(y - high), 0), min(int(y + high) + 1, size)):
                along_line = ty * columns[line] + along
                across_line = tx * columns[line] + across
                for column in range(first, last):
                    beyond = max(abs(tx * columns[column] + along_line) - half, zero)
                    aside = across_line - ty * columns[column]
                    distance = beyond * beyond + aside * aside
                    nearest[line, column] = min(nearest[line, column], distance)
        for line in range(size):
            for column in range(size):
                distance = np.sqrt(max(nearest[line, column], least))
                nearest[line, column] = min(max(reach - distance, zero), one)
