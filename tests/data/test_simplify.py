"""Google's simplification. Oracle: the same drawings as Google published them in both forms."""

import gzip
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchjax.data.simplify import simplify
from sketchjax.data.sketch import strokes
from sketchjax.errors import DataError


def records(path):
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def distance_to_polyline(points, line):
    """The largest distance of points f[n 2] to a polyline f[m 2]."""
    if len(line) == 1:
        return np.linalg.norm(points - line[0], axis=1).max()
    start, along = line[:-1], np.diff(line, axis=0)
    offset = points[:, None] - start
    square = (along**2).sum(-1)
    share = np.clip((offset * along).sum(-1) / np.where(square == 0, 1, square), 0, 1)
    return np.linalg.norm(offset - share[..., None] * along, axis=-1).min(1).max()


def test_agrees_with_google(real_data):
    """Of 1,549 drawings 97.4 % are within 1 px both ways, 95.0 % equal in every coordinate."""
    drawings = equal = near = 0
    for path in sorted((real_data / "quickdraw-raw").glob("*.ndjson.gz")):
        raw = {r["key_id"]: r["drawing"] for r in records(path)}
        for record in records(real_data / "quickdraw" / path.name):
            if record["key_id"] not in raw:
                continue
            given = [np.array(stroke[:2], float).T for stroke in raw[record["key_id"]]]
            ours = [stroke.astype(float) for stroke in strokes(simplify(given))]
            google = [np.array(stroke, float).T for stroke in record["drawing"]]
            assert len(ours) == len(google), f"{path.name} {record['key_id']}"
            drawings += 1
            equal += all(np.array_equal(a, b) for a, b in zip(ours, google, strict=True))
            near += all(
                max(distance_to_polyline(a, b), distance_to_polyline(b, a)) <= 1
                for a, b in zip(ours, google, strict=True)
            )
    assert drawings > 1500
    assert equal / drawings > 0.945
    assert near / drawings > 0.97


coordinate = st.integers(-2000, 2000) | st.floats(-2000, 2000, width=32)
drawing = st.lists(
    st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=20), min_size=1, max_size=4
)


@settings(max_examples=150, deadline=None)
@given(drawing)
def test_stays_within_two_pixels_of_what_was_drawn(drawing):
    given = [np.array(stroke, float) for stroke in drawing]
    points = simplify(given)
    joined = np.concatenate(given)
    extent = np.ptp(joined, axis=0).max()
    scale = 255 / extent if extent > 0 else 1.0
    assert points.dtype == np.uint8
    assert points[:, 2].sum() == len(given)
    for ours, stroke in zip(strokes(points), given, strict=True):
        scaled = (stroke - joined.min(axis=0)) * scale
        # Each kept point is one of the path, rounded; the first and last are the stroke's.
        assert distance_to_polyline(ours.astype(float), scaled) < 0.75
        np.testing.assert_allclose(ours[[0, -1]], scaled[[0, -1]], atol=0.51)


@pytest.mark.parametrize(
    "given, expected",
    [
        # A straight line keeps its ends; it is scaled until its longer side is 255.
        ([[(10, 10), (20, 10), (110, 60)]], [[(0, 0), (26, 0), (255, 128)]]),
        ([[(0, 0), (50, 0), (100, 0)]], [[(0, 0), (255, 0)]]),
        # A bend of less than 2 px goes, one of more stays.
        ([[(0, 0), (100, 1.9), (255, 0)]], [[(0, 0), (255, 0)]]),
        ([[(0, 0), (100, 2.1), (255, 0)]], [[(0, 0), (100, 2), (255, 0)]]),
        # A tap is two equal points, in the corner where it is the only stroke.
        ([[(7, 7)]], [[(0, 0), (0, 0)]]),
        ([[(0, 0), (255, 0)], [(9, 3)]], [[(0, 0), (255, 0)], [(9, 3), (9, 3)]]),
        # Back to the start: the farthest point is measured from there.
        ([[(0, 0), (255, 0), (0, 0)]], [[(0, 0), (255, 0), (0, 0)]]),
    ],
)
def test_by_hand(given, expected):
    found = simplify([np.array(stroke, float) for stroke in given])
    assert [[tuple(p) for p in s.tolist()] for s in strokes(found)] == expected


@pytest.mark.parametrize(
    "given",
    [
        [],
        [np.zeros((0, 2))],
        [np.array([[0.0, np.nan]])],
        [np.array([[0.0, np.inf]])],
        [np.array([[1e308, 0], [-1e308, 0]])],
        [np.tile([[0.0, 0], [1, 1]], (400, 1))],
    ],
)
def test_what_cannot_be_simplified(given):
    with pytest.raises(DataError):
        simplify(given)


def test_extremes_of_scale():
    for scale in (1e-320, 1e-300, 1e300):
        points = simplify([np.array([[0, 0], [scale, scale / 2]])])
        assert points[-1].tolist() == [255, 128, 1]
