"""Drawings in every form that people have them in; any other is one clear error."""

from collections import deque
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from sketchjax.data.simplify import simplify
from sketchjax.data.sketch import Sketches
from sketchjax.errors import DataError
from sketchjax.retrieval.drawings import as_sketches

# A drawing of two strokes in QuickDraw's simplified form, as points and as strokes.
POINTS = np.array([[0, 10, 0], [255, 0, 1], [30, 7, 1]], np.uint8)
STROKES = [[[0, 255], [10, 0]], [[30], [7]]]


def points_of(drawings) -> list[list]:
    """The points of each drawing."""
    found = as_sketches(drawings)
    assert found.points.dtype == np.uint8
    assert len(found.categories) == len(found.key_ids) == len(found.recognized) == len(found)
    return [found.points_of(index).tolist() for index in range(len(found))]


def test_the_name_of_an_svg_file_is_a_drawing(tmp_path):
    path = tmp_path / "one.svg"
    path.write_text('<svg><path d="M0 10L255 0"/><path d="M30 7h0"/></svg>')
    expected = simplify([np.array([[0, 10], [255, 0]]), np.array([[30, 7], [30, 7]])]).tolist()
    assert points_of(path) == points_of(str(path)) == [expected]
    assert points_of([path, STROKES]) == [expected, POINTS.tolist()]
    assert as_sketches(path).categories == [""]
    with pytest.raises(DataError, match=r"cannot open .*no\.svg"):
        as_sketches("no.svg")


@pytest.mark.parametrize(
    "drawing",
    [
        POINTS,
        POINTS.astype(np.int64),
        POINTS[::-1][::-1],
        STROKES,
        [tuple(stroke) for stroke in STROKES],
        tuple(STROKES),
        [[np.array(axis) for axis in stroke] for stroke in STROKES],
        deque(STROKES),
        [np.array(stroke) for stroke in STROKES],
        jnp.asarray(POINTS),
        [[*stroke, stroke[0]] for stroke in STROKES],  # with times
    ],
)
def test_one_drawing_in_any_form_is_one_drawing(drawing):
    assert points_of(drawing) == [POINTS.tolist()]


@pytest.mark.parametrize(
    "drawings",
    [
        [POINTS, POINTS],
        (POINTS, STROKES),
        [STROKES, STROKES],
        np.stack([POINTS, POINTS]),
        iter([POINTS, STROKES]),
        (drawing for drawing in [STROKES, POINTS]),
        [iter(STROKES), POINTS],
        [[np.array(stroke) for stroke in STROKES]] * 2,
        [jnp.asarray(POINTS), POINTS],
    ],
)
def test_several_drawings_in_any_form_are_several(drawings):
    assert points_of(drawings) == [POINTS.tolist()] * 2


def test_strokes_are_not_changed_where_they_are():
    points = POINTS.copy()
    points[-1, 2] = 0
    assert points_of(points) == [POINTS.tolist()]
    assert points[-1, 2] == 0, "what was given stays"


@pytest.mark.parametrize("scale, shift", [(1, 5), (7.3, 0), (1 / 255, 0), (40, -1000)])
def test_strokes_on_any_canvas_are_simplified_as_raw_ones(scale, shift):
    random = np.random.default_rng(0)
    raw = [random.random((count, 2)) * 255 * scale + shift for count in (30, 1, 4)]
    strokes = [stroke.T.tolist() for stroke in raw]
    (found,) = points_of(strokes)
    assert found == simplify(raw).tolist()
    assert np.max(found) == 255


def test_times_run_on_from_stroke_to_stroke():
    """Two points in each stroke: they would be three points [x, y] where no times."""
    strokes = [[[0, 255], [10, 0], [0, 40]], [[30, 40], [7, 9], [90, 130]]]
    assert points_of(strokes) == points_of([stroke[:2] for stroke in strokes])
    with pytest.raises(DataError, match="lists of points of 2 numbers, or may be"):
        as_sketches([[*stroke[:2], [200, 100]] for stroke in strokes])


def test_a_dot_is_a_drawing():
    assert points_of([[[17.5], [3]]])[0][-1] == [0, 0, 1]


def sketches(*lengths, name="cat", key=5) -> Sketches:
    count = sum(lengths)
    return Sketches(
        points=np.full((count, 3), 1, np.uint8),
        offsets=np.cumsum([0, *lengths]).astype(np.int64),
        categories=[name] * len(lengths),
        key_ids=np.arange(key, key + len(lengths), dtype=np.uint64),
        recognized=np.ones(len(lengths), np.int8),
        places=np.arange(len(lengths), dtype=np.int64),
    )


def test_sketches_are_taken_as_they_are():
    own = sketches(3, 2)
    assert as_sketches(own) is own


