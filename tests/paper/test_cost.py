"""The cost of a search: sizes worked out by hand, and faked time and memory."""

import time

import numba
import numpy as np
import pytest

from sketchjax.paper import cost
from sketchjax.paper.cost import random_codes, search_cost


def test_codes_take_their_bytes():
    found = search_cost(4_000_000, 24, queries=2, k=5)
    assert (found.gallery, found.bits, found.k) == (4_000_000, 24, 5)
    assert found.code_mb == 12
    # The codes are resident, plus the counters of a search and little else.
    assert 12 <= found.memory_mb < 60
    assert 0 < found.seconds_per_query < found.seconds_per_ranking


@pytest.fixture
def slow_search(monkeypatch):
    """The calls of a search that takes 40 ms, 80 for a ranking and 200 the first time."""
    calls, threads = [], [8]
    monkeypatch.setattr(numba, "get_num_threads", lambda: threads[-1])
    monkeypatch.setattr(numba, "set_num_threads", threads.append)

    def search(queries, gallery, k):
        calls.append((queries.tobytes(), len(queries), len(gallery), k, numba.get_num_threads()))
        first = k == 7 and len(gallery) == 50 and sum(call[3] == 7 for call in calls) == 1
        time.sleep(0.2 if first else 0.08 if k == 50 else 0.04)

    monkeypatch.setattr(cost, "search", search)
    return calls


def test_median_of_single_queries_without_the_first(slow_search):
    found = search_cost(50, 16, queries=3, k=7)
    assert found.seconds_per_query == pytest.approx(0.04, abs=0.02)
    assert found.seconds_per_query_one_core == pytest.approx(0.04, abs=0.02)
    assert found.seconds_per_ranking == pytest.approx(0.08, abs=0.02)
    on_gallery = [call for call in slow_search if call[2] == 50]
    assert [call[1] for call in on_gallery] == [1] * 12
    assert [call[3] for call in on_gallery] == [7] * 8 + [50] * 4
    assert [call[4] for call in on_gallery] == [8] * 4 + [1] * 4 + [8] * 4
    assert len({call[0] for call in on_gallery[:4]}) == 4
    assert numba.get_num_threads() == 8


def test_peak_memory_is_seen(monkeypatch):
    def search(queries, gallery, k):
        if len(gallery) == 9 and k == 7:
            held = np.ones(40_000_000, np.uint8)
            time.sleep(0.05)
            del held

    monkeypatch.setattr(cost, "search", search)
    assert search_cost(9, 8, queries=1, k=7).memory_mb == pytest.approx(40, rel=0.1)


def test_unknown_memory_is_nan(monkeypatch):
    monkeypatch.setattr(cost, "_resident_bytes", lambda: float("nan"))
    assert np.isnan(search_cost(9, 8, queries=1, k=7).memory_mb)


def test_random_codes_are_seeded_and_even():
    codes = random_codes(10_000, 24, seed=3)
    assert codes.shape == (10_000, 3)
    np.testing.assert_array_equal(codes, random_codes(10_000, 24, seed=3))
    assert (codes != random_codes(10_000, 24, seed=4)).any()
    # Five standard deviations of the mean of a bit.
    assert abs(np.unpackbits(codes, axis=1).mean(0) - 0.5).max() < 0.025


@pytest.mark.parametrize("wrong", ({"gallery": 0}, {"bits": 12}, {"bits": 0}, {"k": 0}))
def test_invalid_sizes_are_rejected(wrong):
    with pytest.raises(ValueError, match="multiple of 8"):
        search_cost(**{"gallery": 9, "bits": 16, **wrong})
