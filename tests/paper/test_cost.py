"""The cost of a search: sizes that can be worked out, and a clock and a memory made by hand."""

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
    # The codes are resident, with the counts of a search and little else beside them.
    assert 12 <= found.memory_mb < 60
    assert 0 < found.seconds_per_query < found.seconds_per_ranking


@pytest.fixture
def slow_search(monkeypatch):
    """A search that takes 40 ms, 80 for the whole, 200 the first time; and what it was asked."""
    asked, threads = [], [8]
    monkeypatch.setattr(numba, "get_num_threads", lambda: threads[-1])
    monkeypatch.setattr(numba, "set_num_threads", threads.append)

    def search(queries, gallery, k):
        asked.append((queries.tobytes(), len(queries), len(gallery), k, numba.get_num_threads()))
        time.sleep(
            0.2
            if k == 7 and len(gallery) == 50 and sum(a[3] == 7 for a in asked) == 1
            else 0.08
            if k == 50
            else 0.04
        )

    monkeypatch.setattr(cost, "search", search)
    return asked


def test_the_median_query_alone_and_without_the_first(slow_search):
    found = search_cost(50, 16, queries=3, k=7)
    assert found.seconds_per_query == pytest.approx(0.04, abs=0.02)
    assert found.seconds_per_query_one_core == pytest.approx(0.04, abs=0.02)
    assert found.seconds_per_ranking == pytest.approx(0.08, abs=0.02)
    on_gallery = [asked for asked in slow_search if asked[2] == 50]
    assert [asked[1] for asked in on_gallery] == [1] * 12
    assert [asked[3] for asked in on_gallery] == [7] * 8 + [50] * 4
    assert [asked[4] for asked in on_gallery] == [8] * 4 + [1] * 4 + [8] * 4
    assert len({asked[0] for asked in on_gallery[:4]}) == 4
    assert numba.get_num_threads() == 8


def test_the_most_that_memory_rose_is_seen(monkeypatch):
    def search(queries, gallery, k):
        if len(gallery) == 9 and k == 7:
            held = np.ones(40_000_000, np.uint8)
            time.sleep(0.05)
            del held

    monkeypatch.setattr(cost, "search", search)
    assert search_cost(9, 8, queries=1, k=7).memory_mb == pytest.approx(40, rel=0.1)


def test_where_the_system_tells_nothing_memory_is_nan(monkeypatch):
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
def test_sizes_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match="multiple of 8"):
        search_cost(**{"gallery": 9, "bits": 16, **wrong})
