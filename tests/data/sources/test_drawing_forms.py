"""Drawings in JSON as users bring them. Oracle: the same drawing in Google's own form."""

import csv
import gzip
import json

import numpy as np
import pytest

from sketchjax.data import sources
from sketchjax.data.sources.categories import all_categories
from sketchjax.errors import DataError

DRAWING = [[[68, 32, 130, 60], [253, 230, 241, 194]], [[107, 48, 249, 14], [199, 221, 1, 228]]]
CAT = {"word": "cat", "key_id": "5201136883597312", "recognized": True}


def written(path, drawings, **fields):
    """An ndjson file of drawings, each with a key_id."""
    lines = (
        json.dumps({"word": "cat", "key_id": str(key), "drawing": drawing} | fields)
        for key, drawing in enumerate(drawings)
    )
    path.write_text("\n".join(lines))
    return path


def read(path, **options):
    """Every sketch's strokes [[x...], [y...]], and the notes."""
    reading = sources.read(path, **options)
    found = []
    for part in reading:
        for index in range(len(part)):
            points = part.points_of(index)
            strokes = np.split(points[:, :2], np.flatnonzero(points[:, 2]) + 1)[:-1]
            found.append([stroke.T.tolist() for stroke in strokes])
    return found, reading.notes


def pairs(drawing):
    """The strokes as lists of points."""
    return [list(map(list, zip(*stroke, strict=True))) for stroke in drawing]


# --- forms that have one meaning ---

FORMS = {
    "JSON text": json.dumps(DRAWING),
    "lists x and y": {"x": [x for x, _ in DRAWING], "y": [y for _, y in DRAWING]},
    "strokes with x and y": [{"x": x, "y": y} for x, y in DRAWING],
    "points with x and y": [[{"x": x, "y": y} for x, y in stroke] for stroke in pairs(DRAWING)],
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_with_one_meaning_are_read(tmp_path, form):
    path = written(tmp_path / "cat.ndjson", [FORMS[form], FORMS[form]])
    assert read(path) == ([DRAWING, DRAWING], [f"drawings are given as {form}"])
    path = written(tmp_path / "cat.ndjson", [DRAWING, FORMS[form]])
    assert read(path)[0] == [DRAWING, DRAWING]


def test_times_of_objects_make_a_drawing_raw(tmp_path):
    raw = [[[100.5, 610.5], [300, 300], [0, 40]]]
    as_objects = [{"x": x, "y": y, "t": t} for x, y, t in raw]
    as_points = [[{"x": x, "y": y, "time": t} for x, y, t in zip(*raw[0], strict=True)]]
    as_lists = {"x": [raw[0][0]], "y": [raw[0][1]], "t": [raw[0][2]]}
    for drawing in (raw, as_objects, as_points, as_lists):
        found, _ = read(written(tmp_path / "cat.ndjson", [drawing]))
        assert found == [[[[0, 255], [0, 0]]]]


def test_further_lists_of_a_stroke_are_ignored(tmp_path):
    rng = np.random.default_rng(0)
    three, five = [], []
    for _ in range(4):
        lengths = rng.integers(5, 9, 2)
        raw = [
            [*rng.integers(0, 900, (2, length)).tolist(), list(range(length))] for length in lengths
        ]
        three.append(raw)
        five.append([[*stroke, [0.5] * len(stroke[0]), [1] * len(stroke[0])] for stroke in raw])
    wanted, _ = read(written(tmp_path / "cat.ndjson", three))
    found, notes = read(written(tmp_path / "dog.ndjson", five))
    assert found == wanted
    assert notes == ["strokes have 5 lists: x, y, times, and others that are ignored"]


def test_class_numbers_of_hugging_face(tmp_path):
    numbers = [0, 63, 344]
    lines = [
        CAT | {"word": n, "key_id": str(n), "drawing": FORMS["lists x and y"]} for n in numbers
    ]
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    (part,) = sources.read(path)
    assert part.categories == ["aircraft carrier", "castle", "zigzag"]
    for word in (345, -1, 1.5, True):
        with pytest.raises(DataError, match="the field 'word' is"):
            read(written(path, [FORMS["lists x and y"]], word=word))
    with pytest.raises(DataError, match="a class number: write the category's name"):
        read(written(path, [DRAWING], word=63))


@pytest.mark.parametrize(
    "drawing, message",
    [
        ([[68, 253, 0], [32, 230, 1]], r"stroke 1 .*rows of numbers .* are read from \.npz"),
        ({"paths": []}, "the drawing is an object of 'paths'"),
        ("M0 0L10 10", "the drawing is text, not a list of strokes"),
        ('"[]"', "the drawing is text"),
        ([[{"x": 1, "y": 2}, {"x": 3}]], "a point is an object of 'x', without x and y"),
        ([[{"x": 1, "y": 2, "t": 0}, {"x": 3, "y": 4}]], "some points have a time"),
        ({"x": [[1, 2]], "y": [[3], [4]]}, "unequal numbers of strokes"),
        ([{"x": [1, 2], "y": [3]}], "2 x and 1 y"),
    ],
)
def test_other_forms_are_named(tmp_path, drawing, message):
    with pytest.raises(DataError, match=message):
        read(written(tmp_path / "cat.ndjson", [DRAWING, drawing]))


# --- axes or points ---


def of_lengths(*lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (2, length)).tolist() for length in lengths]


