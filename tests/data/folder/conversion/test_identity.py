"""The same drawing in several files and forms is used once; no other is lost without a report."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.conversion.shape import digests, fills, near, same
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.shards import Shards
from sketchjax.data.folder.splits import SPLITS
from sketchjax.data.sketch import Sketches, points_of_strokes
from sketchjax.data.sources import key_of_points, write_stroke3
from sketchjax.errors import DataError

THIRDS = {"train": 0.4, "gallery": 0.3, "query": 0.3}


def drawings(count: int, seed: int = 0, low: int = 0, high: int = 256) -> list[list]:
    """Drawings of three strokes, as ndjson has them."""
    rng = np.random.default_rng(seed)
    return [
        [rng.integers(low, high, (2, int(n))).tolist() for n in rng.integers(3, 9, 3)]
        for _ in range(count)
    ]


def moved(drawing: list, by: int) -> list:
    return [[[place + by for place in axis] for axis in stroke] for stroke in drawing]


def ndjson(path: Path, word: str, drawn: list[list], first_key: int | None = None, **more) -> Path:
    """A file of drawings with running key_ids, or with none."""
    path.parent.mkdir(exist_ok=True)
    lines = [
        {"word": word, "drawing": drawing, **more}
        | ({} if first_key is None else {"key_id": str(first_key + number)})
        for number, drawing in enumerate(drawn)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def npz(path: Path, drawn: list[list]) -> Path:
    """The same drawings as sketch-rnn keeps them: no key_ids, and no place on the canvas."""
    points = [points_of_strokes([np.array(stroke).T for stroke in drawing]) for drawing in drawn]
    path.parent.mkdir(exist_ok=True)
    nothing = np.zeros(len(points), np.int64)
    offsets = np.cumsum([0, *map(len, points)])
    names = ["-"] * len(points)
    write_stroke3(path, Sketches(np.concatenate(points), offsets, names, nothing, nothing, nothing))
    return path


def run(sources: list[Path], out: Path, **changes) -> Manifest:
    settings = {"splits": THIRDS, "workers": 1, "progress": False, "shards": 2, **changes}
    return convert(sources, out, **settings)


def shapes(folder: Path, split: str) -> list[tuple]:
    """Each drawing of a split, moved to the top left and scaled: without the project's digests."""
    with Shards(folder, split) as shards:
        records = shards.read(np.arange(len(shards)))
    found = []
    for start, end in zip(records.offsets[:-1], records.offsets[1:], strict=True):
        own = records.points[start:end].astype(float)
        own[:, :2] -= own[:, :2].min(axis=0)
        own[:, :2] = np.rint(own[:, :2] * (255 / max(own[:, :2].max(), 1)))
        found.append(tuple(own.ravel().tolist()))
    return found


def assert_each_once(folder: Path, count: int):
    found = [shape for split in SPLITS for shape in shapes(folder, split)]
    assert len(found) == len(set(found)) == count


# --- one key_id, several drawings ---


def test_key_ids_that_start_over_stop_the_conversion(tmp_path):
    cat = ndjson(tmp_path / "in" / "cat.ndjson", "cat", drawings(20), 0)
    dog = ndjson(tmp_path / "in" / "dog.ndjson", "dog", drawings(20, seed=1), 15)
    with pytest.raises(DataError, match="5 sketches have the key_id of another drawing") as refused:
        run([cat, dog], tmp_path / "out")
    first = "dog.ndjson, line 1: key_id 15 is that of another drawing: cat.ndjson, line 16\n"
    assert first in str(refused.value)
    assert "remove the field" in str(refused.value)
    assert not (tmp_path / "out" / "manifest.json").exists()
    # Without the doubtful category nothing is doubtful.
    assert run([cat, dog], tmp_path / "cats", categories=["cat"]).categories == ["cat"]
    # The remedy: keys from the points.
    ndjson(cat, "cat", drawings(20))
    ndjson(dog, "dog", drawings(20, seed=1))
    assert sum(run([cat, dog], tmp_path / "out").counts.values()) == 40


