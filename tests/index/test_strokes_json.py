"""Drawings as JSON against the lists of numpy."""

import msgspec
import numpy as np

from sketchjax.data.sketch import drawing_of
from sketchjax.data.sources.doodles import sketches
from sketchjax.index.strokes_json import strokes_json


def test_doodles_are_the_json_of_their_strokes():
    drawn = sketches("cat", 30, seed=3)
    expected = [msgspec.json.encode(drawing_of(drawn.points_of(i))) for i in range(30)]
    assert [bytes(own) for own in strokes_json(drawn.points, drawn.offsets)] == expected


def test_every_number_is_written_and_every_last_point_ends_a_stroke():
    every = np.arange(256, dtype=np.uint8)
    points = np.stack([every, every[::-1], np.zeros(256, np.uint8)], axis=1)
    points[100, 2] = 1
    # A drawing of 256 points, one of none (a photo), and one of a single point.
    points, offsets = np.concatenate([points, [[7, 0, 0]]]), np.array([0, 256, 256, 257])
    first, photo, dot = (msgspec.json.decode(own) for own in strokes_json(points, offsets))
    xs = every.tolist()
    assert first == [[xs[:101], xs[::-1][:101]], [xs[101:], xs[::-1][101:]]]
    assert (photo, dot) == ([], [[[7], [0]]])


def test_no_drawing_is_no_json():
    assert strokes_json(np.zeros((0, 3), np.uint8), np.zeros(1, np.int64)) == []
