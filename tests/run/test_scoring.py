"""What codes and predictions are worth: rankings of splits, class distances, accuracy."""

import numpy as np
import pytest

from sketchjax.errors import DataError
from sketchjax.retrieval.codes import Codes
from sketchjax.retrieval.encode import Encoded
from sketchjax.run.scoring import (
    Measured,
    Ranking,
    accuracy_of,
    distances_of,
    rank,
    rank_features,
)

BITS = 16
SIZES = {"query": 7, "gallery": 30, "validation": 5}


def codes(split, labels=None, seed=0) -> Codes:
    random = np.random.default_rng([seed, *split.encode()])
    n = SIZES[split]
    labels = random.integers(0, 3, n) if labels is None else np.resize(labels, n)
    return Codes(
        random.integers(0, 256, (n, BITS // 8)).astype(np.uint8),
        labels.astype(np.int32),
        np.zeros(n, np.uint64),
        np.arange(n),
        split,
    )


def encoded(features, labels, predictions=None) -> Encoded:
    n = len(labels)
    predictions = np.zeros(n, np.int32) if predictions is None else np.asarray(predictions)
    return Encoded(
        np.asarray(features, np.float32).reshape(n, -1),
        predictions,
        np.asarray(labels, np.int32),
        np.arange(n),
        np.zeros(n, np.uint64),
        np.zeros(n, np.float32),
    )


def by_hand(queries: Codes, gallery: Codes, k: int) -> tuple[float, float]:
    """MAP and precision at k of a stable sort, query by query."""
    precisions, shares = [], []
    for code, label in zip(queries.unpacked(), queries.labels, strict=True):
        order = np.argsort((gallery.unpacked() != code).sum(1), kind="stable")
        right = gallery.labels[order] == label
        ranks = np.flatnonzero(right) + 1
        precisions.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
        shares.append(right[:k].mean())
    return float(np.mean(precisions)), float(np.mean(shares))


def test_each_pair_of_splits_has_its_own_scores():
    own = {split: codes(split) for split in SIZES}
    pairs = [("query", "gallery"), ("validation", "gallery"), ("gallery", "query")]
    ranked = rank(own, pairs, (1, 30))
    assert [(each.queries, each.gallery) for each in ranked] == pairs
    for each in ranked:
        assert each.scores is not None
        expected, share = by_hand(own[each.queries], own[each.gallery], 30)
        assert each.scores.map_stable == pytest.approx(expected, abs=1e-12)
        assert set(each.scores.precision_at) == {1, 30, 100, 200}
        assert each.scores.precision_at[30] == pytest.approx(share, abs=1e-12)
    assert len({each.scores.map for each in ranked if each.scores}) == 3


def test_a_split_ranked_against_itself_leaves_out_each_querys_own_item():
    own = codes("gallery")
    expected, shares = [], []
    for place, (code, label) in enumerate(zip(own.unpacked(), own.labels, strict=True)):
        others = np.delete(np.arange(len(own.labels)), place)
        distances = (own.unpacked()[others] != code).sum(1)
        right = own.labels[others][np.argsort(distances, kind="stable")] == label
        ranks = np.flatnonzero(right) + 1
        expected.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
        shares.append(right[:1].mean())
    (ranking,) = rank({"gallery": own}, [("gallery", "gallery")], (1,))
    assert ranking.scores is not None
    assert ranking.scores.map_stable == pytest.approx(np.mean(expected), abs=1e-12)
    assert ranking.scores.gallery == len(own.labels) - 1
    assert ranking.scores.precision_at[1] < 1


@pytest.mark.parametrize("k", [1, 5, 30])
def test_no_order_has_a_higher_precision_than_the_most_that_is_given(k):
    """The codes of a class are all alike, and classes are of 2, 9 and 19 items."""
    labels = np.repeat(np.arange(3, dtype=np.int32), (2, 9, 19))
    packed = np.repeat(np.array([[0, 0], [255, 0], [255, 255]], np.uint8), (2, 9, 19), axis=0)
    sides = [
        Codes(packed, labels, np.zeros(30, np.uint64), np.arange(30), split)
        for split in ("query", "gallery")
    ]
    (ranking,) = rank({side.split: side for side in sides}, [("query", "gallery")], (k,))
    assert ranking.scores is not None
    best = np.mean([min(n, k) / k for n in (2, 9, 19) for _ in range(n)])
    assert ranking.scores.most_precision_at[k] == pytest.approx(best, abs=1e-12)
    assert ranking.scores.precision_at[k] == pytest.approx(best, abs=1e-12)


def test_splits_that_share_no_class_have_no_scores():
    own = {"query": codes("query", [0]), "gallery": codes("gallery", [1, 2])}
    (ranking,) = rank(own, [("query", "gallery")], ())
    assert ranking == Ranking("query", "gallery", None)
    row = ranking.as_row(SIZES)
    assert (row["queries"], row["gallery"]) == ("query", "gallery")
    assert (row["queries_count"], row["gallery_count"]) == (7, 30)
    assert row["map"] is row["precision_at_200"] is row["map_stable"] is None


def test_a_row_has_all_scores_and_both_sides():
    (ranking,) = rank({s: codes(s) for s in SIZES}, [("query", "gallery")], (50,))
    row = ranking.as_row(SIZES)
    assert ranking.scores is not None
    assert (row["queries"], row["gallery"]) == ("query", "gallery"), "names, not numbers"
    assert row["map"] == ranking.scores.map
    assert row["precision_at_50"] == ranking.scores.precision_at[50]
    assert row["bits"] == BITS


def test_class_distances_need_two_classes_one_with_two_sketches():
    features = [[0.0], [1.0], [3.0]]
    found = distances_of(encoded(features, [0, 0, 1]))
    assert found is not None
    # Inside class 0: 1; to the other class: (9 + 4) / 2.
    assert (found.d1, found.d2) == pytest.approx((1.0, 6.5))
    assert distances_of(encoded(features, [0, 1, 2])) is None
    assert distances_of(encoded(features, [1, 1, 1])) is None


def test_accuracy_is_of_the_categories_that_count():
    own = encoded(np.zeros(5), [0, 0, 1, 1, 2], [0, 1, 1, 1, 2])
    assert accuracy_of(own, np.array([True, True, True])) == pytest.approx(4 / 5)
    assert accuracy_of(own, np.array([True, False, True])) == pytest.approx(2 / 3)
    assert accuracy_of(own, np.array([False, False, False])) is None


def test_what_is_logged_are_the_scores_of_the_first_ranking():
    own = {split: codes(split) for split in SIZES}
    ranked = rank(own, [("query", "gallery"), ("validation", "gallery")], ())
    measured = Measured(own, ranked, None, 0.5, 0.25, SIZES)
    values = measured.values()
    assert measured.scores is ranked[0].scores
    assert values["map"] == ranked[0].scores.map
    assert values["accuracy_gallery"] == 0.5
    assert {"precision_at_200", "d1", "d2"} <= values.keys()
    assert not {"bits", "queries", "gallery"} & values.keys()
    assert Measured({}, [], None, None, None, {}).values() == {}


def test_each_pair_is_ranked_by_each_distance_of_its_features():
    random = np.random.default_rng(4)
    own = {
        split: encoded(random.normal(size=(n, 6)), np.resize([0, 1, 2], n))
        for split, n in SIZES.items()
    }
    pairs = [("query", "gallery"), ("gallery", "gallery")]
    ranked = rank_features(own, pairs, ("snr", "cosine"), (5,))
    assert [(each.queries, each.gallery, each.distance) for each in ranked] == [
        (*pair, distance) for pair in pairs for distance in ("snr", "cosine")
    ]
    for each in ranked:
        assert each.scores is not None
        assert set(each.scores.precision_at) == {5, 100, 200}
        same = each.queries == each.gallery
        assert each.scores.gallery == SIZES["gallery"] - same, "no query is its own answer"
        row = each.as_row(SIZES)
        assert row["queries_count"] == SIZES[each.queries]
        assert row["recall_at_1"] == each.scores.recall_at[1]
    codes_of = {split: codes(split) for split in SIZES}
    measured = Measured(codes_of, rank(codes_of, pairs, ()), None, None, None, SIZES, ranked)
    logged = {name: v for name, v in measured.values().items() if name.startswith("map_by")}
    assert ranked[0].scores is not None
    assert ranked[1].scores is not None
    assert logged == {"map_by_snr": ranked[0].scores.map, "map_by_cosine": ranked[1].scores.map}


def test_features_of_splits_that_share_no_class_have_no_scores():
    own = {"query": encoded([[1.0]], [0]), "gallery": encoded([[1.0], [2.0]], [1, 2])}
    (ranking,) = rank_features(own, [("query", "gallery")], ("euclidean",), ())
    assert ranking.scores is None
    row = ranking.as_row({"query": 1, "gallery": 2})
    assert (row["map"], row["distance"], row["gallery_count"]) == (None, "euclidean", 2)


def test_classes_of_one_leave_nothing_to_rank_by_features():
    own = {"gallery": encoded(np.eye(3), [0, 1, 2])}
    (ranked,) = rank_features(own, [("gallery", "gallery")], ["cosine"], ())
    assert ranked.scores is None


def test_features_that_are_not_finite_are_reported():
    own = {"gallery": encoded([[0, 1], [np.nan, 0], [1, 1]], [0, 0, 1])}
    with pytest.raises(DataError, match="not finite"):
        rank_features(own, [("gallery", "gallery")], ["cosine"], ())
