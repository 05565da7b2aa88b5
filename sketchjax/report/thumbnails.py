"""Draw sketches for people, with Pillow: one small smooth picture, or a sheet of many."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from sketchjax.data.canvas import to_pixels
from sketchjax.data.sketch import strokes

Colour = tuple[int, int, int]
_SUPERSAMPLING = 4  # Pillow rounds to whole pixels: to a quarter of one here, then averaged


def thumbnail(
    points: np.ndarray,
    size: int = 96,
    ink: Colour = (0, 0, 0),
    background: Colour = (255, 255, 255),
    stroke_width: float | None = None,
    by_order: bool = False,
) -> Image.Image:
    """A smooth RGB picture of one sketch, size by size pixels.

    points: u8|f[t 3], columns x, y, end, without padding; stroke_width: px, by default size / 64.
    by_order: colour the strokes from the first, blue, over green to the last, red, instead of ink.
    Places and widths as in `ops.draw.rasterize`. No points give the background.
    """
    fine = _SUPERSAMPLING
    image = Image.new("RGB", (size * fine, size * fine), background)
    if len(points):
        width = stroke_width if stroke_width is not None else max(1.0, size / 64)
        drawing = list(strokes(_in_pixels(points, size, width)))
        draw = ImageDraw.Draw(image)
        for i, stroke in enumerate(drawing):
            colour = order_colour(i, len(drawing)) if by_order else ink
            _draw_stroke(draw, stroke * fine, width * fine, colour)
    return image.resize((size, size), Image.Resampling.BOX)


def contact_sheet(
    pictures: Sequence[Image.Image],
    columns: int,
    gap: int = 4,
    background: Colour = (225, 225, 225),
) -> Image.Image:
    """Pictures of equal size side by side in rows of `columns`, `gap` pixels apart, RGB.

    Raises ValueError when there is none.
    """
    if not pictures:
        raise ValueError("a contact sheet needs at least one picture")
    width, height = pictures[0].width + gap, pictures[0].height + gap
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * width + gap, rows * height + gap), background)
    for i, picture in enumerate(pictures):
        row, column = divmod(i, columns)
        sheet.paste(picture, (gap + column * width, gap + row * height))
    return sheet


def order_colour(index: int, count: int) -> Colour:
    """The colour of stroke `index` of `count`: blue, the first, over green to red, the last."""
    hue = 2 / 3 * (1 - index / max(count - 1, 1))
    red, green, blue = colorsys.hsv_to_rgb(hue, 1.0, 0.85)
    return round(red * 255), round(green * 255), round(blue * 255)


def _in_pixels(points: np.ndarray, size: int, width: float) -> np.ndarray:
    """Points [t 3] with x and y in pixels."""
    places = np.array(points, np.float64)
    low, high = places[:, :2].min(axis=0), places[:, :2].max(axis=0)
    places[:, :2] = to_pixels(places[:, :2], low, high, size, width)
    return places


def _draw_stroke(
    draw: ImageDraw.ImageDraw, stroke: np.ndarray, width: float, colour: Colour
) -> None:
    """A line through places [t 2], in pixels, with round ends and joints."""
    # Pillow means the middle of a pixel by whole numbers, the map its corner.
    places = [(x - 0.5, y - 0.5) for x, y in stroke.tolist()]
    if len(places) > 1:
        draw.line(places, fill=colour, width=round(width))
    radius = (width - 1) / 2
    for x, y in places:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