POINTS = {
    "two, three and four": [of_lengths(2), of_lengths(3), of_lengths(4)],
    "in one drawing": [of_lengths(2, 7, 2, 3)],
    "one stroke": [of_lengths(9)],
    "three points only": [of_lengths(3)],
    "a point": [of_lengths(1)],
    "fractions": [[[[0, 10.5, 3.25, 8], [0, 3.2, 4, 4]], [[1, 2], [3, 4]]]],
}


@pytest.mark.parametrize("name", POINTS)
def test_lists_of_points_are_refused_as_a_whole(tmp_path, name):
    path = written(tmp_path / "cat.ndjson", map(pairs, POINTS[name]))
    for on_bad in (None, lambda record: None):
        with pytest.raises(DataError, match=r"lists of points.*expected \[\[x, \.\.\.\], \[y"):
            list(sources.read(path, on_bad=on_bad))
    text = [json.dumps(pairs(drawing)) for drawing in POINTS[name]]
    with pytest.raises(DataError, match="lists of points"):
        read(written(path, text))


def test_points_with_a_time_each_are_refused(tmp_path):
    timed = [[[5, 6, 0], [7, 8, 16], [9, 1, 33], [2, 2, 50]], [[1, 1, 90], [2, 3, 110]]]
    with pytest.raises(DataError, match="lists of points of 3 numbers"):
        read(written(tmp_path / "cat.ndjson", [timed]))


def test_times_run_on_from_stroke_to_stroke(tmp_path):
    """Two points in each stroke: they would be three points [x, y] where no times."""
    strokes = [[[0, 255], [10, 0], [0, 40]], [[30, 40], [7, 9], [90, 130]]]
    found, _ = read(written(tmp_path / "cat.ndjson", [strokes]))
    assert found == [[[[0, 255], [10, 0]], [[30, 40], [7, 9]]]]


def test_two_layouts_in_one_file_are_refused(tmp_path):
    axes = [of_lengths(6, 9, 2, seed=seed) for seed in range(5)]
    points = [pairs(of_lengths(2, 2, 6, seed=seed)) for seed in range(5)]
    with pytest.raises(DataError, match=r"of the first 30 strokes are lists of \[x, y\] points"):
        read(written(tmp_path / "cat.ndjson", [*axes, *points]))


def test_a_stray_list_of_points_is_a_bad_record(tmp_path):
    path = written(tmp_path / "cat.ndjson", [DRAWING, pairs(of_lengths(5)), DRAWING])
    bad = []
    reading = sources.read(path, on_bad=bad.append)
    assert [part.places.tolist() for part in reading] == [[1, 3]]
    assert bad[0].reason == "stroke 1 is a list of [x, y] points; expected [[x, ...], [y, ...]]"


def test_axes_of_any_length_are_read(tmp_path):
    for lengths in ([2], [2, 2, 2], [3], [1, 1], [1, 2, 3, 4, 5], [4, 4]):
        drawing = of_lengths(*lengths)
        assert read(written(tmp_path / "cat.ndjson", [drawing, drawing]))[0] == [drawing] * 2
    two = [[[10, 20], [30, 40]]]
    found, notes = read(written(tmp_path / "cat.ndjson", [two]))
    assert found == [two]
    assert notes[0] == "every stroke has two points: read as [[x, x], [y, y]]"


