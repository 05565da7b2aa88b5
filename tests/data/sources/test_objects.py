"""JSON files that are not one object per line, against Python's json module."""

import gzip
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchjax.data.sources import read, stream
from sketchjax.data.sources.objects import objects
from sketchjax.data.sources.records import Refused
from sketchjax.errors import DataError

CAT = {"word": "cat", "key_id": "7", "drawing": [[[0, 10], [20, 30]], [[5, 5], [5, 90]]]}
DOG = {"word": "dog", "key_id": "8", "drawing": [[[0, 255], [0, 255]]], "recognized": False}
VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | st.text('"\\{}[],:é\n ', max_size=6),
    lambda own: st.lists(own, max_size=3) | st.dictionaries(st.text(max_size=3), own, max_size=3),
    max_leaves=6,
)
RECORDS = st.lists(
    st.dictionaries(st.text(max_size=3), VALUES, max_size=3) | st.lists(VALUES, max_size=3),
    max_size=5,
)


def found(content: bytes, longest: int = 1 << 20) -> list:
    """The objects of a file as Python values, and the kind of what is wrong."""
    every = list(objects(io.BytesIO(content), longest))
    assert [place for place, _, _ in every] == list(range(len(every)))
    return [own.kind if isinstance(own, Refused) else json.loads(own) for _, own, _ in every]


@pytest.fixture(scope="module", autouse=True, params=[3, 8, 1 << 18])
def block(request):
    """Blocks of some bytes, and as they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "BLOCK", request.param)
        yield


@settings(max_examples=150, deadline=None)
@given(RECORDS, st.sampled_from([None, 0, 2]), st.booleans(), st.booleans())
def test_objects_are_those_of_json(records, indent, escaped, mark):
    content = json.dumps(records, indent=indent, ensure_ascii=escaped).encode()
    assert found(b"\xef\xbb\xbf" * mark + b" \n" + content + b"\r\n") == records
    several = [each for each in records if isinstance(each, dict)]
    content = "\n".join(json.dumps(each, indent=indent, ensure_ascii=escaped) for each in several)
    assert found(content.encode()) == several


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.booleans())
def test_a_file_that_is_cut_short_gives_what_it_has(cut, array):
    content = json.dumps([CAT, DOG, CAT]) if array else "\n".join(map(json.dumps, [CAT, DOG, CAT]))
    rest = found(content.encode()[:cut])
    assert all(own in (CAT, DOG) for own in rest[:-1])
    assert rest[-1] == "truncated" or (not array and rest[-1] in (CAT, DOG))


@pytest.mark.parametrize(
    "content",
    ["[{} {}]", "[{},]", "[,{}]", "[{}]]", "[{}] {}", "[{},,{}]", "[3]", '["a"]', "[null]",
     "{}, {}", "{}]", "}", "[{}}", "NaN"],
)  # fmt: skip
def test_what_is_no_such_file_is_refused(content):
    assert found(content.encode())[-1] == "unreadable"


def test_objects_beyond_the_longest_are_left_out():
    content = json.dumps([CAT, {"a": "x" * 900}, DOG]).encode()
    assert found(content, longest=300) == [CAT, "too_large", DOG]


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("packed", [False, True])
def test_an_array_is_read_as_its_lines_are(tmp_path, indent, packed):
    lines, array = tmp_path / "both.ndjson", tmp_path / f"both.json{'.gz' * packed}"
    lines.write_text("".join(json.dumps(each) + "\n" for each in (CAT, DOG)))
    content = json.dumps([CAT, DOG], indent=indent).encode()
    array.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    ours, theirs = (next(read(path)) for path in (array, lines))
    np.testing.assert_array_equal(ours.points, theirs.points)
    np.testing.assert_array_equal(ours.offsets, theirs.offsets)
    assert ours.categories == theirs.categories == ["cat", "dog"]
    assert ours.key_ids.tolist() == [7, 8]
    assert ours.recognized.tolist() == theirs.recognized.tolist()
    assert read(array).notes == []


def test_several_lines_an_object_are_read(tmp_path):
    path = tmp_path / "cat.json"
    path.write_text("\n".join(json.dumps(each, indent=2) for each in (CAT, DOG)))
    assert next(read(path)).key_ids.tolist() == [7, 8]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("text", ["{0}", "\n {0}", "{0}{0}", "\ufeff{0}"])
def test_an_object_may_begin_on_the_line_of_its_brace(tmp_path, text, end):
    drawn = '{"word": "cat",\n "key_id": "1",\n "drawing": [\n[[0,9,255],\n[0,5,9]]]}\n'
    path = tmp_path / "m.json"
    path.write_bytes(text.format(drawn).replace("\n", end).encode())
    (chunk,) = read(path)
    assert chunk.points[:3].tolist() == [[0, 0, 0], [9, 5, 0], [255, 9, 1]]
    assert len(chunk) == text.count("0")


def test_a_bad_object_of_several_lines_is_a_record(tmp_path):
    path, bad = tmp_path / "m.ndjson", []
    wrong = '{"word": "cat",\n"drawing": [[[0, NaN],\n[0, 9]]]}\n'
    path.write_text(wrong + json.dumps(DOG, indent=0))
    (chunk,) = read(path, on_bad=bad.append)
    assert chunk.key_ids.tolist() == [8]
    assert [(own.place, own.unit, own.kind) for own in bad] == [(0, "record", "not_finite")]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("field", ["", "word"])
def test_a_first_line_that_is_cut_short_is_one_bad_line(tmp_path, end, field):
    """Wherever it is cut, also where the next object might be its value."""
    path, whole = tmp_path / "cat.ndjson", json.dumps(CAT)
    if field:
        whole = whole[: whole.index(":") + 1]
    for cut in (len(whole),) if field else range(1, len(whole)):
        bad = []
        path.write_bytes(end.join([whole[:cut], json.dumps(DOG), json.dumps(CAT)]).encode())
        (chunk,) = read(path, on_bad=bad.append)
        assert chunk.key_ids.tolist() == [8, 7]
        assert [(own.place, own.unit) for own in bad] == [(1, "line")]


def test_a_bad_record_is_named_by_its_place(tmp_path):
    path, bad = tmp_path / "cat.json", []
    path.write_text(json.dumps([CAT, {"word": "cat"}, [1], DOG]))
    with pytest.raises(DataError, match=r"cat.json, record 1: the field 'drawing' is missing"):
        list(read(path))
    (chunk,) = read(path, on_bad=bad.append)
    assert chunk.key_ids.tolist() == [7, 8]
    assert [own.place for own in bad] == [1, 2]
    assert bad[1].reason == "the record is not a JSON object"
