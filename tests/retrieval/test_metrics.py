"""Scores compared with every order inside the ties, with loops, and with results by hand."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchjax.errors import DataError
from sketchjax.ops.hamming import pack_codes
from sketchjax.retrieval.metrics import (
    accuracy,
    average_precision,
    average_precision_bounds,
    evaluate,
    precision_at_k,
    precision_recall_curve,
)


def orders(groups):
    """Every ranking, as a tuple of hits, that orders inside the ties (n, r) can give.

    All choices of places for the relevant items are equally likely.
    """
    choices = []
    for n, r in groups:
        places = itertools.combinations(range(n), r)
        choices.append([tuple(int(i in chosen) for i in range(n)) for chosen in places])
    for ranking in itertools.product(*choices):
        yield tuple(itertools.chain.from_iterable(ranking))


def exact_average_precision(hits):
    found = [rank for rank, hit in enumerate(hits, 1) if hit]
    return sum(Fraction(i, rank) for i, rank in enumerate(found, 1)) / len(found)


def counts(groups):
    """Histograms i[1 d+1] of groups (n, r)."""
    return tuple(np.array([column]) for column in zip(*groups, strict=True))


groups_of_ties = st.lists(
    st.integers(0, 4).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
    min_size=1,
    max_size=5,
).filter(lambda groups: any(r for _, r in groups))


@given(groups_of_ties)
@settings(deadline=None, max_examples=60)
def test_average_precision_is_the_mean_over_orders(groups):
    values = [exact_average_precision(hits) for hits in orders(groups)]
    expected = float(sum(values) / len(values))
    assert average_precision(*counts(groups))[0] == pytest.approx(expected, abs=1e-12)
    best, worst = average_precision_bounds(*counts(groups))
    assert best[0] == pytest.approx(float(max(values)), abs=1e-12)
    assert worst[0] == pytest.approx(float(min(values)), abs=1e-12)


@given(groups_of_ties, st.integers(1, 25))
@settings(deadline=None, max_examples=60)
def test_precision_at_k_is_the_mean_over_orders(groups, k):
    values = [Fraction(sum(hits[:k]), min(k, len(hits))) for hits in orders(groups)]
    expected = float(sum(values) / len(values))
    assert precision_at_k(*counts(groups), k)[0] == pytest.approx(expected, abs=1e-12)


def test_average_precision_by_hand():
    # One tie of three, one of them relevant: 1, 1/2 or 1/3. Then a tie of only relevant items: 1.
    assert average_precision(*counts([(3, 1)]))[0] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert average_precision(*counts([(0, 0), (4, 4)]))[0] == pytest.approx(1.0)
    # No ties: hits at ranks 1 and 3.
    assert average_precision(*counts([(1, 1), (1, 0), (1, 1)]))[0] == pytest.approx((1 + 2 / 3) / 2)
    assert np.isnan(average_precision(*counts([(3, 0)]))[0])


def test_average_precision_of_a_large_tie_is_exact():
    """345,000 items in 200 random orders: the difference of harmonic numbers stays precise."""
    rng = np.random.default_rng(0)
    n, r = 345_000, 1000
    values = []
    for _ in range(200):
        ranks = np.sort(rng.choice(n, r, replace=False)) + 1
        values.append(np.mean(np.arange(1, r + 1) / ranks))
    error = np.std(values) / np.sqrt(len(values))
    assert abs(average_precision(*counts([(n, r)]))[0] - np.mean(values)) < 4 * error


@given(groups_of_ties)
@settings(deadline=None, max_examples=40)
def test_the_curve_is_a_walk_along_the_ranking(groups):
    curve = precision_recall_curve(*counts(groups), recalls=np.array([0.07, 0.5, 1.0]))
    total, shown, found = sum(r for _, r in groups), 0, 0
    for place, (n, r) in enumerate(groups):
        shown, found = shown + n, found + r
        assert curve.radius_recall[place] == pytest.approx(found / total)
        if shown:
            assert curve.radius_precision[place] == pytest.approx(found / shown)
        else:
            assert np.isnan(curve.radius_precision[place])
    for recall, precision in zip(curve.recall, curve.precision, strict=True):
        # Spread relevant items evenly inside each tie and walk until enough are found.
        wanted, seen, left = recall * total, 0.0, recall * total
        for n, r in groups:
            if r and r >= left - 1e-12:
                seen += n * left / r
                break
            seen, left = seen + n, left - r
        assert precision == pytest.approx(wanted / seen)


def test_the_curve_by_hand():
    curve = precision_recall_curve(
        np.array([[1, 1], [0, 4]]), np.array([[1, 0], [0, 2]]), recalls=np.array([0.5, 1.0])
    )
    np.testing.assert_allclose(curve.radius_precision, [1.0, (1 / 2 + 2 / 4) / 2])
    np.testing.assert_allclose(curve.radius_recall, [0.5, 1.0])
    np.testing.assert_allclose(curve.precision, [(1 + 1 / 2) / 2, (1 + 1 / 2) / 2])


def test_evaluate_equals_a_loop_over_sorted_rankings():
    """Codes of 8 bits, so many ties: 3,000 random orders of the gallery give the expectation."""
    rng = np.random.default_rng(2)
    q, n = rng.random((6, 8)) < 0.4, rng.random((40, 8)) < 0.4
    own, labels = np.array([0, 1, 2, 0, 1, 9]), rng.integers(0, 3, 40)
    scores = evaluate(pack_codes(q), own, pack_codes(n), labels, bits=8, precision_at=(1, 5, 99))
    distances = (q[:, None] != n[None]).sum(2)
    values = {name: [] for name in ("map", "precision_at_1", "precision_at_5", "precision_at_99")}
    for trial in range(3000):
        order = np.arange(40) if not trial else rng.permutation(40)
        means = {name: [] for name in values}
        for row in range(5):
            hits = (labels[order] == own[row])[np.argsort(distances[row, order], kind="stable")]
            means["map"].append(np.mean(np.cumsum(hits)[hits] / (np.flatnonzero(hits) + 1)))
            for k in (1, 5, 99):
                means[f"precision_at_{k}"].append(hits[:k].mean())
        for name, each in means.items():
            values[name].append(np.mean(each))
    flat = scores.as_dict()
    for name, sampled in values.items():
        assert flat[name] == pytest.approx(
            np.mean(sampled), abs=4 * np.std(sampled) / 3000**0.5 + 1e-12
        )
    assert flat["map_stable"] == pytest.approx(values["map"][0])
    assert scores.map_worst < min(values["map"]) <= max(values["map"]) < scores.map_best
    assert (scores.queries, scores.queries_without_relevant, scores.classes) == (5, 1, 3)
    assert (flat["gallery"], flat["bits"]) == (40, 8)
    assert scores.query.tolist() == [0, 1, 2, 3, 4]
    assert scores.average_precision.mean() == pytest.approx(scores.map)
    within = [[distances[i][labels == own[i]] for i in range(5) if own[i] == c] for c in range(3)]
    between = [[distances[i][labels != own[i]] for i in range(5) if own[i] == c] for c in range(3)]
    assert scores.d1 == pytest.approx(np.mean([np.mean(np.concatenate(c)) for c in within]))
    assert scores.d2 == pytest.approx(np.mean([np.mean(np.concatenate(c)) for c in between]))
    assert scores.d1_over_d2 == pytest.approx(scores.d1 / scores.d2)


def test_backends_give_the_same_scores():
    rng = np.random.default_rng(4)
    arguments = (
        pack_codes(rng.random((30, 16)) < 0.5),
        rng.integers(0, 4, 30),
        pack_codes(rng.random((90, 16)) < 0.5),
        rng.integers(0, 4, 90),
    )
    by_numba, by_jax = (
        evaluate(*arguments, bits=16, backend=name).as_dict() for name in ("numba", "jax")
    )
    assert by_numba.pop("map_stable") > 0
    assert by_numba == by_jax


def test_a_perfect_code_scores_one():
    labels = np.repeat(np.arange(4), 50)
    codes = pack_codes(np.repeat(np.eye(4, 8) > 0, 50, axis=0))
    scores = evaluate(codes, labels, codes, labels, bits=8, precision_at=(49,), exclude_self=True)
    flat = scores.as_dict()
    for name in ("map", "map_best", "map_worst", "map_stable", "precision_at_49"):
        assert flat[name] == pytest.approx(1.0)
    assert (flat["d1"], flat["d2"], flat["gallery"]) == (0.0, 2.0, 199)
    np.testing.assert_allclose(scores.curve.precision, 1.0)


def test_invalid_arguments_are_refused():
    codes, labels = np.zeros((3, 2), np.uint8), np.arange(3)
    with pytest.raises(DataError, match="None of the 3 queries"):
        evaluate(codes, labels, codes, labels + 5, bits=16)
    with pytest.raises(DataError, match="None of the 3 queries"):
        evaluate(codes, labels, codes, labels, bits=16, exclude_self=True)
    with pytest.raises(ValueError, match="bits=24, but the codes have 16"):
        evaluate(codes, labels, codes, labels, bits=24)
    with pytest.raises(ValueError, match=r"k=0 .*must be at least 1\."):
        evaluate(codes, labels, codes, labels, bits=16, precision_at=(0,))
    with pytest.raises(ValueError, match=r"k=1\.5 for precision at k: must be a whole number"):
        evaluate(codes, labels, codes, labels, bits=16, precision_at=(1.5,))
    with pytest.raises(ValueError, match="ascending"):
        precision_recall_curve(*counts([(3, 1)]), recalls=np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="nothing relevant"):
        precision_recall_curve(*counts([(3, 0)]))
    with pytest.raises(ValueError, match="must both be"):
        average_precision(np.ones((2, 3)), np.ones((2, 4)))


def test_one_class_gives_no_d2():
    codes, labels = np.zeros((3, 2), np.uint8), np.zeros(3, int)
    assert "d2" not in evaluate(codes, labels, codes, labels, bits=16).as_dict()


def test_accuracy_by_hand():
    logits = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.4], [9.0, 0.0]])
    labels = np.array([1, 0, 0, 1])
    assert accuracy(logits, labels) == 0.5
    assert accuracy(np.array([1, 0, 1, 0]), labels) == 0.5
    # The padded last item is not counted.
    assert accuracy(logits, labels, np.array([True, True, True, False])) == 2 / 3
    with pytest.raises(ValueError, match="do not match"):
        accuracy(logits, labels[:3])
    with pytest.raises(DataError, match="empty"):
        accuracy(logits, labels, np.zeros(4, bool))
    for mask in (np.array([1, 1, 1, 0]), np.ones(3, bool)):
        with pytest.raises(ValueError, match=r"mask is .*: must be bool\[4\]"):
            accuracy(logits, labels, mask)