@pytest.mark.parametrize("start", [0, 1_488_366_345_000])
def test_times_make_raw_strokes_of_two_points(tmp_path, start):
    raw = [[[100, 610], [300, 300], [start, start + 40]]]
    assert read(written(tmp_path / "cat.ndjson", [raw]))[0] == [[[[0, 255], [0, 0]]]]


# --- the unit ---


def normalized(drawing, unit):
    return [[[value * unit for value in axis] for axis in stroke] for stroke in drawing]


@pytest.mark.parametrize("unit", [1 / 255, 0.5, 4.1, 1000.25])
def test_every_drawing_with_fractions_in_its_file(tmp_path, unit):
    """Also one whose numbers happen to be whole."""
    made = [[[[0, 255, 17], [9, 0, 255]]] for _ in range(30)] + [[[[0, 255], [255, 0]]]]
    drawings = [normalized(drawing, unit) for drawing in made]
    found, notes = read(written(tmp_path / "cat.ndjson", drawings))
    for ours, theirs in zip(found, made, strict=True):
        assert [stroke[0][0] for stroke in ours] == [stroke[0][0] for stroke in theirs]
        assert max(max(axis) for stroke in ours for axis in stroke) == 255
    assert any("in units of their own" in note for note in notes)


def test_corners_of_the_unit_square_are_far_apart(tmp_path):
    corners = [[[0.0, 1.0], [0.0, 1.0]]]
    path = written(tmp_path / "cat.ndjson", [corners, [[[0.0, 0.5], [1.0, 0.0]]]])
    found, _ = read(path)
    assert found[0] == [[[0, 255], [0, 255]]]
    assert read(written(path, [corners]))[0] == [[[[0, 255], [0, 255]]]]


def test_whole_numbers_on_a_canvas_are_scaled(tmp_path):
    canvas = [[[[0, 400], [3, 300]]], [[[10, 20], [30, 30]]], [[[0, 390], [1, 200]]]]
    found, notes = read(written(tmp_path / "cat.ndjson", canvas))
    assert [max(map(max, drawing[0])) for drawing in found] == [255, 255, 255]
    assert found[1] == [[[0, 255], [0, 0]]]
    assert "coordinates from 0 to 400 are in units of their own" in notes[-1]


def test_a_stray_coordinate_is_a_bad_record(tmp_path):
    square = [[[0, 255, 9], [0, 3, 7]]]
    drawings = [square] * 20 + [[[[0, 256, 9], [0, 3, 7]]]]
    bad = []
    sketches = list(sources.read(written(tmp_path / "a.ndjson", drawings), on_bad=bad.append))
    assert len(sketches[0]) == 20
    assert [record.kind for record in bad] == ["range"]


def test_a_stray_fraction_decides_nothing(tmp_path):
    square = [[[0, 255, 9], [0, 3, 7]], [[5], [6]]]
    drawings = [square] * 20 + [[[[0, 10.5], [0, 0]]]]
    found, notes = read(written(tmp_path / "a.ndjson", drawings))
    assert found == [square] * 20 + [[[[0, 255], [0, 0]]]]
    assert "1 of the first 21 drawings have fractions" in notes[0]


def random_drawings(count, top, add=0):
    rng = np.random.default_rng(count)
    return [[(rng.integers(0, top + 1, (2, 8)) + add).tolist()] for _ in range(count)]


@pytest.mark.parametrize("others", [random_drawings(936, 200, 0.5), random_drawings(936, 900)])
def test_the_first_thousand_drawings_decide_on_one_unit(tmp_path, others):
    drawings = random_drawings(64, 200) + others
    found, notes = read(written(tmp_path / "a.ndjson", drawings))
    assert len(found) == 1_000
    assert min(max(map(max, drawing[0])) for drawing in found) >= 254
    assert any("in units of their own" in note for note in notes)


@pytest.mark.parametrize(
    "other, reason",
    [
        ([[[0.5, 9], [3, 4]]], "the coordinate 0.5 has a fraction, and the file's first drawings"),
        ([[[0, 900], [3, 4]]], "the coordinate 900 is not within 0 to 255, the unit of the"),
        ([[[1, 2], [3, 4], [5, 6], [7, 8]]], r"stroke 1 is a list of \[x, y\] points"),
    ],
)
def test_a_later_drawing_must_not_contradict_them(tmp_path, other, reason):
    first = random_drawings(1_000, 255)
    path = written(tmp_path / "a.ndjson", [*first, other, *first])
    bad = []
    parts = list(sources.read(path, on_bad=bad.append))
    assert sum(map(len, parts)) == 2_000
    assert [record.place for record in bad] == [1_001]
    with pytest.raises(DataError, match=f"line 1001: {reason}"):
        read(path)