@pytest.mark.parametrize("word", ["cat", "dog"])
def test_one_key_for_several_drawings_of_a_file(tmp_path, word):
    """As key_ids are that were cut to 32 bits or went through a float."""
    path = ndjson(tmp_path / "in" / "a.ndjson", "cat", drawings(3), 7)
    lines = path.read_text().splitlines()
    lines.append(lines[1].replace('"8"', '"9"').replace("cat", word))
    path.write_text("\n".join(lines))
    where = r"a\.ndjson, line 4: key_id 9 is that of another drawing: a\.ndjson, line 3"
    with pytest.raises(DataError, match=where):
        run([path], tmp_path / "out")


def test_one_key_and_drawing_in_two_categories_stops(tmp_path):
    cat = ndjson(tmp_path / "in" / "cat.ndjson", "cat", drawings(9), 0)
    dog = ndjson(tmp_path / "in" / "dog.ndjson", "dog", drawings(1), 0)
    with pytest.raises(DataError, match=r"dog\.ndjson, line 1: key_id 0 is .* cat\.ndjson, line 1"):
        run([cat, dog], tmp_path / "out")


def test_skipping_keeps_the_first_and_reports_the_rest(tmp_path):
    cat = ndjson(tmp_path / "in" / "cat.ndjson", "cat", drawings(20), 0)
    dog = ndjson(tmp_path / "in" / "dog.ndjson", "dog", drawings(20, seed=1), 0)
    manifest = run([cat, dog], tmp_path / "out", on_bad="skip", splits={"train": 1.0})
    assert manifest.counts_by_category["cat"]["train"] == 20
    assert manifest.bad == {"repeated_key_id": 20}
    assert [line["place"] for line in manifest.bad_listed] == list(range(1, 21))
    assert manifest.bad_listed[3]["file"] == "dog.ndjson"
    assert (
        "key_id 3 is that of another drawing: cat.ndjson, line 4"
        in (manifest.bad_listed[3]["reason"])
    )
    assert list(manifest.dropped) == ["dog"]
    assert manifest.left_out == {}


def test_records_of_binary_files_are_named_as_such(tmp_path):
    paths = [tmp_path / "a.bin", tmp_path / "b.bin"]
    for path, last in zip(paths, (50, 200), strict=True):
        records = [
            struct.pack("<Q2sbIHH6B", key, b"AA", 1, 0, 1, 3, 0, 9, key, 4, 80, 255)
            for key in range(2)
        ]
        path.write_bytes(b"".join(records)[:-1] + bytes([last]))
    with pytest.raises(DataError, match=r"b\.bin, record 1: .* a\.bin, record 1"):
        run(paths, tmp_path / "out")


SQUARE = np.array([[0, 1, 1, 0, 0], [0, 0, 1, 1, 0]])


def squares(count: int, seed: int) -> list[list]:
    """Squares of 50 to 150 units somewhere on the canvas: they differ in place and size only."""
    rng = np.random.default_rng(seed)
    return [
        [(rng.integers(50, 150) * SQUARE + rng.integers(1, 100, (2, 1))).tolist()]
        for _ in range(count)
    ]


def test_place_and_size_tell_drawings_apart(tmp_path):
    """Simple shapes under running key_ids, which start over in a second file."""
    alice = ndjson(tmp_path / "in" / "alice.ndjson", "square", squares(50, 1), 1)
    bob = ndjson(tmp_path / "in" / "bob.ndjson", "square", squares(50, 2), 1)
    with pytest.raises(DataError, match="50 sketches have the key_id of another drawing"):
        run([alice, bob], tmp_path / "out")
    manifest = run([alice, bob], tmp_path / "out", on_bad="skip")
    assert (manifest.bad, manifest.left_out) == ({"repeated_key_id": 50}, {})