def test_sketches_that_come_in_parts_are_joined():
    """As `sketchjax.read` gives them, file by file."""
    found = as_sketches(iter([sketches(3, 2), sketches(4, name="sun", key=9)]))
    assert found.lengths.tolist() == [3, 2, 4]
    assert found.categories == ["cat", "cat", "sun"]
    assert found.key_ids.tolist() == [5, 6, 9]
    mixed = as_sketches([POINTS, sketches(1)])
    assert mixed.lengths.tolist() == [3, 1]
    assert mixed.categories == ["", "cat"]


NONE = "there is no drawing to encode"
STROKE = r"a stroke is \[xs, ys\], two lists"
ROWS = "strokes are lists of points"
# Rows [x, y, time], of which the first were taken as all x and the second as all y.
HOUSE = [
    [[40, 110, 0], [40, 240, 9], [200, 240, 20], [200, 110, 31], [40, 110, 45]],
    [[40, 110, 60], [120, 30, 75], [200, 110, 88]],
]
WRONG = {
    "nothing": ([], NONE),
    "no sketches": (sketches(), NONE),
    "an iterator at its end": (iter([]), NONE),
    "an empty sketch": (sketches(2, 0), "drawing 1 has no points"),
    "an empty drawing": ([[]], "a drawing without strokes"),
    "an empty array": (np.zeros((0, 3), np.uint8), r"shape \[0, 3\] is no drawing; give points"),
    "an empty stroke": ([[[0], [1]], [[], []]], "a stroke without points"),
    "only empty strokes": ([[[], []]], STROKE),
    "two columns": (np.zeros((4, 2), np.uint8), r"shape \[4, 2\] is no drawing; give points"),
    "one axis": (np.arange(3, dtype=np.uint8), "a uint8 is no drawing"),
    "a number": (np.uint8(3), "a uint8 is no drawing"),
    "four axes": (np.zeros((1, 1, 4, 3), np.uint8), r"drawing 0: an array of shape \[1, 4, 3\]"),
    "float points": (POINTS.astype(np.float32), "not float32 up to 255.0; give strokes"),
    "points beyond 255": (POINTS.astype(int) * 2, "x and y from 0 to 255, not int64 up to 510"),
    "negative points": (POINTS.astype(int) - 1, "from 0 to 255"),
    "offsets with pen states": (POINTS * np.array([1, 1, 9], np.uint8), "third column"),
    "NaN": ([[[0, np.nan], [1, 2]]], "a coordinate is not finite"),
    "infinity": ([[[0, 1], [1, np.inf]]], "a coordinate is not finite"),
    "other lengths": ([[[0, 1, 2], [1, 2]]], rf"{STROKE} of equal length; its shapes are \[3\], "),
    "one list": ([[[0, 1, 2]]], f"{ROWS} of 3 numbers, or may be"),
    "one list of one": ([[[0]]], rf"{STROKE} of equal length; its shapes are \[1\]"),
    "ragged lists": ([[[0, [1]], [1, 2]]], STROKE),
    "words": ([[["a"], ["b"]]], STROKE),
    "nothing for a number": ([[[0, None], [1, 2]]], "not finite"),
    "a list of points": ([[[0, 0], [9, 9], [5, 5], [7, 1]]], f"{ROWS} of 2 numbers, or may be"),
    "a triangle of points": ([[[0, 0], [9, 9], [5, 1]]], f"{ROWS} of 2 numbers"),
    "points with times": (HOUSE, f"{ROWS} of 3 numbers"),
    "arrays with times": ([[*map(np.array, stroke)] for stroke in HOUSE], f"{ROWS} of 3 numbers"),
    "times and pressures": ([[[*row, 0.5] for row in stroke] for stroke in HOUSE], ROWS),
    "one of several": ([STROKES, HOUSE], f"drawing 1: {ROWS}"),
    "two lists of points": ([POINTS.tolist()] * 2, f"{ROWS} of 3 numbers"),
    "points among strokes": ([*STROKES, [[0, 0], [9, 9], [5, 5], [7, 1]]], "has 4 lists, or is a"),
    "numbers": ([1, 2, 3], "drawing 0: a int is no drawing"),
    "rows of points": (POINTS.tolist(), f"drawing 0: {STROKE}"),
    "an object of lists": ({"x": [1], "y": [2]}, "a dict is no drawing; give points"),
    "strokes of objects": ([[{"x": 1, "y": 2}]], STROKE),
    "None": (None, "a NoneType is no drawing"),
    "a name": ("cat.ndjson", "'cat.ndjson' is text, not a drawing; read a file with sketchjax"),
    "a path": (Path("cat.ndjson"), "'cat.ndjson' is text, not a drawing"),
    "bytes": (b"\0" * 9, "is text, not a drawing"),
    "names": (["cat", "dog"], "drawing 0: 'cat' is text"),
    "a wrong one among others": ([POINTS, STROKES, POINTS[:, :2]], r"drawing 2: .*\[3, 2\]"),
}


@pytest.mark.parametrize("name", WRONG)
def test_any_other_form_is_one_clear_error(name):
    drawings, message = WRONG[name]
    with pytest.raises(DataError, match=message) as caught:
        as_sketches(drawings)
    assert caught.value.exit_code == 65
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250
