"""A sketch as SVG: the path returns the strokes, the box contains them all."""

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sketchjax.data.sketch import points_of_strokes, strokes
from sketchjax.report.svg import path_data, view_box

POINT = st.tuples(st.integers(0, 255), st.integers(0, 255))
DRAWING = st.lists(st.lists(POINT, min_size=1, max_size=6), min_size=1, max_size=5)


def strokes_of_path(path: str) -> list[list[tuple[int, int]]]:
    found = []
    for part in path.split("M")[1:]:
        numbers = [int(number) for number in re.findall(r"\d+", part)]
        found.append(list(zip(numbers[::2], numbers[1::2], strict=True)))
    return found


@given(DRAWING)
def test_the_path_returns_the_strokes(drawing):
    points = points_of_strokes([np.array(stroke) for stroke in drawing])
    # A single point is drawn as a line onto itself: a dot.
    expected = [stroke * 2 if len(stroke) == 1 else stroke for stroke in drawing]
    assert strokes_of_path(path_data(points)) == expected
    assert len(list(strokes(points))) == len(drawing)


@given(DRAWING)
def test_the_box_is_a_square_around_all_points(drawing):
    points = points_of_strokes([np.array(stroke) for stroke in drawing])
    x, y, width, height = map(float, view_box(points).split())
    assert width == height >= 1
    margins = [
        points[:, 0].min() - x,
        points[:, 1].min() - y,
        x + width - points[:, 0].max(),
        y + height - points[:, 1].max(),
    ]
    assert min(margins) > 0
    assert abs(margins[0] - margins[2]) <= 0.31  # centred, to the rounding of the box
    assert abs(margins[1] - margins[3]) <= 0.31


def test_no_points_give_an_empty_path():
    nothing = np.zeros((0, 3), np.uint8)
    assert path_data(nothing) == ""
    assert view_box(nothing) == "0 0 255 255"
