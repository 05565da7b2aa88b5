"""The bytes of a record against Python's struct, and bytes that are not a record."""

import itertools
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_records import patched, plain_decode

from sketchjax.data.folder.record import decode, encode, sound, wrong_records
from sketchjax.errors import DataError


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**64 - 1),
            st.integers(0, 2**16 - 1),
            st.floats(0, 1, width=32),
            st.lists(st.lists(st.integers(0, 255), min_size=3, max_size=3), max_size=9),
        ),
        max_size=20,
    )
)
def test_encode_and_decode_against_struct(sketches):
    lengths = [len(points) for *_, points in sketches]
    whole, starts = encode(
        np.array([row for *_, points in sketches for row in points], np.uint8).reshape(-1, 3),
        np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
        np.array([label for _, label, _, _ in sketches], np.int64),
        np.array([key_id for key_id, *_ in sketches], np.uint64),
        np.array([entropy for _, _, entropy, _ in sketches], np.float32),
    )
    blobs = [whole[a:b] for a, b in itertools.pairwise(starts)]
    assert [plain_decode(blob) for blob in blobs] == sketches
    records = decode(blobs)
    assert records.key_ids.tolist() == [key_id for key_id, *_ in sketches]
    assert records.labels.tolist() == [label for _, label, _, _ in sketches]
    assert records.entropies.tolist() == [entropy for _, _, entropy, _ in sketches]
    for index, (*_, points) in enumerate(sketches):
        own = records.points[records.offsets[index] : records.offsets[index + 1]]
        assert own.tolist() == points


@pytest.mark.parametrize(
    "blob, message",
    [(b"short", "record 1: it has 5 bytes"), (bytes(18), "record 1: it has 18 bytes but states 0")],
)
def test_other_bytes_are_not_a_record(blob, message):
    sound = struct.pack("<QHHf", 1, 2, 1, 0.5) + bytes(3)
    with pytest.raises(DataError, match=message):
        decode([sound, blob])


CLASSES = 3
SOUND = struct.pack("<QHHf", 1, 2, 2, 0.5) + bytes([9, 9, 0, 3, 255, 1])


WRONG = {
    "label": (patched(SOUND, "<H", 8, CLASSES), "label 3, but there are 3 categories"),
    "no point": (struct.pack("<QHHf", 1, 2, 0, 0.5), "it has no points"),
    "entropy": (patched(SOUND, "<f", 12, 1.5), "image entropy 1.5"),
    "negative": (patched(SOUND, "<f", 12, -0.5), "image entropy -0.5"),
    "NaN": (patched(SOUND, "<f", 12, float("nan")), "image entropy nan"),
    "infinite": (patched(SOUND, "<f", 12, float("inf")), "image entropy inf"),
    "open end": (patched(SOUND, "<B", 21, 0), "its last point does not end a stroke"),
    "mark": (patched(SOUND, "<B", 18, 2), "an end-of-stroke mark is neither 0 nor 1"),
}


@pytest.mark.parametrize("blob, reason", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_wrong_record_among_sound_ones_is_found(blob, reason, place):
    assert sound(decode([SOUND] * 3), CLASSES)
    assert wrong_records(decode([SOUND] * 3), CLASSES) == {}
    blobs = [SOUND] * 3
    blobs[place] = blob
    records = decode(blobs)
    assert not sound(records, CLASSES)
    (found,) = wrong_records(records, CLASSES).items()
    assert found[0] == place
    assert found[1].startswith(reason)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 4),
            st.floats(-0.5, 1.5, width=32) | st.just(float("nan")),
            st.lists(st.lists(st.integers(0, 2), min_size=3, max_size=3), max_size=3),
        ),
        max_size=6,
    )
)
def test_sound_and_wrong_agree_with_a_loop(sketches):
    blobs = [
        struct.pack("<QHHf", 0, label, len(points), value) + bytes(itertools.chain(*points))
        for label, value, points in sketches
    ]
    expected = [
        place
        for place, (label, value, points) in enumerate(sketches)
        if not (
            label < CLASSES
            and 0 <= value <= 1
            and points
            and points[-1][2] == 1
            and all(end in (0, 1) for *_, end in points)
        )
    ]
    records = decode(blobs)
    assert list(wrong_records(records, CLASSES)) == expected
    assert sound(records, CLASSES) == (not expected)