def test_place_and_size_tell_drawings_without_key_ids_apart(tmp_path):
    alice = ndjson(tmp_path / "in" / "alice.ndjson", "square", squares(50, 1))
    bob = ndjson(tmp_path / "in" / "bob.ndjson", "square", squares(50, 2))
    manifest = run([alice, bob], tmp_path / "out")
    assert sum(manifest.counts.values()) == 100
    assert (manifest.left_out, manifest.decisions) == ({}, {})
    # Of drawings that come a second time, only they are left out.
    both = ndjson(tmp_path / "in" / "both.ndjson", "square", squares(50, 2) + squares(9, 3), 1)
    manifest = run([alice, bob, both], tmp_path / "two")
    assert sum(manifest.counts.values()) == 109
    assert manifest.left_out == {"same points as another drawing": 50}


def array(path: Path) -> Path:
    """A file of lines as one array, under the name that its lines may have too."""
    lines = path.read_text().splitlines()
    path.write_text(f"[{', '.join(lines)}]")
    return path


@pytest.mark.parametrize("name", ["b.json", "b.ndjson"])
@pytest.mark.parametrize("of_lines", [True, False])
def test_records_of_arrays_are_named_as_such(tmp_path, name, of_lines):
    first = ndjson(tmp_path / "a.ndjson", "cat", drawings(3), 0)
    second = ndjson(tmp_path / name, "cat", drawings(3, seed=1), 2)
    if not of_lines:
        array(second)
    unit, place = ("line", 1) if of_lines else ("record", 0)
    clash = f"{name}, {unit} {place}: key_id 2 is that of another drawing: a.ndjson, line 3\n"
    with pytest.raises(DataError) as refused:
        run([first, second], tmp_path / "out")
    assert clash in str(refused.value)
    third = ndjson(tmp_path / "c.ndjson", "cat", drawings(1, seed=2), 4)
    manifest = run([second, third], tmp_path / "out", on_bad="skip", splits={"train": 1.0})
    (bad,) = manifest.bad_listed
    assert bad["reason"] == f"key_id 4 is that of another drawing: {name}, {unit} {place + 2}"


def test_a_bad_record_of_an_array_is_named_as_such(tmp_path):
    path = array(ndjson(tmp_path / "cat.json", "cat", [[]], 0))
    with pytest.raises(DataError, match=r"cat\.json, record 0: the drawing has no points"):
        run([path], tmp_path / "out", on_bad="skip")


# --- one drawing, several forms ---


def test_raw_drawings_match_those_on_another_place_of_the_square(tmp_path):
    """Raw ones, with times, are moved and scaled; those within 0 to 255 are read as they are."""
    drawn = squares(20, 1)
    raw = [[[*(np.array(stroke) * 3.5 + 40).tolist(), [0, 1, 2, 3, 4]] for stroke in drawing]
           for drawing in drawn]  # fmt: skip
    manifest = run(
        [ndjson(tmp_path / "in" / "plain.ndjson", "square", drawn, 1),
         ndjson(tmp_path / "in" / "raw.ndjson", "square", raw, 1)],
        tmp_path / "out",
    )  # fmt: skip
    assert sum(manifest.counts.values()) == 20
    assert manifest.left_out == {"duplicate key_id": 20}


