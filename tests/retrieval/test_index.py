"""Exact search compared with faiss's flat index and with a stable sort."""

import faiss
import numpy as np
import pytest

from sketchjax.errors import DataError
from sketchjax.ops.hamming import pack_codes
from sketchjax.retrieval.index import PART, search


@pytest.mark.parametrize("bits, k", [(16, 36), (64, 1), (72, 36), (256, 500), (8, 900)])
def test_search_equals_faiss_and_a_stable_sort(bits, k):
    rng = np.random.default_rng(bits)
    q, n = rng.random((9, bits)) < 0.5, rng.random((700, bits)) < 0.5
    distances, places = search(pack_codes(q), pack_codes(n), k)
    assert distances.shape == places.shape == (9, min(k, 700))
    index = faiss.IndexBinaryFlat(bits)
    index.add(pack_codes(n))
    np.testing.assert_array_equal(distances, index.search(pack_codes(q), min(k, 700))[0])
    sorted_places = np.argsort((q[:, None] != n[None]).sum(2), axis=1, kind="stable")
    np.testing.assert_array_equal(places, sorted_places[:, :k])


def brute(queries, gallery, k):
    """Distances from unpacked bits, places from a stable sort."""
    distances = np.unpackbits(queries[:, None] ^ gallery[None], axis=2).sum(2, dtype=np.int32)
    places = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, places, axis=1), places


@pytest.mark.parametrize("width", (1, 2, 3, 4, 6, 8, 9, 16))
@pytest.mark.parametrize("size", (PART - 1, PART, 3 * PART + 1))
def test_parts_of_the_gallery_form_one_ranking(width, size):
    """Many ties that cross the borders of parts, and up to the whole ranking."""
    rng = np.random.default_rng(width)
    gallery = rng.integers(0, 2, (size, width), np.uint8)
    gallery[-1] = 255  # far from all others: last in the ranking
    queries = gallery[[0, size // 2]]
    for k in (1, 200, size):
        for found, wanted in zip(
            search(queries, gallery, k), brute(queries, gallery, k), strict=True
        ):
            np.testing.assert_array_equal(found, wanted)


def test_blocks_of_queries_give_the_same_results(monkeypatch):
    rng = np.random.default_rng(0)
    queries, gallery = (
        rng.integers(0, 256, (7, 2), np.uint8),
        rng.integers(0, 256, (99, 2), np.uint8),
    )
    monkeypatch.setattr("sketchjax.retrieval.index.MOST_COUNTS", 3 * 17)
    for found, wanted in zip(search(queries, gallery, 9), brute(queries, gallery, 9), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("how", ("strided", "fortran", "read-only", "unaligned"))
def test_any_memory_layout_of_codes_works(how):
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 256, (200, 8), np.uint8)
    gallery = {
        "strided": whole[::2, ::-2],
        "fortran": np.asfortranarray(whole),
        "read-only": np.frombuffer(whole.tobytes(), np.uint8).reshape(200, 8),
        "unaligned": np.frombuffer(bytearray(1601), np.uint8)[1:].reshape(200, 8),
    }[how]
    queries = gallery[:3].copy()
    for found, wanted in zip(search(queries, gallery, 9), brute(queries, gallery, 9), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_invalid_arguments_are_refused():
    codes = np.zeros((3, 2), np.uint8)
    with pytest.raises(ValueError, match=r"k=0: must be at least 1\."):
        search(codes, codes, 0)
    with pytest.raises(ValueError, match="8 bits"):
        search(codes[:, :1], codes, 3)
    with pytest.raises(DataError, match="no gallery codes"):
        search(codes, codes[:0], 3)
