"""Scores of the first K items against loops over a ranking, and over all orders of its ties."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchjax.retrieval.cut_rankings import (
    DENOMINATORS,
    average_precision_at_k,
    interpolated_bounds,
    precision_over_reachable,
)


def precision_sum(right, k):
    """Σ of the precisions at the relevant items among the first k."""
    return sum(np.mean(right[: place + 1]) for place in range(min(k, len(right))) if right[place])


def divided(right, k, denominator):
    total = sum(right)
    by = {
        "over_found": sum(right[:k]),
        "over_reachable": min(k, total),
        "over_all": total,
    }[denominator]
    return precision_sum(right, k) / by if by else 0.0


def interpolated(right, k):
    """The envelope of precision over recall within the first k, step by step."""
    total = min(k, sum(right))
    found = 0.0
    for place in range(min(k, len(right))):
        if right[place]:
            later = [np.mean(right[: end + 1]) for end in range(place, min(k, len(right)))]
            found += max(later) / total
    return found


def orders(distances, relevant):
    """Every ranking of the items, ties in any order, as lists of 0 and 1."""
    for order in itertools.permutations(range(len(distances))):
        if (np.diff(distances[list(order)]) >= 0).all():
            yield [int(relevant[item]) for item in order]


def counts(distances, relevant, bins=4):
    every = np.bincount(distances, minlength=bins)
    return every[None], np.bincount(distances[relevant], minlength=bins)[None]


def case(seed, items=6):
    random = np.random.default_rng(seed)
    relevant = random.random(items) < 0.5
    relevant[random.integers(items)] = True
    return random.integers(0, 4, items), relevant


@pytest.mark.parametrize("denominator", DENOMINATORS)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
@settings(deadline=None, max_examples=25)
def test_it_is_the_mean_over_all_orders_of_ties(denominator, seed, k):
    distances, relevant = case(seed)
    wanted = np.mean([divided(right, k, denominator) for right in orders(distances, relevant)])
    found = average_precision_at_k(*counts(distances, relevant), k, denominator)
    assert found == pytest.approx([wanted], abs=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
@settings(deadline=None, max_examples=25)
def test_reachable_precision_is_the_mean_over_all_orders(seed, k):
    distances, relevant = case(seed)
    first = min(k, relevant.sum())
    wanted = np.mean([np.mean(right[:first]) for right in orders(distances, relevant)])
    found = precision_over_reachable(*counts(distances, relevant), k)
    assert found == pytest.approx([wanted], abs=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
@settings(deadline=None, max_examples=25)
def test_interpolated_bounds_are_those_of_all_orders(seed, k):
    distances, relevant = case(seed)
    rankings = list(orders(distances, relevant))
    for cut, most in ((k, k), (None, len(distances))):
        wanted = [interpolated(right, most) for right in rankings]
        best, worst = interpolated_bounds(*counts(distances, relevant), cut)
        assert best == pytest.approx([max(wanted)], abs=1e-12)
        assert worst == pytest.approx([min(wanted)], abs=1e-12)


def test_queries_are_scored_each_by_itself():
    every, own = zip(*(counts(*case(seed)) for seed in range(8)), strict=True)
    for denominator in DENOMINATORS:
        both = np.concatenate(every), np.concatenate(own)
        together = average_precision_at_k(*both, 3, denominator)
        alone = [
            average_precision_at_k(*each, 3, denominator)[0]
            for each in zip(every, own, strict=True)
        ]
        np.testing.assert_allclose(together, alone)


def test_over_found_prefers_one_hit_to_two():
    """The flaw of the first denominator (DeepHash, issue 33): a hit more makes it worse."""
    one, two = np.array([[1, 0, 0, 0]]), np.array([[1, 0, 0, 1]])
    every = np.ones((1, 4), int)
    scores = {
        name: [average_precision_at_k(every, own, 4, name)[0] for own in (one, two)]
        for name in DENOMINATORS
    }
    assert scores["over_found"] == [1, pytest.approx(0.75)]
    assert scores["over_reachable"] == [1, pytest.approx(0.75)]
    # With 3 relevant items further away in both, only the first denominator turns the order.
    far = np.array([[1, 1, 1, 1, 3]])
    one, two = np.array([[1, 0, 0, 0, 3]]), np.array([[1, 0, 0, 1, 2]])
    for name, sign in (("over_found", -1), ("over_reachable", 1), ("over_all", 1)):
        scores = [average_precision_at_k(far, own, 4, name)[0] for own in (one, two)]
        assert sign * (scores[1] - scores[0]) > 0


@pytest.mark.parametrize("denominator", DENOMINATORS)
def test_k_may_be_more_than_there_is(denominator):
    every, own = np.array([[0, 2, 0, 3]]), np.array([[0, 1, 0, 2]])
    found = [average_precision_at_k(every, own, k, denominator)[0] for k in (5, 6, 100)]
    assert found == pytest.approx([found[0]] * 3)
    assert 0 < found[0] < 1


def test_a_query_without_relevant_items_has_no_score():
    every, nothing = np.ones((1, 4), int), np.zeros((1, 4), int)
    for denominator in DENOMINATORS:
        assert np.isnan(average_precision_at_k(every, nothing, 2, denominator))
    assert np.isnan(interpolated_bounds(every, nothing)[0])


def test_what_is_no_cut_is_refused():
    every = np.ones((1, 4), int)
    with pytest.raises(ValueError, match="must be at least 1"):
        average_precision_at_k(every, every, 0, "over_all")
    with pytest.raises(ValueError, match="must be one of over_found"):
        average_precision_at_k(every, every, 1, "all")
