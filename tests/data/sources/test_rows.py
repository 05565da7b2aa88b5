"""Rows of numbers in .npz files as others write them. Oracle: the drawings they were made from."""

import gzip
import json

import numpy as np
import pytest

from sketchjax.data import sources
from sketchjax.errors import DataError


def drawings(count, seed=0, points=12, square=255):
    """Drawings as points i[t 2], aligned and filling the square, and whether a stroke ends."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        places = rng.integers(0, square + 1, (points, 2))
        places[rng.permutation(points)[:2]] = [[0, square], [square, 0]]
        ends = np.zeros(points, int)
        ends[[points // 3, points - 1]] = 1
        made.append((places, ends))
    return made


def from_corner(places, ends):
    return np.column_stack([np.diff(places, axis=0, prepend=0), ends])


def from_first(places, ends):
    """Without a row for the first point."""
    return np.column_stack([np.diff(places, axis=0), ends[1:]])


def save(path, arrays, **others):
    array = np.empty(len(arrays), object)
    array[:] = arrays
    np.savez(path, train=array, **others)
    return path


def read(path):
    """Points of every sketch, and the notes."""
    reading = sources.read(path)
    found = [part.points_of(i).copy() for part in reading for i in range(len(part))]
    return found, reading.notes


def expected(made):
    return [np.column_stack([places, ends]).astype(np.uint8) for places, ends in made]


def assert_same(found, wanted):
    assert len(found) == len(wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_arrays_of_other_names_are_noted(tmp_path):
    made = drawings(20)
    rows = [from_first(*drawing) for drawing in made]
    array = np.empty(len(rows), object)
    array[:] = rows
    found, notes = read(save(tmp_path / "cat.npz", rows, validation=array, mean=np.zeros(2)))
    assert_same(found, expected(made))
    assert notes[0] == "only the arrays train, valid, test are read, not mean, validation"


# --- the unit ---


@pytest.mark.parametrize("unit", [1, 1 / 255, 1 / 41.7, 105 / 255, 1000 / 255, 1e-6, 1e6])
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_the_unit_of_the_offsets_does_not_matter(tmp_path, unit, kind):
    made = drawings(9)
    rows = [from_corner(*one).astype(kind) * np.array([unit, unit, 1], kind) for one in made]
    found, notes = read(save(tmp_path / "cat.npz", rows))
    assert_same(found, expected(made))
    assert any(f"to {255 * unit:.4g} are each scaled to 255" in note for note in notes)


@pytest.mark.parametrize("square", [28, 105, 109, 200, 400, 1000])
def test_whole_numbers_on_another_canvas_are_scaled(tmp_path, square):
    made = drawings(9, square=square)
    found, _ = read(
        save(tmp_path / "cat.npz", [from_corner(*one).astype(np.int16) for one in made])
    )
    scaled = [(np.rint(places * 255 / square).astype(int), ends) for places, ends in made]
    assert_same(found, expected(scaled))


def test_sketches_of_different_sizes_fill_the_square(tmp_path):
    rows = [
        np.array([[0, 0, 0], [10, -2, 0], [-10, 4, 1]]) * [size, size, 1] for size in (1, 20, 900)
    ]
    found, _ = read(save(tmp_path / "cat.npz", rows))
    assert [points[:, :2].max() for points in found] == [255, 255, 255]
    assert_same(found[1:], [found[0]] * 2)


def test_a_dot_stays_at_the_corner(tmp_path):
    found, _ = read(save(tmp_path / "cat.npz", [np.array([[0, 0, 1]]), np.array([[0.5, 0, 1]])]))
    assert found[0].tolist() == [[0, 0, 1]]


def test_our_own_files_come_back_as_they_were(tmp_path):
    rows = [np.array([[0, 0, 0], [3, 4, 1]])]
    small = next(sources.read(save(tmp_path / "a.npz", rows)))
    small.points[:, :2] = [[0, 0], [3, 4]]
    sources.write_stroke3(tmp_path / "b.npz", small)
    found, notes = read(tmp_path / "b.npz")
    assert [points.tolist() for points in found] == [[[0, 0, 0], [3, 4, 1]]]
    assert notes == []
    assert np.load(tmp_path / "b.npz", allow_pickle=True)["train"][0].tolist() == rows[0].tolist()


# --- the first row ---


@pytest.mark.parametrize("kind", [np.int16, np.float32, np.float64])
@pytest.mark.parametrize("unit", [1, 1 / 3, 0.7])
def test_a_first_row_from_the_corner_with_rounding(tmp_path, kind, unit):
    made = drawings(20)
    if kind is np.int16:
        unit = 1
    rows = [(from_corner(*one) * [unit, unit, 1]).astype(kind) for one in made]
    found, notes = read(save(tmp_path / "cat.npz", rows))
    assert_same(found, expected(made))
    assert "the first row is read as the first point: 20 of 20" in notes[0]


def test_a_stray_sketch_decides_nothing(tmp_path):
    made = drawings(20)
    rows = [from_corner(*one) for one in made]
    rows[7][0, 0] -= rows[7][:, 0].cumsum().min() + 1  # one pixel off the canvas
    found, _ = read(save(tmp_path / "cat.npz", rows))
    assert {len(points) for points in found} == {12}
    assert_same(found[:7] + found[8:], expected(made[:7] + made[8:]))


def test_the_first_row_from_the_first_point(tmp_path):
    made = drawings(20)
    rows = [from_first(*one) for one in made]
    found, notes = read(save(tmp_path / "cat.npz", rows))
    assert_same(found, expected(made))
    assert "read as a step from a first point that has no row" in notes[0]


@pytest.mark.parametrize("columns", [3, 5])
def test_a_row_of_zeros_before_the_first_point_is_no_point(tmp_path, columns):
    made = drawings(20)
    rows = [np.vstack([np.zeros((1, 3), int), from_corner(*one)]) for one in made]
    rows = rows if columns == 3 else [to_five(one, 30) for one in rows]
    found, notes = read(save(tmp_path / "cat.npz", rows))
    assert_same(found, expected(made))
    assert any("a row of zeros at the corner" in note for note in notes)


def test_first_rows_of_zeros_need_no_decision(tmp_path):
    made = drawings(5)
    rows = [from_corner(places - places[0], ends) for places, ends in made]
    found, notes = read(save(tmp_path / "cat.npz", rows))
    assert_same(found, expected(made))
    assert not any("first row" in note for note in notes)


def lines(count, corner):
    """Lines to the right, from the corner of a canvas or from their first point."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(count):
        steps = np.column_stack([rng.integers(100, 200, 1), rng.integers(0, 2, 1), [1]])
        start = [[*rng.integers(20, 300, 2), 0]] if corner else np.zeros((0, 3), int)
        made.append(np.concatenate([start, steps]))
    return made