def test_a_later_raw_drawing_is_scaled(tmp_path):
    raw = [[[100.5, 610.5], [300, 300], [0, 40]]]
    found, _ = read(written(tmp_path / "a.ndjson", [*random_drawings(1_000, 255), raw]))
    assert found[-1] == [[[0, 255], [0, 0]]]


def test_small_whole_numbers_stay_and_are_noted(tmp_path):
    small = [[[0, 28, 3], [9, 2, 5]]]
    found, notes = read(written(tmp_path / "a.ndjson", [small] * 3))
    assert found == [small] * 3
    assert notes == [
        "drawings of at most 28 of 255 units are read as they are; if that is your whole canvas, "
        "multiply coordinates by 9.11 first"
    ]


def test_dots_say_nothing_about_the_unit_and_are_noted(tmp_path):
    dots = [[[[i], [2 * i]]] for i in range(5)]
    found, notes = read(written(tmp_path / "a.ndjson", dots))
    assert found == dots
    assert notes == [
        "5 of the first 5 drawings are a single point; fractions that were rounded look like this "
        "too"
    ]
    rounded = [[[[0, 0, 0], [1, 1, 1]]]] * 3
    assert "3 of the first 3" in read(written(tmp_path / "b.ndjson", rounded))[1][0]
    few = [*dots, *[[[[0, 255], [0, 9]]]] * 5]
    assert read(written(tmp_path / "c.ndjson", few)) == (few, [])


def test_an_ordinary_file_has_no_notes(tmp_path, real_data):
    for folder in ("quickdraw", "quickdraw-raw"):
        for path in sorted((real_data / folder).glob("*.ndjson.gz"))[::40]:
            reading = sources.read(path)
            assert sum(map(len, reading)) > 0
            assert reading.notes == [], path


def test_notes_come_with_the_first_chunk(tmp_path):
    path = written(tmp_path / "cat.ndjson", [json.dumps(DRAWING)] * 2)
    reading = sources.read(path, chunk=1)
    assert reading.notes == []
    next(reading)
    assert reading.notes == ["drawings are given as JSON text"]


# --- key_ids ---


def test_key_ids_that_are_text_are_hashed(tmp_path):
    keys = ["0f8fad5b-d9cb-469f-a165-70867728950e", "0x1f", "-5", str(2**64), "12e45"]
    path = tmp_path / "cat.ndjson"
    path.write_text(
        "\n".join(json.dumps(CAT | {"key_id": key, "drawing": DRAWING}) for key in keys)
    )
    reading = sources.read(path)
    (part,) = reading
    assert len({*part.key_ids.tolist()}) == len(keys)
    assert reading.notes == ["key_ids that are not numbers of 64 bits are hashed"]
    (again,) = sources.read(path)
    np.testing.assert_array_equal(part.key_ids, again.key_ids)


# --- tables ---


def table(path, rows, names=("countrycode", "drawing", "key_id", "recognized", "word")):
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    return path


@pytest.mark.parametrize("name", ["train.csv", "train.csv.gz"])
def test_kaggles_table_is_read_as_its_drawings(tmp_path, name):
    rows = [
        ("US", json.dumps(DRAWING), 5000000000000001, True, "bird"),
        ("DE", json.dumps(DRAWING[:1]), 5000000000000002, False, "hot_dog"),
    ]
    reading = sources.read(table(tmp_path / name, rows))
    (part,) = reading
    assert part.categories == ["bird", "hot dog"]
    assert part.key_ids.tolist() == [5000000000000001, 5000000000000002]
    assert part.recognized.tolist() == [1, 0]
    assert part.places.tolist() == [2, 3]
    assert read(tmp_path / name)[0] == [DRAWING, DRAWING[:1]]


def test_a_table_without_words(tmp_path):
    path = table(tmp_path / "owl.csv", [(json.dumps(DRAWING),)], names=("drawing",))
    (part,) = sources.read(path)
    assert part.categories == ["owl"]
    assert part.recognized.tolist() == [-1]