@pytest.mark.parametrize("change", ["none", "moved", "small", "unkeyed", "unkeyed and moved"])
def test_forms_with_and_without_key_ids_are_matched(tmp_path, change):
    high = 128 if change == "small" else 230
    drawn = drawings(40, low=10, high=high)
    keyed = None if change.startswith("unkeyed") else 1000
    shown = [moved(drawing, 20 if "moved" in change else 0) for drawing in drawn]
    cat = ndjson(tmp_path / "in" / "cat.ndjson", "cat", shown, keyed)
    other = npz(tmp_path / "in" / "cat.npz", drawn)
    manifest = run([cat, other], tmp_path / "out")
    assert_each_once(tmp_path / "out", 40)
    assert manifest.left_out == {"same points as another drawing": 40}
    if keyed is None:
        return
    keys = {key for split in SPLITS for key in keys_of(tmp_path / "out", split)}
    assert keys == set(range(1000, 1040))
    (text,) = manifest.decisions["cat.npz"]
    assert text.startswith("cat has key_ids in cat.ndjson but not here: 40 of 40 drawings")
    # The splits are those of the keyed form.
    run([cat], tmp_path / "keyed")
    for split in SPLITS:
        assert keys_of(tmp_path / "keyed", split) == keys_of(tmp_path / "out", split)


def keys_of(folder: Path, split: str) -> list[int]:
    with Shards(folder, split) as shards:
        return shards.read(np.arange(len(shards))).key_ids.tolist()


def test_new_drawings_of_another_form_are_kept_and_noted(tmp_path):
    cat = ndjson(tmp_path / "in" / "cat.ndjson", "cat", drawings(30), 1000)
    other = npz(tmp_path / "in" / "cat.npz", [*drawings(10), *drawings(15, seed=5)])
    manifest = run([cat, other], tmp_path / "out")
    assert_each_once(tmp_path / "out", 45)
    (text,) = manifest.decisions["cat.npz"]
    assert "10 of 25 drawings have the points of another one and are left out; if" in text
    assert Manifest.load(tmp_path / "out").decisions == manifest.decisions


def test_nothing_is_noted_where_the_forms_do_not_meet(tmp_path):
    cat = ndjson(tmp_path / "in" / "cat.ndjson", "cat", drawings(30), 1000)
    dog = npz(tmp_path / "in" / "dog.npz", drawings(30, seed=5))
    assert run([cat, dog], tmp_path / "out").decisions == {}


def test_raw_and_simplified_drawings_are_one(real_data, tmp_path):
    """Google's simplification and ours differ by a pixel in one of twenty drawings."""
    paths = [real_data / f / "cat.ndjson.gz" for f in ("quickdraw", "quickdraw-raw")]
    if not paths[1].exists():
        names = sorted(path.name for path in (real_data / "quickdraw-raw").glob("*.gz"))
        paths = [real_data / f / n for n in names for f in ("quickdraw", "quickdraw-raw")]
    manifest = run(paths, tmp_path / "out", splits={"train": 1.0})
    assert manifest.bad == {}
    assert manifest.left_out["duplicate key_id"] > 1_000
    single = run([p for p in paths if p.parent.name == "quickdraw"], tmp_path / "one",
                 splits={"train": 1.0})  # fmt: skip
    assert 0 <= manifest.counts["train"] - single.counts["train"] < 5


def test_the_same_drawings_under_other_key_ids_are_noted(tmp_path):
    first = ndjson(tmp_path / "in" / "a.ndjson", "cat", drawings(30), 1000)
    second = ndjson(tmp_path / "in" / "b.ndjson", "cat", drawings(40), 0)
    manifest = run([first, second], tmp_path / "out")
    assert sum(manifest.counts.values()) == 70
    (text,) = manifest.decisions["b.ndjson"]
    assert text.startswith("30 of 40 drawings have the points of drawings in a.ndjson and are")


# --- categories that lose all their sketches ---


def test_a_category_of_repeats_stops_or_is_dropped(tmp_path):
    cat = npz(tmp_path / "in" / "cat.npz", drawings(30))
    other = npz(tmp_path / "in" / "katze.npz", drawings(30))
    with pytest.raises(DataError, match=r"1 of 2 categories.*\n.*katze: all of its sketches have"):
        run([cat, other], tmp_path / "out")
    manifest = run([cat, other], tmp_path / "out", on_bad="skip")
    assert list(manifest.dropped) == ["katze"]
    assert manifest.left_out == {"same points in another category": 30}