def test_lines_from_their_first_point_keep_it(tmp_path):
    """They never go left of or above their start either."""
    found, _ = read(save(tmp_path / "line.npz", lines(20, corner=False)))
    assert {tuple(points[[0, -1], 0]) for points in found} == {(0, 255)}
    assert {len(points) for points in found} == {2}


def test_drawings_in_the_middle_of_a_canvas(tmp_path):
    rows = [from_corner(places // 4 + [90, 70], ends) for places, ends in drawings(20)]
    found, _ = read(save(tmp_path / "cat.npz", rows))
    assert {len(points) for points in found} == {12}


def test_many_stray_pixels_decide_nothing(tmp_path):
    made = drawings(20)
    rows = [from_corner(*one) for one in made]
    for row in rows[:8]:
        row[0, :2] -= 2
    assert_same(read(save(tmp_path / "cat.npz", rows))[0], expected(made))


# --- the pen ---


def test_an_inverted_pen_column_is_refused(tmp_path):
    made = drawings(5)
    inverted = [np.column_stack([*from_corner(*one).T[:2], 1 - one[1]]) for one in made]
    with pytest.raises(DataError, match=r"cat\.npz: \d+% of the rows end a stroke.*opposite"):
        read(save(tmp_path / "cat.npz", inverted))
    five = [to_five(from_corner(*one), 20)[:, :3] for one in made]  # cut to three columns
    with pytest.raises(DataError, match="opposite meaning"):
        read(save(tmp_path / "cat.npz", five))


@pytest.mark.parametrize("columns", [3, 4, 5])
@pytest.mark.parametrize("first", [0, 1])
def test_a_pen_column_that_marks_starts_is_refused(tmp_path, columns, first):
    """With or without a mark in the very first row, where 1 may mean a step with the pen up."""
    rows = []
    for places, ends in drawings(5):
        starts = np.roll(ends, 1)
        starts[0] = first
        steps = places if columns == 4 else from_corner(places, ends)[:, :2]
        pens = {3: [starts], 4: [1 - starts, starts], 5: [1 - starts, starts, 0 * starts]}
        rows.append(np.column_stack([steps, *pens[columns]]))
    with pytest.raises(DataError, match="seems to mark where a stroke starts"):
        read(save(tmp_path / "cat.npz", rows))


def test_a_last_row_without_a_mark_ends_the_sketch(tmp_path):
    """Where others have one; or where there is no mark at all, each sketch being one stroke."""
    made = drawings(5)
    rows = [from_corner(*one) for one in made]
    for row in rows[:4]:
        row[-1, 2] = 0
    assert_same(read(save(tmp_path / "cat.npz", rows))[0], expected(made))
    for row in rows:
        row[:, 2] = 0
    found, _ = read(save(tmp_path / "cat.npz", rows))
    assert [np.flatnonzero(points[:, 2]).tolist() for points in found] == [[11]] * 5


def test_dots_are_no_opposite_meaning(tmp_path):
    dots = np.array([[0, 0, 1], [9, -9, 1], [3, 20, 1], [-5, 2, 1]])
    found, _ = read(save(tmp_path / "rain.npz", [dots] * 3))
    assert [points[:, 2].tolist() for points in found] == [[1, 1, 1, 1]] * 3


def test_points_in_place_of_offsets_are_refused(tmp_path):
    rows = [np.column_stack([places, ends]) for places, ends in drawings(5)]
    with pytest.raises(DataError, match="no offset is negative"):
        read(save(tmp_path / "cat.npz", rows))


def wandering(count=50, seed=1):
    """Drawings of some 30 points around 0, within -1 to 1, and whether a stroke ends."""
    rng = np.random.default_rng(seed)
    for points in rng.integers(25, 35, count):
        places = np.cumsum(rng.normal(0, 0.1, (points, 2)), axis=0)
        places -= places.mean(axis=0)
        ends = (np.arange(points) % 10 == 9).astype(float)
        ends[-1] = 1
        yield places / np.abs(places).max(), ends


def steps_of(places):
    return np.diff(places, axis=0, prepend=places[:1])


@pytest.mark.parametrize("count", [10, 50])
@pytest.mark.parametrize("columns", [3, 5])
def test_points_around_zero_are_refused(tmp_path, columns, count):
    path = tmp_path / "cat.npz"
    pens = {3: lambda ends: [ends], 5: lambda ends: [1 - ends, ends, 0 * ends]}[columns]
    rows = [np.column_stack([places, *pens(ends)]) for places, ends in wandering(count)]
    with pytest.raises(DataError, match="points around 0, not the steps between"):
        read(save(path, rows))
    rows = [np.column_stack([steps_of(places), *pens(ends)]) for places, ends in wandering(count)]
    found, _ = read(save(path, rows))
    for ours, (places, ends) in zip(found, wandering(count), strict=True):
        wanted = places - places.min(axis=0)
        np.testing.assert_allclose(ours[:, :2], wanted / wanted.max() * 255, atol=0.51)
        np.testing.assert_array_equal(ours[:, 2], ends)


def test_steps_in_rows_of_four_are_refused(tmp_path):
    rows = [np.column_stack([steps_of(places), 1 - e, e]) for places, e in wandering()]
    with pytest.raises(DataError, match="rows of 4 are points on a canvas"):
        read(save(tmp_path / "cat.npz", rows))


def as_rows(record, around):
    """A drawing of QuickDraw as stroke-3, or as points around 0 in its place."""
    strokes = [np.array(stroke[:2], float).T for stroke in record["drawing"] if stroke[0]]
    places = np.concatenate(strokes)
    ends = np.zeros(len(places))
    ends[np.cumsum([*map(len, strokes)]) - 1] = 1
    low, high = places.min(axis=0), places.max(axis=0)
    around_0 = (places - (low + high) / 2) / max((high - low).max(), 1) * 2
    return np.column_stack([around_0 if around else steps_of(places), ends])


def test_no_category_of_quickdraw_is_taken_for_points(tmp_path, real_data):
    """As steps all are read, as points nearly all are refused."""
    path = tmp_path / "any.npz"
    refused, files = 0, sorted(real_data.glob("quickdraw*/*.ndjson.gz"))[::4]
    for file in files:
        lines = gzip.decompress(file.read_bytes()).splitlines()[:200]
        drawings = [record for record in map(json.loads, lines) if any(map(any, record["drawing"]))]
        for around in (False, True):
            save(path, [as_rows(record, around) for record in drawings])
            try:
                assert len(read(path)[0]) == len(drawings)
            except DataError:
                assert around, file
                refused += 1
    assert len(files) > 90
    assert refused > 0.95 * len(files)


# --- other rows ---


def to_five(rows, length):
    """stroke-5 as sketch-rnn pads it."""
    five = np.zeros((length, 5))
    five[: len(rows), :2] = rows[:, :2]
    five[: len(rows), 3] = rows[:, 2]
    five[: len(rows), 2] = 1 - rows[:, 2]
    five[len(rows) :, 4] = 1
    return five


@pytest.mark.parametrize("length", [12, 13, 40])
@pytest.mark.parametrize("start", [from_corner, from_first])
def test_stroke5(tmp_path, length, start):
    made = drawings(20)
    rows = [to_five(start(*one), length) for one in made]
    path = tmp_path / "cat.npz"
    for arrays in (rows, np.stack(rows).astype(np.float32)):
        np.savez(path, valid=arrays) if isinstance(arrays, np.ndarray) else save(path, arrays)
        found, notes = read(path)
        assert_same(found, expected(made))
        assert notes[0] == "rows of 5 are read as stroke-5"


def test_quickdraw_414k(tmp_path):
    made = drawings(20)
    rows = np.full((20, 100, 4), -1.0)
    for row, (places, ends) in zip(rows, made, strict=True):
        row[:12] = np.column_stack([places, 1 - ends, ends])
    np.savez(tmp_path / "cat.npz", train=rows)
    found, notes = read(tmp_path / "cat.npz")
    assert_same(found, expected(made))
    assert "QuickDraw-414k" in notes[0]
    rows[:, :12, 2:] = 1 - rows[:, :12, 2:]
    np.savez(tmp_path / "cat.npz", train=rows)
    with pytest.raises(DataError, match="opposite meaning"):
        read(tmp_path / "cat.npz")


def test_rows_that_go_on_after_the_end_are_bad(tmp_path):
    good = to_five(from_corner(*drawings(1)[0]), 20)
    after, two, other = good.copy(), good.copy(), good[:, :3]
    after[15, 2:] = [1, 0, 0]
    two[2, 2:] = [1, 1, 0]
    bad = []
    path = save(tmp_path / "cat.npz", [good, after, two, other, good])
    assert sum(map(len, sources.read(path, on_bad=bad.append))) == 2
    assert [(record.place, record.kind) for record in bad] == [
        (1, "unreadable"),
        (2, "unreadable"),
        (3, "unreadable"),
    ]


def test_padding_of_zeros_is_no_point(tmp_path):
    made = drawings(4)
    rows = np.zeros((4, 30, 3), np.int16)
    for row, one in zip(rows, made, strict=True):
        row[:12] = from_corner(*one)
    np.savez(tmp_path / "cat.npz", train=rows)
    assert_same(read(tmp_path / "cat.npz")[0], expected(made))


def test_other_arrays_are_named(tmp_path):
    np.savez(tmp_path / "cat.npz", x_train=np.zeros((2, 3, 3)), labels=np.zeros(2))
    with pytest.raises(DataError, match=r"no array train, valid or test.*'x_train', 'labels'"):
        read(tmp_path / "cat.npz")