def test_bad_rows_of_a_table(tmp_path):
    good = ("US", json.dumps(DRAWING), "1", "True", "cat")
    rows = [good, ("US", "", "2", "", "cat"), ("US",), (*good[:3], "maybe", "cat")]
    rows += [("US", json.dumps(DRAWING), "5e+15", "", "cat"), good]
    path = table(tmp_path / "cat.csv", rows)
    bad = []
    (part,) = sources.read(path, on_bad=bad.append)
    assert part.places.tolist() == [2, 7]
    assert [(record.place, record.reason[:30]) for record in bad] == [
        (3, "the field 'drawing' is missing"),
        (4, "the row has 1 fields, the firs"),
        (5, "the field 'recognized' is 'may"),
        (6, "key_id is '5e+15', not a whole"),
    ]
    with pytest.raises(DataError, match=r"cat\.csv, line 3: "):
        list(sources.read(path))
    path.write_text("key_id,split\n1,train\n")
    with pytest.raises(DataError, match="no column 'drawing'"):
        list(sources.read(path))


def test_the_columns_of_a_table_are_named_in_any_case_and_once(tmp_path):
    names = ("Drawing", "Key_ID", "WORD")
    path = table(tmp_path / "a.csv", [(json.dumps(DRAWING), "7", "owl")], names)
    (part,) = sources.read(path)
    assert (part.categories, part.key_ids.tolist()) == (["owl"], [7])
    path = table(tmp_path / "b.csv", [(json.dumps(DRAWING), "[]")], ("drawing", "Drawing"))
    with pytest.raises(DataError, match="two columns 'drawing'"):
        list(sources.read(path))


GRID = '"[[[0, 255], [0, 9]]]"'


def taken(path, text, encoding="utf-8"):
    """Words and places of a table's drawings, and places and reasons of its bad rows."""
    path.write_bytes(text.encode(encoding))
    bad = []
    parts = list(sources.read(path, on_bad=bad.append))
    found = [pair for part in parts for pair in zip(part.categories, part.places.tolist())]  # noqa: B905
    return found, [(record.place, record.reason) for record in bad]


def test_a_table_that_is_not_utf_8_is_refused(tmp_path):
    """Decoded with replacements, pâté and pâtè would become one category."""
    text = f"word,drawing\npâté,{GRID}\ncat,{GRID}\npâtè,{GRID}\n"
    found, bad = taken(tmp_path / "a.csv", text, "cp1252")
    assert found == [("cat", 3)]
    assert [place for place, _ in bad] == [2, 4]
    assert all("not UTF-8" in reason and "save the file as UTF-8" in reason for _, reason in bad)
    with pytest.raises(DataError, match=r"a\.csv, line 2: not UTF-8"):
        read(tmp_path / "a.csv")
    with pytest.raises(DataError, match="line 1: not UTF-8"):
        taken(tmp_path / "a.csv", f"mot_clé,drawing\ncat,{GRID}\n", "cp1252")
    assert taken(tmp_path / "a.csv", text, "utf-8-sig")[0] == [("pâté", 2), ("cat", 3), ("pâtè", 4)]


@pytest.mark.parametrize(
    "line, reason",
    [
        (f"cat,{GRID}x", "not CSV: ',' expected after '\"'"),
        ('cat,"[[[0', "not CSV: a quote is opened but not closed"),
        ('"cat,[[[0', "not CSV: a quote is opened but not closed"),
        ('cat,"[[[0\n\nx', "not CSV: a quote is opened but not closed (lines 3 to 5)"),
        (f'"cat,{GRID}', "not CSV: ',' expected after '\"'"),
        (f'cat,"[[[0\n"dog"\n"owl,{GRID}', "not CSV: ',' expected after '\"'"),
        ("cat", "the row has 1 fields, the first line 2"),
        ('cat,"\n",5', "the row has 3 fields, the first line 2 (lines 3 to 4)"),
    ],
)
def test_a_broken_row_costs_no_other(tmp_path, line, reason):
    end = 4 + line.count("\n")
    text = f"word,drawing\ncat,{GRID}\n{line}\ndog,{GRID}\nowl,{GRID}\n"
    found, bad = taken(tmp_path / "a.csv", text)
    assert found == [("cat", 2), ("dog", end), ("owl", end + 1)]
    assert bad[0] == (3, reason)


def test_a_broken_last_row_is_reported(tmp_path):
    found, bad = taken(tmp_path / "a.csv", f'word,drawing\ncat,{GRID}\ndog,"[[[0')
    assert found == [("cat", 2)]
    assert bad == [(3, "not CSV: a quote is opened but not closed")]


