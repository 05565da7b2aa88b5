"""Readers and writers of sketch files. Oracles: json and struct by hand, numpy's own loader."""

import gzip
import io
import json
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sketchjax.data import sources as formats
from sketchjax.data.sketch import Sketches, strokes
from sketchjax.data.sources.stream import LONGEST_LINE
from sketchjax.errors import DataError, DiskError

CAT = {"word": "cat", "key_id": "5201136883597312", "recognized": True}
GOOD = CAT | {"drawing": [[[0, 10, 255], [5, 6, 7]], [[9], [200]]]}
quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def drawing_of(sketches, index):
    """A sketch as QuickDraw writes it, by a loop over single points."""
    drawing = [[[], []]]
    for x, y, end in sketches.points_of(index).tolist():
        drawing[-1][0].append(x)
        drawing[-1][1].append(y)
        if end:
            drawing.append([[], []])
    assert drawing.pop() == [[], []], "the last point does not end its stroke"
    return drawing


def lines_of(*records):
    return b"".join(
        (record if isinstance(record, bytes) else json.dumps(record).encode()) + b"\n"
        for record in records
    )


def read_all(path, **options):
    """Every sketch as (category, key_id, recognized, place, drawing), and the bad records."""
    bad, found = [], []
    for part in formats.read(path, on_bad=bad.append, **options):
        assert len(part) > 0
        assert part.points.dtype == np.uint8
        assert part.key_ids.dtype == np.uint64
        assert part.offsets.dtype == np.int64
        assert part.offsets[-1] == len(part.points)
        for i in range(len(part)):
            fields = (int(part.key_ids[i]), int(part.recognized[i]), int(part.places[i]))
            found.append((part.categories[i], *fields, drawing_of(part, i)))
    return found, bad


def encoded(key_id, recognized, drawing):
    """One record of QuickDraw's .bin, after Google's description of it."""
    data = struct.pack("<Q2sbIH", key_id, b"US", recognized, 1488366345, len(drawing))
    for x, y in drawing:
        data += struct.pack(f"<H{len(x)}B{len(y)}B", len(x), *x, *y)
    return data


coordinates = st.lists(
    st.tuples(st.integers(0, 255), st.integers(0, 255)), min_size=1, max_size=6
).map(lambda pairs: [list(axis) for axis in zip(*pairs, strict=True)])
drawings = st.lists(coordinates, min_size=1, max_size=4)
words = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"]),
    min_size=1,
    max_size=8,
).filter(str.strip)
sketch_lists = st.lists(
    st.tuples(words, st.integers(0, 2**64 - 1), st.sampled_from([None, True, False]), drawings),
    min_size=1,
    max_size=8,
)


def batch(items):
    """A `Sketches` of (word, key_id, recognized, drawing), built point by point."""
    points, offsets = [], [0]
    for *_, drawing in items:
        for x, y in drawing:
            points += [[*pair, int(i == len(x) - 1)] for i, pair in enumerate(zip(x, y))]  # noqa: B905
        offsets.append(len(points))
    flags = [-1 if flag is None else int(flag) for _, _, flag, _ in items]
    return Sketches(
        np.array(points, np.uint8).reshape(-1, 3),
        np.array(offsets, np.int64),
        [word for word, *_ in items],
        np.array([key for _, key, *_ in items], np.uint64),
        np.array(flags, np.int8),
        np.arange(len(items)),
    )


@quick
@given(items=sketch_lists, chunk=st.integers(1, 9), suffix=st.sampled_from(["", ".gz"]))
def test_ndjson_comes_back_as_it_was_written(tmp_path, items, chunk, suffix):
    path = tmp_path / f"any.ndjson{suffix}"
    formats.write_ndjson(path, batch(items))
    found, bad = read_all(path, chunk=chunk)
    flags = {None: -1, True: 1, False: 0}
    assert not bad
    assert found == [
        (formats.canonical(word), key, flags[flag], place, drawing)
        for place, (word, key, flag, drawing) in enumerate(items, 1)
    ]
    text = gzip.decompress(path.read_bytes()) if suffix else path.read_bytes()
    assert [json.loads(line)["drawing"] for line in text.splitlines()] == [x[3] for x in items]


