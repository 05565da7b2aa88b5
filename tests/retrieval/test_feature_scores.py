"""Scores of float rankings against loops over the ranking, and against all orders of its ties."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchjax.errors import DataError
from sketchjax.retrieval import ranks
from sketchjax.retrieval.feature_scores import evaluate_features, feature_map
from sketchjax.retrieval.ranks import DISTANCES, rank_counts

KINDS = pytest.mark.parametrize("kind", DISTANCES)


def splits(seed, queries=9, gallery=40, width=5, classes=4, whole=False):
    """Random features; whole numbers tie often."""
    random = np.random.default_rng(seed)
    sizes = (queries, gallery)
    draw = (lambda n: random.integers(0, 3, (n, width))) if whole else (
        lambda n: random.normal(size=(n, width)) + 0.5
    )  # fmt: skip
    features = [draw(n).astype(np.float32) for n in sizes]
    labels = [random.integers(0, classes, n) for n in sizes]
    return features[0], labels[0], features[1], labels[1]


def far(query, items, kind):
    """The definition, item by item, in f64."""
    query, items = np.asarray(query, np.float64), np.asarray(items, np.float64)
    if kind == "snr":
        return np.array([np.var(item - query) / np.var(query) for item in items])
    if kind == "inner_product":
        return -items @ query
    if kind == "euclidean":
        return np.array([np.sqrt(((item - query) ** 2).sum()) for item in items])
    return np.array(
        [1 - item @ query / np.linalg.norm(item) / np.linalg.norm(query) for item in items]
    )


def scores_of(right, k):
    """Average precision, precision at k and R, average precision at R, recall at k of a ranking."""
    right, total = np.asarray(right), sum(right)
    hits = np.cumsum(right) / np.arange(1, len(right) + 1)
    return np.array(
        [
            (hits * right).sum() / total,
            right[:k].mean(),
            right[:total].mean(),
            (hits * right)[:total].sum() / total,
            right[:k].max(),
        ]
    )


def named(scores, k):
    return [
        scores.map,
        scores.precision_at[k],
        scores.r_precision,
        scores.map_at_r,
        scores.recall_at[k],
    ]


@KINDS
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
@settings(deadline=None, max_examples=15)
def test_scores_are_those_of_a_sorted_ranking(kind, seed, k):
    queries, asked, gallery, found = splits(seed)
    wanted = []
    for query, label in zip(queries, asked, strict=True):
        right = (found == label)[np.argsort(far(query, gallery, kind), kind="stable")].astype(int)
        if right.any():
            wanted.append(scores_of(right, k))
    scores = evaluate_features(
        *(queries, asked, gallery, found), distance=kind, precision_at=(k,), recall_at=(k,)
    )
    np.testing.assert_allclose(named(scores, k), np.mean(wanted, 0), atol=1e-12)
    assert feature_map(queries, asked, gallery, found, distance=kind) == scores.map
    assert scores.map_best == pytest.approx(scores.map) == pytest.approx(scores.map_worst)
    assert scores.queries == len(wanted)
    assert scores.queries_without_relevant == len(queries) - len(wanted)
    assert scores.gallery == len(gallery)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
@settings(deadline=None, max_examples=15)
def test_ties_count_as_the_mean_over_their_orders(seed, k):
    """Six items at whole distances: every order inside the ties, counted out."""
    queries, asked, gallery, found = splits(seed, 2, 6, width=2, classes=2, whole=True)
    asked[0] = found[0]
    wanted, bounds = [], []
    for query, label in zip(queries, asked, strict=True):
        distances = far(query, gallery, "euclidean")
        right = (found == label).astype(int)
        if not right.any():
            continue
        rows = [
            scores_of(right[list(order)], k)
            for order in itertools.permutations(range(6))
            if (np.diff(distances[list(order)]) >= 0).all()
        ]
        wanted.append(np.mean(rows, 0))
        bounds.append((np.min(rows, 0)[0], np.max(rows, 0)[0]))
    scores = evaluate_features(
        *(queries, asked, gallery, found), distance="euclidean", precision_at=(k,), recall_at=(k,)
    )
    np.testing.assert_allclose(named(scores, k), np.mean(wanted, 0), atol=1e-12)
    found_bounds = (scores.map_worst, scores.map_best)
    np.testing.assert_allclose(found_bounds, np.mean(bounds, 0), atol=1e-12)


@KINDS
@pytest.mark.parametrize("whole", [False, True])
def test_scores_do_not_depend_on_the_order_or_the_blocks(kind, whole, monkeypatch):
    """Equal features tie wherever they are: copies of the gallery, of other classes."""
    queries, asked, gallery, found = splits(3, 30, 700, whole=whole)
    gallery, found = np.concatenate([gallery, gallery]), np.concatenate([found, np.roll(found, 1)])
    scores = evaluate_features(queries, asked, gallery, found, distance=kind)
    order = np.random.default_rng(0).permutation(len(gallery))
    monkeypatch.setattr(ranks, "_COUNTS", 1)
    again = evaluate_features(queries, asked, gallery[order], found[order], distance=kind)
    values, others = scores.as_dict(), again.as_dict()
    # The clusters depend on where they start.
    assert values.pop("nmi") == pytest.approx(others.pop("nmi"), abs=0.1)
    assert values == pytest.approx(others, abs=1e-12)
    assert scores.map_worst < scores.map < scores.map_best


@KINDS
def test_a_split_against_itself_leaves_each_query_out(kind):
    queries, asked, _, _ = splits(5, queries=25)
    scores = evaluate_features(
        *(queries, asked, queries, asked), distance=kind, recall_at=(1,), exclude_self=True
    )
    nearest = []
    for place, label in enumerate(asked):
        distances = far(queries[place], queries, kind)
        distances[place] = np.inf
        nearest.append(asked[distances.argmin()] == label)
    assert scores.recall_at[1] == pytest.approx(np.mean(nearest))
    assert scores.gallery == 24


@KINDS
@pytest.mark.parametrize("asking", [10, 25])
def test_no_query_is_its_own_neighbour(kind, asking):
    """All of a gallery, or its first items, against a loop over the others."""
    _, _, gallery, found = splits(6, gallery=25)
    wanted = []
    for place in range(asking):
        others = np.delete(np.arange(25), place)
        distances = far(gallery[place], gallery[others], kind)
        right = (found[others] == found[place])[np.argsort(distances, kind="stable")]
        wanted.append(scores_of(right.astype(int), 1)[0])
    sides = gallery[:asking], found[:asking], gallery, found
    score = feature_map(*sides, distance=kind, exclude_self=True)
    assert score == pytest.approx(np.mean(wanted))


def test_a_class_of_one_has_no_other_to_find():
    features = np.eye(3, dtype=np.float32)
    scores = evaluate_features(
        *(features, np.array([0, 0, 1])) * 2, distance="euclidean", exclude_self=True
    )
    assert (scores.queries, scores.queries_without_relevant) == (2, 1)


def test_groups_count_every_item_once():
    queries, asked, gallery, found = splits(7, whole=True)
    parts = list(rank_counts(queries, asked, gallery, found, distance="snr"))
    for everything, relevant in parts:
        assert (everything >= relevant).all()
        assert (everything.sum(1) == len(gallery)).all()
        assert not relevant[:, ::2].any(), "between relevant distances there is nothing relevant"
    assert [part[1].sum(1).tolist() for part in parts] == [
        [(found == label).sum()] * (asked == label).sum() for label in np.unique(asked)
    ]


def test_equal_products_tie():
    """Different features at whole products: by the definition, item by item and tie by tie."""
    queries, asked, gallery, found = splits(4, queries=12, whole=True)
    wanted = []
    for query, label in zip(queries, asked, strict=True):
        products = (gallery @ query).tolist()
        total = sum(found == label)
        if not total:
            continue
        score = 0.0
        for value in sorted(set(products), reverse=True):
            before = [own == label for own, p in zip(found, products, strict=True) if p > value]
            tied = [own == label for own, p in zip(found, products, strict=True) if p == value]
            share = (sum(tied) - 1) / (len(tied) - 1) if len(tied) > 1 else 0
            for place in range(len(tied)):
                hits = sum(before) + 1 + place * share
                score += sum(tied) / len(tied) * hits / (len(before) + place + 1)
        wanted.append(score / total)
    score = feature_map(queries, asked, gallery, found, distance="inner_product")
    assert score == pytest.approx(np.mean(wanted))


@KINDS
@pytest.mark.parametrize("power", [-1000, -600, -200, 200, 600, 1000])
def test_no_unit_of_features_changes_a_score(kind, power):
    """Times a power of 2, so that the features themselves are exact."""
    queries, asked, gallery, found = splits(3)
    options = {"distance": kind, "precision_at": (5,)}
    expected = evaluate_features(queries, asked, gallery, found, **options)
    queries, gallery = (np.ldexp(side.astype(np.float64), power) for side in (queries, gallery))
    assert evaluate_features(queries, asked, gallery, found, **options) == expected


def test_the_least_integers_are_ranked():
    queries, gallery = np.full((1, 2), -128, np.int8), np.array([[-128, -127], [0, 0]], np.int8)
    assert feature_map(queries, np.zeros(1, int), gallery, np.arange(2), distance="euclidean") == 1


def test_only_a_gallery_has_itself_among_its_queries():
    features, labels = np.eye(3, dtype=np.float32), np.array([0, 0, 1])
    options = {"distance": "euclidean", "precision_at": (1,), "exclude_self": True}
    assert evaluate_features(features, labels, features, labels, **options).gallery == 2
    for queries, asked in (
        (features[1:], labels[1:]),
        (features + 1, labels),
        (features, labels + 1),
    ):
        with pytest.raises(ValueError, match="exclude_self needs queries that are the first"):
            evaluate_features(queries, asked, features, labels, **options)


def test_what_cannot_be_ranked_is_refused():
    queries, asked, gallery, found = splits(1)
    with pytest.raises(DataError, match="nothing to score"):
        feature_map(queries, asked + 10, gallery, found, distance="cosine")
    with pytest.raises(DataError, match="nothing to score"):
        evaluate_features(queries, asked + 10, gallery, found, distance="snr")
    broken = gallery.copy()
    broken[3, 1] = np.nan
    with pytest.raises(DataError, match="not finite"):
        evaluate_features(queries, asked, broken, found, distance="snr")
    with pytest.raises(ValueError, match="must be one of snr, euclidean, cosine, inner_product"):
        evaluate_features(queries, asked, gallery, found, distance="manhattan")
    with pytest.raises(ValueError, match="same model"):
        evaluate_features(queries[:, :3], asked, gallery, found, distance="snr")
    with pytest.raises(ValueError, match="do not match"):
        evaluate_features(queries, asked[:3], gallery, found, distance="snr")
    for name in ("precision_at", "recall_at"):
        with pytest.raises(ValueError, match="at least 1"):
            evaluate_features(queries, asked, gallery, found, distance="snr", **{name: (0,)})
