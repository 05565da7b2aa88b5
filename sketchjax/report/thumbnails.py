"""Sketches drawn for people, with Pillow: one small smooth picture, or a sheet of many."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from sketchjax.data.canvas import to_pixels
from sketchjax.data.sketch import strokes

Colour = tuple[int, int, int]
_SUPERSAMPLING = 4  # Pillow rounds to whole pixels; drawn four times as large, to a quarter of one


def thumbnail(
    points: np.ndarray,
    size: int = 96,
    ink: Colour = (0, 0, 0),
    background: Colour = (255, 255, 255),
    stroke_width: float | None = None,
    by_order: bool = False,
) -> Image.Image:
    """A smooth RGB picture of one sketch, with positions and widths as in `ops.draw.rasterize`.

    points: u8|f[t 3], columns x, y, end, without padding; no points give an empty picture.
    size: side of the picture, in pixels.
    ink: colour of the strokes.
    background: colour behind them.
    stroke_width: in pixels; by default size / 64, at least 1.
    by_order: colour strokes by their order instead, from blue through green to red.
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
    """Pictures in a grid, RGB.

    pictures: all of one size.
    columns: pictures in a row.
    gap: pixels between and around them.
    background: colour of the gaps.
    Raises ValueError when there are no pictures.
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
    """The colour of stroke `index` of `count`, from blue (the first) through green to red."""
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
    """Draw a line through points [t 2], in pixels, with round ends and joints."""
    # Whole numbers are the middle of a pixel to Pillow, and its corner to `to_pixels`.
    places = [(x - 0.5, y - 0.5) for x, y in stroke.tolist()]
    if len(places) > 1:
        draw.line(places, fill=colour, width=round(width))
    radius = (width - 1) / 2
    for x, y in places:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
