"""Figure 6 of the paper: what several methods find for one query, side by side in one picture."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from sketchjax.paper.report.material import Comparison
from sketchjax.report.material import Retrieval
from sketchjax.report.mosaic import FALSE_POSITIVE
from sketchjax.report.themes import DARK, LIGHT, Theme
from sketchjax.report.thumbnails import Colour, thumbnail

RED = {LIGHT.name: FALSE_POSITIVE, DARK.name: "#ff6b78"}
SHOWN = 36
ACROSS = 6  # results in a row of a method's square
ABREAST = 3  # squares in a row, at most


def comparison_picture(
    comparison: Comparison, theme: Theme = LIGHT, *, size: int = 76
) -> Image.Image:
    """The query above one square of results per method, false positives red and framed.

    A square has the method's name, its precision and its first 36 results, nearest first. There
    may be any number of methods, up to three in a row, and of results.

    comparison: what to draw.
    theme: its colours; light by default.
    size: side of a sketch in px.
    """
    gap, margin, heading = 4, 22, 56
    square = ACROSS * (size + gap) - gap
    rows = max(1, -(-len(comparison.methods) // ABREAST))
    columns = max(1, -(-len(comparison.methods) // rows))  # four methods: two and two
    query = 2 * size
    height = 2 * margin + query + rows * (heading + square + margin)
    width = margin + columns * (square + margin)
    picture = Image.new("RGB", (width, height), theme.ground)
    pen = ImageDraw.Draw(picture)
    _query(picture, pen, comparison, theme, (margin, margin), query)
    for number, (model, retrieval) in enumerate(comparison.methods):
        row, column = divmod(number, columns)
        x = margin + column * (square + margin)
        y = 2 * margin + query + row * (heading + square + margin)
        pen.text((x, y + 4), model, theme.ink, font_size=19)
        pen.text((x, y + 28), precision_text(retrieval), theme.soft, font_size=17)
        for rank, result in enumerate(retrieval.results[:SHOWN]):
            down, right = divmod(rank, ACROSS)
            place = (x + right * (size + gap), y + heading + down * (size + gap))
            ink = theme.ink if result.correct else RED[theme.name]
            picture.paste(_tile(result.points, size - 8, ink, theme), (place[0] + 4, place[1] + 4))
            if not result.correct:
                box = (*place, place[0] + size - 1, place[1] + size - 1)
                pen.rectangle(box, outline=RED[theme.name], width=2)
    return picture


def precision_text(retrieval: Retrieval) -> str:
    """The precision of the results shown, in words."""
    first = retrieval.results[:SHOWN]
    if not first:
        return "no results"
    share = sum(result.correct for result in first) / len(first)
    return f"{100 * share:.1f}% of the first {len(first)} correct"


def _query(
    picture: Image.Image,
    pen: ImageDraw.ImageDraw,
    comparison: Comparison,
    theme: Theme,
    place: tuple[int, int],
    size: int,
) -> None:
    """Draw the framed query, with its category and the code length to its right."""
    x, y = place
    if comparison.methods:
        points = comparison.methods[0][1].query_points
        picture.paste(_tile(points, size - 16, theme.ink, theme), (x + 8, y + 8))
    pen.rectangle((x, y, x + size - 1, y + size - 1), outline=theme.accent, width=3)
    text = f"query: {comparison.category}"
    pen.text((x + size + 18, y + size / 2 - 14), text, theme.ink, font_size=26, anchor="lm")
    text = f"{comparison.bits}-bit codes"
    pen.text((x + size + 18, y + size / 2 + 18), text, theme.soft, font_size=19, anchor="lm")


def _tile(points: np.ndarray, size: int, ink: str, theme: Theme) -> Image.Image:
    return thumbnail(points, size, _rgb(ink), _rgb(theme.ground), stroke_width=1.4)


def _rgb(colour: str) -> Colour:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return red, green, blue