def test_written_bytes_do_not_depend_on_name_or_time(tmp_path):
    sketches = batch([("cat", 1, None, [[[1], [2]]])])
    for name in ("a.ndjson.gz", "b.ndjson.gz"):
        formats.write_ndjson(tmp_path / name, sketches)
    first = (tmp_path / "a.ndjson.gz").read_bytes()
    assert first == (tmp_path / "b.ndjson.gz").read_bytes()
    assert first[4:8] == bytes(4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ndjson.gz", "b.ndjson.gz"]


def test_a_failed_write_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "cat.ndjson"
    formats.write_ndjson(path, batch([("cat", 1, None, [[[1], [2]]])]))
    before = path.read_bytes()
    broken = batch([("cat", 1, None, [[[1], [2]]]), ("cat", 2, None, [[[1], [2]]])])
    broken.categories.pop()
    with pytest.raises(IndexError):
        formats.write_ndjson(path, broken)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_real_drawings_are_read_as_json_gives_them(real_data):
    path = real_data / "quickdraw" / "airplane.ndjson.gz"
    expected = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    found, bad = read_all(path, chunk=100)
    assert not bad
    assert len(expected) > 100
    assert [(w, str(k), d) for w, k, _, _, d in found] == [
        (record["word"], record["key_id"], record["drawing"]) for record in expected
    ]


BAD_LINES = {
    "not JSON": (b"{oops", "unreadable", "not JSON"),
    "cut short": (json.dumps(GOOD).encode()[:60], "unreadable", "not JSON"),
    "a list": (b"[1, 2]", "unreadable", "not a JSON object"),
    "not UTF-8": (b'{"word": "\xff", "drawing": [[[1], [2]]]}', "unreadable", "not JSON"),
    "too deep": (b'{"drawing":' + b"[" * 100_000, "unreadable", "not JSON"),
    "no drawing": (CAT, "unreadable", "'drawing'"),
    "a drawing of text": (CAT | {"drawing": "[[0],[0]]"}, "unreadable", "stroke 1"),
    "a drawing of other text": (CAT | {"drawing": "M0 0L9 9"}, "unreadable", "list of strokes"),
    "a stroke of one list": (CAT | {"drawing": [[[1, 2]]]}, "unreadable", "stroke 1"),
    "numbers for lists": (CAT | {"drawing": [[5, 5]]}, "unreadable", "stroke 1"),
    "text for a number": (CAT | {"drawing": [[[1], ["2"]]]}, "unreadable", "'2'"),
    "true for a number": (
        {"word": "cat", "key_id": "1", "drawing": [[[True], [2]]]},
        "unreadable",
        "True",
    ),
    "word is a number": (GOOD | {"word": 7}, "unreadable", "'word'"),
    "word is empty": (GOOD | {"word": ""}, "unreadable", "'word'"),
    "word is blank": (GOOD | {"word": " "}, "unreadable", "'word'"),
    "word of two lines": (GOOD | {"word": "cat\ndog"}, "unreadable", "control character"),
    "word with a NUL": (GOOD | {"word": "cat\0"}, "unreadable", "control character"),
    "word with a lost letter": (GOOD | {"word": "p\ufffdt\ufffd"}, "unreadable", "lost"),
    "word is null": (GOOD | {"word": None}, "unreadable", "other records have one"),
    "no word": ({"drawing": GOOD["drawing"]}, "unreadable", "other records have one"),
    "word turns the line": (GOOD | {"word": "cat\u202e"}, "unreadable", "control character"),
    "word of 10 kB": (GOOD | {"word": "cat" * 3_333}, "unreadable", "9,999 characters"),
    "recognized is text": (GOOD | {"recognized": "yes"}, "unreadable", "'recognized'"),
    "key_id is a float": (GOOD | {"key_id": 5.2e15}, "unreadable", "lost digits"),
    "key_id was a float": (GOOD | {"key_id": "5201136883597312.0"}, "unreadable", "lost digits"),
    "key_id is signed": (GOOD | {"key_id": -5}, "unreadable", "key_id"),
    "key_id is too large": (GOOD | {"key_id": 2**64}, "unreadable", "64 bits"),
    "word of nothing to see": (GOOD | {"word": "\u200b"}, "unreadable", "is empty"),
    "no strokes": (CAT | {"drawing": []}, "empty", "no points"),
    "strokes without points": (CAT | {"drawing": [[[], []]]}, "empty", "no points"),
    "unequal": (CAT | {"drawing": [[[1], [2]], [[1, 2], [3]]]}, "unequal", "2 x and 1 y"),
    "unequal times": (CAT | {"drawing": [[[1, 2], [3, 4], [0]]]}, "unequal", "1 t"),
    "256": (CAT | {"drawing": [[[256], [3]]]}, "range", "256"),
    "negative": (CAT | {"drawing": [[[1], [-1]]]}, "range", "-1"),
    "NaN": (b'{"word":"cat","drawing":[[[NaN],[1]]]}', "not_finite", "NaN"),
    "-Infinity": (b'{"word":"cat","drawing":[[[-Infinity],[1]]]}', "not_finite", "infinite"),
    "1e999": (b'{"word":"cat","drawing":[[[1e999],[1]]]}', "not_finite", "finite"),
    "many points": (CAT | {"drawing": [[[1] * 65_536, [1] * 65_536]]}, "too_large", "65,535"),
    "a raw stroke of miles": (
        CAT | {"drawing": [[[0, 1] * 400, [0] * 800, list(range(800))]]},
        "range",
        "longer",
    ),
}


@pytest.mark.parametrize("line, kind, reason", BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_stops_reading_or_is_reported(tmp_path, line, kind, reason):
    path = tmp_path / "cat.ndjson"
    path.write_bytes(lines_of(GOOD, b"", line, GOOD))
    found, bad = read_all(path)
    assert [place for _, _, _, place, _ in found] == [1, 4]
    assert [(item.path, item.place, item.kind) for item in bad] == [(path, 3, kind)]
    assert reason in bad[0].reason
    assert len(bad[0].reason) < 200
    assert kind in formats.KINDS
    with pytest.raises(DataError, match=r"cat\.ndjson, line 3: ") as caught:
        list(formats.read(path))
    assert reason in str(caught.value)


def test_unusual_lines_that_are_good(tmp_path):
    path = tmp_path / "owl.ndjson"
    plain = [[[1, 2], [3, 4]]]
    path.write_bytes(
        b"\xef\xbb\xbf"
        + lines_of(
            {"word": "owl", "key_id": "7", "drawing": [[[5], [6]]]},
            {"word": "owl", "key_id": 18446744073709551615, "drawing": plain},
            {"word": "owl", "key_id": "9", "drawing": plain, "recognized": None},
            {"word": "true owl", "key_id": "10", "drawing": plain, "recognized": False},
            {"word": "owl", "key_id": "11", "drawing": [[[], []], [[1.0, 2], [3, 4]]]},
        ).replace(b"\n", b"\r\n")
        + b" \n"
        + json.dumps({"word": "owl", "key_id": "12", "drawing": plain}).encode()
    )
    found, bad = read_all(path)
    assert not bad
    assert found == [
        ("owl", 7, -1, 1, [[[5], [6]]]),
        ("owl", 2**64 - 1, -1, 2, plain),
        ("owl", 9, -1, 3, plain),
        ("true owl", 10, 0, 4, plain),
        ("owl", 11, -1, 5, plain),
        ("owl", 12, -1, 7, plain),
    ]
    assert {name for name, *_ in read_all(path, category="bird")[0]} == {"bird"}


def test_a_key_id_is_derived_from_the_strokes_alone(tmp_path):
    no_key = {"word": "cat", "drawing": GOOD["drawing"]}
    other = {"word": "dog", "drawing": [[[0, 10, 255], [5, 6, 7]], [[9], [201]]]}
    recut = {"word": "cat", "drawing": [[[0, 10], [5, 6]], [[255, 9], [7, 200]]]}
    keys = []
    for name, records in (("a", [no_key, other]), ("b", [recut, GOOD, no_key])):
        path = tmp_path / f"{name}.ndjson"
        path.write_bytes(lines_of(*records))
        keys.append([key for _, key, *_ in read_all(path)[0]])
    assert keys[0][0] == keys[1][2]
    assert len({*keys[0], *keys[1]}) == 4


def test_longest_drawing_and_line(tmp_path):
    path = tmp_path / "cat.ndjson"
    long = CAT | {"drawing": [[[255] * 65_535, [255] * 65_535]]}
    path.write_bytes(lines_of(GOOD, b"x" * (17 << 20), long, GOOD))
    found, bad = read_all(path)
    assert [item[3] for item in found] == [1, 3, 4]
    assert found[1][4] == long["drawing"]
    assert [(item.place, item.kind) for item in bad] == [(2, "too_large")]


def test_memory_stays_bounded_on_a_gzip_bomb(tmp_path):
    import tracemalloc

    path = tmp_path / "cat.ndjson.gz"
    path.write_bytes(gzip.compress(lines_of(GOOD) + b" " * (200 << 20) + b"\n" + lines_of(GOOD)))
    tracemalloc.start()
    found, bad = read_all(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [item[3] for item in found] == [1]
    assert {item.kind for item in bad} == {"too_large"}
    assert "swells" in bad[-1].reason
    assert peak < LONGEST_LINE + (4 << 20)


@pytest.mark.parametrize("suffix", [".ndjson.gz", ".bin.gz"])
def test_a_cut_gzip_gives_what_precedes_the_cut(tmp_path, suffix):
    rng = np.random.default_rng(0)
    records = [(key, [[rng.integers(0, 256, 40).tolist() for _ in "xy"]]) for key in range(1, 2001)]
    if suffix == ".bin.gz":
        data = b"".join(encoded(key, 1, drawing) for key, drawing in records)
    else:
        data = lines_of(*(CAT | {"key_id": str(key), "drawing": d} for key, d in records))
    path = tmp_path / f"cat{suffix}"
    whole = gzip.compress(data)
    path.write_bytes(whole[: len(whole) * 2 // 3])
    found, bad = read_all(path)
    assert [item.kind for item in bad] == ["truncated"]
    assert 1000 < len(found) < 1500
    assert [(key, drawing) for _, key, _, _, drawing in found] == records[: len(found)]
    with pytest.raises(DataError, match="cut short"):
        list(formats.read(path))
    path.write_bytes(whole[:5000] + b"\x00\xff" * 200 + whole[5400:])
    assert read_all(path)[1][-1].kind in ("unreadable", "truncated")


def test_raw_drawings_are_simplified(real_data):
    raw, bad = read_all(real_data / "quickdraw-raw" / "potato.ndjson.gz")
    plain = {
        key: drawing
        for _, key, _, _, drawing in read_all(real_data / "quickdraw" / "potato.ndjson.gz")[0]
    }
    assert not bad
    assert len(raw) == 33
    same = [drawing == plain[key] for _, key, _, _, drawing in raw if key in plain]
    assert np.mean(same) > 0.85


def test_a_drawing_with_fractions_is_raw(tmp_path):
    path = tmp_path / "line.ndjson"
    path.write_bytes(lines_of({"key_id": "1", "drawing": [[[100.5, 610.5], [300, 300]]]}))
    assert read_all(path)[0] == [("line", 1, -1, 1, [[[0, 255], [0, 0]]])]


# --- .bin ---


@quick
@given(items=sketch_lists, chunk=st.integers(1, 9), suffix=st.sampled_from(["", ".gz"]))
def test_bin_is_read_as_described(tmp_path, items, chunk, suffix):
    data = b"".join(encoded(key, bool(flag), drawing) for _, key, flag, drawing in items)
    path = tmp_path / f"hot dog.bin{suffix}"
    path.write_bytes(gzip.compress(data) if suffix else data)
    found, bad = read_all(path, chunk=chunk)
    assert not bad
    assert found == [
        ("hot dog", key, int(bool(flag)), place, drawing)
        for place, (_, key, flag, drawing) in enumerate(items)
    ]


def test_bin_records_may_lie_across_blocks(tmp_path):
    rng = np.random.default_rng(1)
    records = []
    for key in range(900):
        sizes = rng.integers(1, 400, 3)
        records.append((key, [[rng.integers(0, 256, n).tolist() for _ in "xy"] for n in sizes]))
    path = tmp_path / "cat.bin"
    path.write_bytes(b"".join(encoded(key, 0, drawing) for key, drawing in records))
    assert path.stat().st_size > 3 << 18
    assert [(key, drawing) for _, key, _, _, drawing in read_all(path)[0]] == records


def test_a_bin_record_of_several_blocks(tmp_path):
    rng = np.random.default_rng(2)
    records = [(key, [[rng.integers(0, 256, 65_535).tolist() for _ in "xy"]]) for key in range(3)]
    path = tmp_path / "cat.bin.gz"  # gzip hands out some 8 KB at a time of what it cannot shrink
    path.write_bytes(gzip.compress(b"".join(encoded(key, 0, d) for key, d in records)))
    found, bad = read_all(path)
    assert not bad
    assert [(key, drawing) for _, key, _, _, drawing in found] == records


def test_bad_bin_records(tmp_path):
    path = tmp_path / "cat.bin"
    good, empty = encoded(5, 1, [[[1], [2]]]), encoded(6, 1, [])
    path.write_bytes(good + empty + good + good[:-1])
    found, bad = read_all(path)
    assert [item[3] for item in found] == [0, 2]
    assert [(item.place, item.kind) for item in bad] == [(1, "empty"), (3, "truncated")]
    with pytest.raises(DataError, match=r"cat\.bin, record 1: the drawing has no points"):
        list(formats.read(path))
    path.write_bytes(good + encoded(5, 100, [[[1], [2]]]) + good)
    found, bad = read_all(path)
    assert [item[3] for item in found] == [0]
    assert [(item.place, item.kind) for item in bad] == [(1, "unreadable")]
    path.write_bytes(good + encoded(5, 1, [[[1] * 65_535] * 2] * 3) + good)
    assert [item.kind for item in read_all(path)[1]] == ["too_large"]


# --- stroke-3 ---


def aligned(drawing):
    """A drawing moved to the top left."""
    low = [min(min(stroke[axis]) for stroke in drawing) for axis in (0, 1)]
    return [[[v - low[axis] for v in stroke[axis]] for axis in (0, 1)] for stroke in drawing]


@quick
@given(items=sketch_lists, chunk=st.integers(1, 9))
def test_stroke3_comes_back_aligned(tmp_path, items, chunk):
    path = tmp_path / "sketchrnn_cat.full.npz"
    formats.write_stroke3(path, batch(items[:3]), batch(items[3:5]), batch(items[5:]))
    found, bad = read_all(path, chunk=chunk)
    assert not bad
    assert [item[4] for item in found] == [aligned(item[3]) for item in items]
    assert [(item[0], item[2], item[3]) for item in found] == [
        ("cat", -1, place) for place in range(len(items))
    ]
    arrays = np.load(path, allow_pickle=True)
    ends = [[len(x) for x, _ in drawing] for *_, drawing in items[:3]]
    for rows, lengths in zip(arrays["train"], ends, strict=True):
        assert np.flatnonzero(rows[:, 2]).tolist() == (np.cumsum(lengths) - 1).tolist()


def test_stroke3_is_written_without_the_time(tmp_path):
    sketches = batch([("cat", 1, None, [[[1, 2], [2, 9]]])])
    formats.write_stroke3(tmp_path / "a.npz", sketches)
    formats.write_stroke3(tmp_path / "b.npz", sketches)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_real_sketch_rnn_file(real_data):
    path = real_data / "other" / "aaron_sheep.npz"
    parts = np.load(path, allow_pickle=True, encoding="latin1")
    expected = [rows.astype(int) for part in ("train", "valid", "test") for rows in parts[part]]
    found, bad = read_all(path)
    assert not bad
    assert len(found) == len(expected) == 8000
    assert {item[0] for item in found} == {"aaron_sheep"}
    # Sheep alike to the last point are few, so nearly every derived key is its own.
    assert len({item[1] for item in found}) > 7900
    for (*_, drawing), rows in list(zip(found, expected, strict=True))[::97]:
        path_xy = np.vstack([[0, 0], np.cumsum(rows[:, :2], axis=0)])
        path_xy = path_xy - path_xy.min(axis=0)
        scale = 255 / path_xy.max()
        read = np.concatenate([np.array(stroke).T for stroke in drawing])
        np.testing.assert_allclose(read, path_xy * scale, atol=0.5 + 1e-9)
        assert len(drawing) == rows[:, 2].sum()


def save_arrays(path, *arrays, **options):
    array = np.empty(len(arrays), object)
    array[:] = arrays
    np.savez(path, train=array, allow_pickle=True, **options)


def test_first_offsets_from_the_corner(tmp_path):
    path = tmp_path / "cat.npz"
    first, second = [[40, 30, 0], [5, -30, 1]], [[7, 0, 0], [-7, 9, 0]]
    save_arrays(path, np.array(first, np.int16), np.array(second, np.int16))
    assert [item[4] for item in read_all(path)[0]] == [
        [[[0, 42], [255, 0]]],
        [[[198, 0], [0, 255]]],
    ]
    save_arrays(path, np.array(first, np.int16), np.array([[-7, 0, 0]], np.float32))
    assert [item[4] for item in read_all(path)[0]] == [
        [[[0, 227, 255], [0, 170, 0]]],
        [[[255, 0], [0, 0]]],
    ]


def test_bad_sketches_in_npz(tmp_path):
    path = tmp_path / "cat.npz"
    good = np.array([[0, 0, 0], [3, -4, 1]], np.float32)
    nan, huge, pen = good.copy(), good.astype(float), good.copy()
    nan[1, 0], huge[1, 0], pen[0, 2] = np.nan, 1e308, 2
    huge[0, 0] = 1e308
    save_arrays(path, good, nan, huge, pen, good[:0], good[:, :2], good)
    found, bad = read_all(path)
    assert [item[3] for item in found] == [0, 6]
    assert [(item.place, item.kind) for item in bad] == [
        (1, "not_finite"),
        (2, "range"),
        (3, "unreadable"),
        (4, "empty"),
        (5, "unreadable"),
    ]
    data = path.read_bytes()
    path.write_bytes(data[:-30])
    assert [item.kind for item in read_all(path)[1]] == ["truncated"]
    with pytest.raises(DataError, match="cut short"):
        list(formats.read(path))


def parts_of(*parts):
    """Arrays of a sketch each, as numpy stores them."""
    arrays = []
    for part in parts:
        arrays.append(np.empty(len(part), object))
        arrays[-1][:] = part
    return dict(zip(("train", "valid", "test"), arrays, strict=True))


@pytest.mark.parametrize("stray", [None, 7, np.array(["a"]), np.array([None]), [1, 2]])
def test_what_is_no_array_is_one_bad_sketch(tmp_path, stray):
    path = tmp_path / "cat.npz"
    rows = np.array([[0, 0, 0], [3, -4, 1]], np.float32)
    np.savez(path, allow_pickle=True, **parts_of([rows], [rows, stray, rows], [rows]))
    found, bad = read_all(path)
    assert [item[3] for item in found] == [0, 1, 3, 4]
    assert [(item.place, item.kind, item.reason) for item in bad] == [
        (2, "unreadable", "the sketch is not an array of numbers")
    ]
    with pytest.raises(DataError, match=r"cat\.npz, record 2: the sketch is not an array"):
        list(formats.read(path))


def test_an_unreadable_array_costs_no_other(tmp_path):
    path = tmp_path / "cat.npz"
    rows = np.array([[0, 0, 0], [3, -4, 1]], np.float32)
    np.savez(path, allow_pickle=True, **parts_of([rows] * 3, [rows], [rows] * 2))
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    for damaged, reason in (
        (content["valid.npy"][:-20], "valid.npy holds a damaged array"),
        (b"", "valid.npy holds no array"),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in (content | {"valid.npy": damaged}).items():
                archive.writestr(name, data)
        found, bad = read_all(path)
        assert [item[3] for item in found] == [0, 1, 2, 4, 5]
        assert [(item.place, item.kind) for item in bad] == [(3, "unreadable")]
        assert bad[0].reason.startswith(reason)
    data = path.read_bytes()
    at = data.index(content["train.npy"]) + 200
    path.write_bytes(data[:at] + b"\xff" + data[at + 1 :])
    found, bad = read_all(path)
    assert [item[3] for item in found] == [2, 3]
    assert "train.npy cannot be read: Bad CRC" in bad[0].reason


def test_numbers_as_objects_are_named(tmp_path):
    """np.array of sketches of one length, as objects, is no array of arrays."""
    path = tmp_path / "cat.npz"
    np.savez(path, train=np.array([np.zeros((3, 3))] * 4, dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"single numbers as objects, .*\(4, 3, 3\): store one"):
        list(formats.read(path))


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("wrapped", [True, False])
def test_nothing_in_an_npz_is_run(tmp_path, wrapped):
    target, path = tmp_path / "was here", tmp_path / "cat.npz"
    if wrapped:
        save_arrays(path, Evil(target), np.zeros((2, 3)))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            buffer = io.BytesIO()
            np.save(buffer, np.array([None]), allow_pickle=True)
            header = buffer.getvalue()[: 10 + int.from_bytes(buffer.getvalue()[8:10], "little")]
            archive.writestr("train.npy", header + pickle.dumps(Evil(target)))
    for on_bad in (None, lambda record: None):
        with pytest.raises(DataError, match=r"refused.*trust"):
            list(formats.read(path, on_bad=on_bad))
    assert not target.exists()
    np.load(path, allow_pickle=True)["train"]
    assert target.exists(), "the file is harmless, so the test shows nothing"


# --- any file ---


def test_the_format_is_told_by_name_and_content(tmp_path):
    nameless = tmp_path / "drawings.txt"
    nameless.write_bytes(b"\n " + lines_of(GOOD))
    assert read_all(nameless)[0][0][4] == GOOD["drawing"]
    hidden_gzip = tmp_path / "cat.ndjson"
    hidden_gzip.write_bytes(gzip.compress(lines_of(GOOD)))
    assert len(read_all(hidden_gzip)[0]) == 1
    like_gzip = tmp_path / "cat.bin"
    like_gzip.write_bytes(encoded(0x8B1F, 1, [[[1], [2]]]))
    assert read_all(like_gzip)[0][0][1] == 0x8B1F
    empty = tmp_path / "none.ndjson"
    empty.write_bytes(b"")
    assert read_all(empty) == ([], [])


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("cat.txt", b"hello", "unknown format"),
        ("cat.png", b"\x89PNG\r\n\x1a\n", "unknown format"),
        ("cat", b"", "unknown format"),
        ("cat.npz", b"hello", "not a zip"),
        ("cat.ndjson", b"PK\x03\x04....", "name it .npz"),
        ("cat.ndjson", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("cat.bin", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("cat.bin", b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "HTML"),
        ("cat.bin.gz", gzip.compress(b"<!DOCTYPE html><html>404</html>", mtime=0), "HTML"),
        ("cat.ndjson", "{}".encode("utf-16"), "UTF-16"),
        ("cat.csv", "drawing".encode("utf-16"), "UTF-16"),
        (
            "cat.ndjson.gz",
            gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0),
            "compressed twice",
        ),
        ("cat.ndjson", b"\xef\xbb\xbf <html>404", "HTML"),
        ("cat.npy", b"\x93NUMPY", "a single array"),
    ],
)
def test_unknown_formats_are_always_an_error(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_all(tmp_path / name)


def test_what_cannot_be_opened(tmp_path):
    for name, why in (("none.ndjson", "No such file"), ("", "it is a folder; give one file")):
        with pytest.raises(DataError, match=f"cannot open .*: {why}"):
            list(formats.read(tmp_path / name))
    with pytest.raises(ValueError, match="chunk=0"):
        list(formats.read(tmp_path, chunk=0))
    with pytest.raises(DiskError, match="cannot be written"):
        formats.write_ndjson(tmp_path / "no" / "cat.ndjson", batch([("a", 1, None, [[[1], [2]]])]))


@quick
@given(
    content=st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["word", "key_id", "drawing", "recognized"]), inner)
        ),
    ).map(lambda value: json.dumps(value).encode()),
    name=st.sampled_from(["a.ndjson", "a.bin", "a.npz", "a.ndjson.gz", "a.bin.gz", "a"]),
    before=st.sampled_from([b"", b"\x1f\x8b\x08", b"PK\x03\x04", b"{"]),
)
@example(content=b'{"drawing":[[5,5]]}', name="a.ndjson", before=b"")
@example(content=b'{"drawing":[[{},{}]],"word":"a","key_id":"1"}', name="a.ndjson", before=b"")
def test_nothing_but_data_errors_ever_comes_out(tmp_path, content, name, before):
    path = tmp_path / name
    path.write_bytes(before + content)
    try:
        _, bad = read_all(path)
    except DataError:
        return
    assert {item.kind for item in bad} <= set(formats.KINDS)


@quick
@given(at=st.integers(0, 10_000), value=st.integers(0, 255), member=st.booleans())
def test_a_changed_byte_in_an_npz(tmp_path, at, value, member):
    path = tmp_path / "cat.npz"
    formats.write_stroke3(path, batch([("cat", 1, None, [[[1, 2], [2, 9]]])] * 3))
    data = bytearray(path.read_bytes())
    if member:  # Past the zip's own checksum: into the pickle.
        data = bytearray(zipfile.ZipFile(path).read("train.npy"))
    data[at % len(data)] = value
    if member:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("train.npy", bytes(data))
    else:
        path.write_bytes(data)
    try:
        read_all(path)
    except DataError:
        return


def test_find(tmp_path):
    for name in (
        "b.ndjson",
        "sub/a.bin.gz",
        "sub/c.npz",
        "d.txt",
        ".e.ndjson.1.tmp",
        "f.ndjson.part",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = formats.find([str(tmp_path / "sub"), tmp_path, tmp_path / "b.ndjson"])
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "b.ndjson",
        "sub/a.bin.gz",
        "sub/c.npz",
    ]
    (tmp_path / "empty").mkdir()
    for sources, message in (
        ([tmp_path / "nowhere"], "does not exist"),
        ([tmp_path / "d.txt"], "unknown format"),
        ([tmp_path / "empty"], "no sketch files"),
        ([], "no sketch files"),
    ):
        with pytest.raises(DataError, match=message):
            formats.find(sources)


@pytest.mark.parametrize(
    "name, category",
    [
        ("The Eiffel Tower.ndjson.gz", "The Eiffel Tower"),
        ("cat.full.npz", "cat"),
        ("sketchrnn_cat.npz", "cat"),
        ("full_simplified_hot dog.ndjson", "hot dog"),
        ("t-shirt.bin", "t-shirt"),
        ("a/b/CAT.NPZ", "cat"),
    ],
)
def test_the_category_of_a_name(name, category):
    assert formats.category_of_name(name) == category


def test_strokes_of_a_read_sketch(tmp_path):
    path = tmp_path / "cat.ndjson"
    path.write_bytes(lines_of(GOOD))
    (part,) = formats.read(path)
    assert [s.T.tolist() for s in strokes(part.points_of(0))] == GOOD["drawing"]
