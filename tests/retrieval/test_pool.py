"""The pool of one query against numpy: all ties, in the order of distance and row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchjax.retrieval import pool as of_one_query
from sketchjax.retrieval.index import PART, search, units
from sketchjax.retrieval.pool import Gallery, find_pool, nearest_features


@pytest.fixture(scope="module", autouse=True, params=["in one go", "in chunks"])
def chunks(request):
    """All on this thread, or in chunks as small as can be, which threads share."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "in chunks":
            patch.setattr(of_one_query, "_CHUNK", 1)
            patch.setattr(of_one_query, "_ROWS", 7)
        yield


def gallery_of(codes, labels=None) -> Gallery:
    labels = np.zeros(len(codes), np.uint16) if labels is None else labels
    return Gallery(units(codes), codes.shape[1] * 8, labels)


def distances_of(code, codes) -> np.ndarray:
    """Hamming distances, by unpacked bits."""
    return (np.unpackbits(code) != np.unpackbits(codes, axis=1)).sum(1)


def check(code, codes, least, most, labels=None, allowed=None):
    """Compare a pool with a sort of everything."""
    pool = find_pool(code, gallery_of(codes, labels), least, most, allowed, threads=3)
    distances = distances_of(code, codes)
    bits = codes.shape[1] * 8
    kept = np.arange(len(codes)) if allowed is None else np.flatnonzero(allowed[labels])
    histogram = np.bincount(distances[kept], minlength=bits + 1)
    np.testing.assert_array_equal(pool.histogram, histogram)
    radius = next((d for d in range(bits + 1) if histogram[: d + 1].sum() >= least), bits)
    assert pool.radius == radius
    order = sorted((distances[row], row) for row in kept if distances[row] <= radius)
    assert pool.all == len(order)
    assert [*zip(pool.distances.tolist(), pool.rows.tolist(), strict=True)] == order[:most]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([8, 16, 24, 32, 40, 48, 56, 64, 72, 128, 200]),
    st.sampled_from([1, 5, 300, PART * 3 + 7]),
    st.integers(1, 400),
    st.integers(1, 400),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_pools_are_those_of_a_sort(bits, size, least, most, filtered, seed):
    random = np.random.default_rng(seed)
    # Few distinct codes, so that ties are long.
    distinct = random.integers(0, 256, (random.integers(1, 30), bits // 8)).astype(np.uint8)
    codes = distinct[random.integers(0, len(distinct), size)]
    labels = random.integers(0, 4, size).astype(np.uint16)
    allowed = None
    if filtered:
        allowed = np.zeros(1 << 16, bool)
        allowed[random.integers(0, 4, 2)] = True
    check(codes[random.integers(size)], codes, least, most, labels, allowed)


def test_equal_codes_are_all_in_the_pool():
    codes = np.full((PART * 2 + 3, 8), 7, np.uint8)
    pool = find_pool(codes[0], gallery_of(codes), 36, 10**6)
    assert pool.rows.tolist() == list(range(len(codes)))
    assert (pool.radius, pool.all, pool.histogram[0]) == (0, len(codes), len(codes))


def test_more_than_there_are_gives_everything():
    codes = np.random.default_rng(0).integers(0, 256, (50, 8)).astype(np.uint8)
    check(codes[3], codes, 51, 200)
    assert find_pool(codes[3], gallery_of(codes), 51, 200).radius == 64


def test_nothing_allowed_gives_nothing():
    codes = np.zeros((5, 8), np.uint8)
    pool = find_pool(codes[0], gallery_of(codes), 3, 9, np.zeros(1 << 16, bool))
    assert (len(pool.rows), pool.all, pool.histogram.sum()) == (0, 0, 0)
    assert len(find_pool(codes[0], gallery_of(codes[:0]), 3, 9).rows) == 0


def test_an_exact_pool_equals_the_search_of_all_cores():
    random = np.random.default_rng(1)
    codes = random.integers(0, 3, (9_000, 4)).astype(np.uint8)
    distances, places = search(codes[:5], codes, 36)
    for number in range(5):
        pool = find_pool(codes[number], gallery_of(codes), 36, 36)
        np.testing.assert_array_equal(pool.distances, distances[number])
        np.testing.assert_array_equal(pool.rows, places[number])


@pytest.mark.parametrize("k", [1, 7, 40, 90])
def test_nearest_features_are_those_of_a_sort(k):
    random = np.random.default_rng(2)
    features = random.integers(0, 256, (60, 5)).astype(np.uint8)
    features[20:40] = features[:20]  # ties, broken by row
    rows = random.permutation(60)[:40]
    query = features[3]
    places, squares = nearest_features(query, features, rows, k, threads=3)
    wide = features.astype(int)
    expected = sorted((((wide[row] - wide[3]) ** 2).sum(), row) for row in rows)[:k]
    assert [*zip(squares.tolist(), rows[places].tolist(), strict=True)] == expected


def test_the_largest_square_fits():
    query, features = np.zeros(60_000, np.uint8), np.full((1, 60_000), 255, np.uint8)
    _, squares = nearest_features(query, features, np.zeros(1, np.int64), 1)
    assert squares[0] == 60_000 * 255**2