def test_a_row_over_several_lines_is_read(tmp_path):
    pretty = json.dumps(DRAWING, indent=1).replace("\n", "\r\n\r\n")
    text = f'note,word,drawing\r\n"two\r\n""lines""",cat,"{pretty}"\r\n,dog,{GRID}\r\n'
    last = text.count("\n")
    assert taken(tmp_path / "a.csv", text) == ([("cat", 2), ("dog", last)], [])
    text = f'drawing\n"{json.dumps([[[1], [2]]], indent=1)}"\n{GRID}'
    assert taken(tmp_path / "a.csv", text) == ([("a", 2), ("a", text.count("\n") + 1)], [])


def test_an_empty_word_among_words_is_a_bad_row(tmp_path):
    text = f"word,drawing\n,{GRID}\ncat,{GRID}\n ,{GRID}\n"
    found, bad = taken(tmp_path / "train.csv", text)
    assert found == [("cat", 3)]
    assert [place for place, _ in bad] == [2, 4]
    text = text.replace("cat", "")
    assert [word for word, _ in taken(tmp_path / "train.csv", text)[0]] == ["train"] * 3


@pytest.mark.parametrize("name", ["label", "Category", "class"])
def test_another_column_for_the_word_is_refused(tmp_path, name):
    """Also where some of its cells are empty: they would get the file's name."""
    text = f"{name},drawing\ncat,{GRID}\n,{GRID}\n"
    found, bad = taken(tmp_path / "train.csv", text)
    assert found == []
    assert [place for place, _ in bad] == [2, 3]
    assert all(f"one called '{name.lower()}': rename it" in reason for _, reason in bad)
    (part,) = sources.read(tmp_path / "train.csv", category="cat")
    assert part.categories == ["cat", "cat"]


@pytest.mark.parametrize("name", ["label", "category", "class"])
def test_another_name_of_the_word_is_refused(tmp_path, name):
    """Taken from the file's name instead, two classes would become one."""
    lines = [json.dumps({name: word, "drawing": DRAWING}) + "\n" for word in ("cat", "dog")]
    path = tmp_path / "train.ndjson"
    path.write_text("".join(lines))
    with pytest.raises(DataError, match=f"no field 'word' but one called '{name}': rename it"):
        list(sources.read(path))
    (part,) = sources.read(path, category="cat")
    assert part.categories == ["cat", "cat"]
    path.write_text(json.dumps({name: 3, "word": "owl", "drawing": DRAWING}))
    (part,) = sources.read(path)
    assert part.categories == ["owl"]


def test_a_file_without_sketches_is_noted(tmp_path):
    (tmp_path / "cat.ndjson").write_text("\n")
    assert read(tmp_path / "cat.ndjson") == ([], ["the file holds no sketch that can be used"])


def test_records_without_a_word_are_noted(tmp_path):
    path = tmp_path / "train.ndjson"
    path.write_text(json.dumps({"key_id": "1", "drawing": DRAWING}))
    assert read(path)[1] == ["records have no word: the file's name makes them 'train'"]
    assert read(path, category="cat")[1] == []


def test_utf_16_is_named(tmp_path):
    (tmp_path / "cat.ndjson").write_text(json.dumps(CAT | {"drawing": DRAWING}), "utf-16")
    with pytest.raises(DataError, match="save it as UTF-8"):
        read(tmp_path / "cat.ndjson")


def test_a_json_file_of_one_record_or_an_array_is_read(tmp_path):
    path = tmp_path / "cat.json"
    for content in (CAT | {"drawing": DRAWING}, [CAT | {"drawing": DRAWING}]):
        path.write_text(json.dumps(content))
        assert read(path)[0] == [DRAWING]


def test_a_long_field_next_to_the_drawing_is_skipped(tmp_path):
    path = written(tmp_path / "cat.ndjson", [DRAWING], image="A" * 15_000_000)
    assert read(path)[0] == [DRAWING]
    path = written(tmp_path / "cat.ndjson", [DRAWING], image="A" * 17_000_000)
    with pytest.raises(DataError, match="longer than 16,777,216 bytes"):
        read(path)


def test_all_categories_are_read_by_their_names(tmp_path):
    lines = [CAT | {"word": name, "drawing": DRAWING} for name in all_categories()]
    (tmp_path / "all.ndjson").write_text("\n".join(map(json.dumps, lines)))
    (part,) = sources.read(tmp_path / "all.ndjson")
    assert part.categories == all_categories()