def test_the_same_drawings_in_another_category_are_noted(tmp_path):
    cat = ndjson(tmp_path / "in" / "cat.ndjson", "cat", drawings(30), 1000)
    other = npz(tmp_path / "in" / "katze.npz", drawings(20))
    manifest = run([cat, other], tmp_path / "out")
    assert sum(manifest.counts.values()) == 50
    (text,) = manifest.decisions["katze.npz"]
    assert text.startswith("20 of 20 drawings have the points of drawings in cat.ndjson and are")


def test_small_drawings_of_one_file_stay_apart(tmp_path):
    """Dots and lines, which differ only in place and size."""
    drawn = [[[[i], [i]]] for i in range(20)] + [[[[0, i], [0, 0]]] for i in range(1, 20)]
    path = ndjson(tmp_path / "in" / "cat.ndjson", "cat", drawn)
    manifest = run([path], tmp_path / "out", splits={"train": 1.0})
    assert (manifest.counts["train"], manifest.left_out) == (39, {})
    assert manifest.decisions == {
        "cat.ndjson": [
            "drawings of at most 19 of 255 units are read as they are; if that is your whole "
            "canvas, multiply coordinates by 13.4 first",
            "20 of the first 39 drawings are a single point; fractions that were rounded look like "
            "this too",
        ]
    }


def test_a_line_in_two_categories_stops_nothing(tmp_path):
    line = [[[0, 255], [0, 0]]]
    paths = [npz(tmp_path / "in" / f"{n}.npz", [*drawings(9, seed=i), line])
             for i, n in enumerate(("bat", "line"))]  # fmt: skip
    manifest = run(paths, tmp_path / "out", splits={"train": 1.0})
    assert manifest.counts_by_category["bat"]["train"] == 10
    assert manifest.counts_by_category["line"]["train"] == 9
    assert manifest.left_out == {"same points in another category": 1}


def test_a_category_without_recognized_sketches_is_reported(tmp_path):
    cat = ndjson(tmp_path / "in" / "cat.ndjson", "cat", drawings(9), 0, recognized=True)
    dog = ndjson(tmp_path / "in" / "dog.ndjson", "dog", drawings(9, seed=1), 50, recognized=False)
    manifest = run([cat, dog], tmp_path / "out", recognized_only=True, splits={"train": 1.0})
    assert manifest.dropped == {"dog": "none of its sketches is known to be recognized"}
    with pytest.raises(DataError, match="dog: none of its sketches is known to be recognized"):
        run([cat, dog], tmp_path / "asked", recognized_only=True, categories=["cat", "dog"])


def test_a_category_without_a_split_is_reported(tmp_path):
    cat = ndjson(tmp_path / "in" / "cat.ndjson", "cat", drawings(200), 1000)
    dog = ndjson(tmp_path / "in" / "dog.ndjson", "dog", drawings(2, seed=1), 0)
    with pytest.raises(DataError, match="dog: none of its sketches fall into a split"):
        run([cat, dog], tmp_path / "out", splits={"query": 0.05})
    rows = ["key_id,split", *(f"{1000 + i},{'train' if i % 2 else 'query'}" for i in range(200))]
    (tmp_path / "splits.csv").write_text("\n".join(rows))
    manifest = run([cat, dog], tmp_path / "out", splits=tmp_path / "splits.csv")
    assert manifest.categories == ["cat"]
    with pytest.raises(DataError, match="dog: the split file names none of its sketches"):
        run([cat, dog], tmp_path / "asked", splits=tmp_path / "splits.csv",
            categories=["cat", "dog"])  # fmt: skip


# --- shapes ---

POINTS = st.lists(
    st.tuples(st.integers(0, 100), st.integers(0, 100), st.integers(0, 1)), min_size=1, max_size=12
)


def digest_of(points: np.ndarray) -> int:
    return int(digests(np.ascontiguousarray(points, np.uint8), np.array([0, len(points)]))[0])


