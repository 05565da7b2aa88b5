"""The centre of a drawing against a loop."""

import numpy as np
import pytest

from sketchjax.data.inputs import Strokes


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_the_center_is_the_middle_of_the_bounding_box(kind):
    rng = np.random.default_rng(0)
    length = rng.integers(1, 10, 50).astype(np.int32)
    points = np.zeros((50, 9, 3), kind)
    low = 0 if kind is np.uint8 else -500
    for row, number in enumerate(length.tolist()):
        points[row, :number, :2] = rng.integers(low, 256, (number, 2))
    strokes = Strokes.of(points, length)
    assert strokes.points is points
    assert strokes.center.dtype == np.float32
    for row, number in enumerate(length.tolist()):
        for axis in range(2):
            values = [float(points[row, place, axis]) for place in range(number)]
            assert strokes.center[row, axis] == (min(values) + max(values)) / 2


def test_no_drawings_have_no_centers():
    strokes = Strokes.of(np.zeros((0, 4, 3), np.uint8), np.zeros(0, np.int32))
    assert strokes.center.shape == (0, 2)
