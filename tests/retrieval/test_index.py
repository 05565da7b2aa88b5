"""Exact search against faiss's flat index and against a stable sort."""

import faiss
import numpy as np
import pytest

from sketchjax.errors import DataError
from sketchjax.ops.hamming import pack_codes
from sketchjax.retrieval.index import search


@pytest.mark.parametrize("bits, k", [(16, 36), (64, 1), (72, 36), (256, 500), (8, 900)])
def test_search_is_faiss_and_a_stable_sort(bits, k):
    rng = np.random.default_rng(bits)
    q, n = rng.random((9, bits)) < 0.5, rng.random((700, bits)) < 0.5
    distances, places = search(pack_codes(q), pack_codes(n), k)
    assert distances.shape == places.shape == (9, min(k, 700))
    index = faiss.IndexBinaryFlat(bits)
    index.add(pack_codes(n))
    np.testing.assert_array_equal(distances, index.search(pack_codes(q), min(k, 700))[0])
    sorted_places = np.argsort((q[:, None] != n[None]).sum(2), axis=1, kind="stable")
    np.testing.assert_array_equal(places, sorted_places[:, :k])


def test_what_cannot_be_searched_is_refused():
    codes = np.zeros((3, 2), np.uint8)
    with pytest.raises(ValueError, match="at least one"):
        search(codes, codes, 0)
    with pytest.raises(ValueError, match="8 bits"):
        search(codes[:, :1], codes, 3)
    with pytest.raises(DataError, match="no gallery codes"):
        search(codes, codes[:0], 3)