@given(POINTS, st.integers(0, 50), st.integers(0, 50))
@settings(deadline=None)  # the first call compiles
def test_moving_and_doubling_change_no_digest(rows, right, down):
    points = np.array(rows)
    same = points + np.array([right, down, 0])
    assert digest_of(points) == digest_of(same)
    assert digest_of(points) == digest_of(points * [2, 2, 1])
    assert near(points.astype(np.uint8), same.astype(np.uint8))


@given(POINTS, POINTS)
@settings(deadline=None)
def test_other_points_have_another_digest(one, other):
    def shape(rows):
        points = np.array(rows, float)
        points[:, :2] -= points[:, :2].min(axis=0)
        points[:, :2] = np.rint(points[:, :2] * (255 / (points[:, :2].max() or 255)))
        return points.tolist()

    assert (digest_of(np.array(one)) == digest_of(np.array(other))) == (shape(one) == shape(other))


def test_digests_of_many_are_those_of_each():
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 256, (n, 3)).astype(np.uint8) for n in (4, 0, 1, 30)]
    offsets = np.cumsum([0, *map(len, parts)])
    found = digests(np.concatenate(parts), offsets)
    assert [digest_of(part) for part in parts] == found.tolist()


def test_near_is_the_distance_of_the_strokes():
    """A square and points along it are one drawing; a corner cut off by 5 makes another."""
    square = np.array([[0, 0, 0], [255, 0, 0], [255, 255, 0], [0, 255, 0], [0, 0, 1]], np.uint8)
    fine = [[x, 0, 0] for x in range(0, 255, 5)] + [[255, y, 0] for y in range(0, 255, 5)]
    fine = np.array([*fine, [255, 255, 0], [0, 255, 0], [0, 0, 1]], np.uint8)
    assert near(square, fine)
    for cut, alike in ((5, True), (9, False)):
        corner = [[255 - cut, 255, 0], [0, 255, 0], [0, 0, 1]]
        cut_off = np.array([[0, 0, 0], [255, 0, 0], [255, 255 - cut, 0], *corner], np.uint8)
        # The corner is cut / sqrt(2) away from the cut.
        assert near(square, cut_off) == alike
    dotted = np.array([*square.tolist(), [128, 128, 1]], np.uint8)
    assert not near(square, dotted)
    assert not near(dotted, square)


@given(POINTS, st.integers(10, 50), st.integers(10, 50))
@settings(deadline=None)
def test_only_a_scaled_drawing_has_no_place(rows, right, down):
    points = np.array(rows, np.uint8)
    there = points + np.array([right, down, 0], np.uint8)
    assert same(points, points)
    place = points[:, :2].min(axis=0)
    side = (points[:, :2].max(axis=0) - place).max()
    if not side:
        return
    scaled = points.astype(float)
    scaled[:, :2] = np.rint((scaled[:, :2] - place) * (255 / side))
    assert fills(scaled.astype(np.uint8))
    assert not fills(there)
    assert not same(there, there + np.array([60, 0, 0], np.uint8))
    if side > 50:  # where rounding moves nothing far
        assert same(there, scaled.astype(np.uint8))


def test_a_place_at_the_corner_may_be_any_other():
    corner, one, other = (np.array([[x, x, 1]], np.uint8) for x in (0, 20, 90))
    assert same(corner, one)
    assert same(other, corner)
    assert not same(one, other)
    assert same(one, one + np.array([[3, 0, 0]], np.uint8))


def test_keys_without_key_ids_come_from_the_points(tmp_path):
    (drawing,) = drawings(1)
    run([ndjson(tmp_path / "in" / "cat.ndjson", "cat", [drawing])], tmp_path / "out",
        splits={"train": 1.0})  # fmt: skip
    points = points_of_strokes([np.array(stroke).T for stroke in drawing])
    assert keys_of(tmp_path / "out", "train") == [key_of_points(points)]
