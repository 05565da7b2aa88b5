"""Scores between sketches and photos against double loops over queries and photos, with ties."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchjax.errors import DataError
from sketchjax.ops.hamming import pack_codes
from sketchjax.retrieval import ranks
from sketchjax.retrieval.clusters import mutual_information
from sketchjax.retrieval.photo_scores import Items, category_scores, instance_scores

CATEGORIES = 3


def sides(seed, queries=7, photos=12, width=8):
    """Bits, categories and instances; some photos are drawn twice, some sketches' are unknown."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CATEGORIES, photos)
    instances = np.arange(photos) + 100
    drawn = random.integers(0, photos, queries)
    own = np.where(random.random(queries) < 0.2, -1, instances[drawn])
    own[0] = instances[drawn[0]]
    bits = random.random((queries + photos, width)) < 0.5
    bits[:, 3:] = False  # five distances: many ties
    return (
        (bits[:queries], labels[drawn], own),
        (bits[queries:], labels, np.where(random.random(photos) < 0.1, -1, instances)),
    )


def items(side, kind):
    bits, labels, instances = side
    values = pack_codes(bits) if kind == "hamming" else 2.0 * bits - 1
    return Items(values, labels, instances)


def distances(query, photos):
    return [int(sum(a != b for a, b in zip(query, photo, strict=True))) for photo in photos]


def recall(found, right, k):
    """Expected, worst and chance recall at k of one query, counting photo by photo."""
    if not any(right):
        return None
    best = min(d for d, own in zip(found, right, strict=True) if own)
    nearer = sum(d < best for d in found)
    tied = [own for d, own in zip(found, right, strict=True) if d == best]

    def any_of(places, total, own):
        """The share of the choices of places that hold a right one."""
        choices = list(itertools.combinations(range(total), places))
        return np.mean([any(place < own for place in choice) for choice in choices])

    room = min(max(k - nearer, 0), len(tied))
    return (
        any_of(room, len(tied), sum(tied)),
        float(nearer + len(tied) - sum(tied) + 1 <= k),
        any_of(min(k, len(found)), len(found), sum(right)),
    )


KINDS = pytest.mark.parametrize("kind", ("hamming", "euclidean", "inner_product"))


@KINDS
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
@settings(deadline=None, max_examples=15)
def test_instance_recall_is_that_of_a_loop(kind, seed, k):
    queries, photos = sides(seed)
    wanted, sizes, left_out = [], [], 0
    for bits, label, instance in zip(*queries, strict=True):
        found = distances(bits, photos[0])
        right = [instance >= 0 and own == instance for own in photos[2]]
        over_all = recall(found, right, k)
        if over_all is None:
            left_out += 1
            continue
        own = [place for place in range(12) if photos[1][place] == label]
        within = recall([found[place] for place in own], [right[place] for place in own], k)
        wanted.append([*over_all, *within])
        sizes.append(len(own))
    if not wanted:
        with pytest.raises(DataError, match="nothing to score"):
            instance_scores(items(queries, kind), items(photos, kind), distance=kind)
        return
    scores = instance_scores(
        items(queries, kind), items(photos, kind), distance=kind, recall_at=(k,)
    )
    names = [
        f"recall_at_{k}{which}{where}"
        for where in ("", "_within")
        for which in ("", "_worst", "_chance")
    ]
    found = scores.as_dict()
    assert [found[name] for name in names] == pytest.approx(np.mean(wanted, 0), abs=1e-12)
    assert (scores.queries, scores.queries_without_photo) == (len(wanted), left_out)
    assert (scores.gallery, scores.gallery_within) == (12, pytest.approx(np.mean(sizes)))


def ordered(found, right, last):
    """The ranking with relevant items first or last inside ties."""
    order = sorted(range(len(found)), key=lambda place: (found[place], right[place] == last))
    return [bool(right[place]) for place in order]


@KINDS
@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=10)
def test_category_scores_are_those_of_a_loop(kind, seed):
    queries, photos = sides(seed)
    shares, bounds = {}, {"_best": [], "_worst": []}
    for bits, label, _ in zip(*queries, strict=True):
        found = distances(bits, photos[0])
        right = [own == label for own in photos[1]]
        total = sum(right)
        # Expected relevant items among the first k: those of each tie by their share in it.
        for k in (2, 5):
            first = 0.0
            for value in set(found):
                tied = [own for d, own in zip(found, right, strict=True) if d == value]
                room = min(max(k - sum(d < value for d in found), 0), len(tied))
                first += sum(tied) / len(tied) * room
            shares.setdefault(k, []).append(first / k)
        for which, last in (("_best", False), ("_worst", True)):
            ranking = ordered(found, right, last)
            hits = np.cumsum(ranking) / np.arange(1, 13)
            raised = np.maximum.accumulate(hits[::-1])[::-1]
            own = [sum(each[ranking]) / total for each in (hits, raised)]
            bounds[which].append(own)
    scores = category_scores(items(queries, kind), items(photos, kind), distance=kind, cuts=(2, 5))
    found = scores.as_dict()
    for k, each in shares.items():
        assert found[f"precision_at_{k}"] == pytest.approx(np.mean(each))
    for which, own in bounds.items():
        names = ("map", "interpolated_map")
        wanted = np.mean(own, 0)
        assert [found[name + which] for name in names] == pytest.approx(wanted, abs=1e-12)
    assert found["map_worst"] <= found["map"] <= found["map_best"]
    for k in (2, 5):
        three = [found[f"map_at_{k}_over_{name}"] for name in ("all", "reachable", "found")]
        assert three == sorted(three), "a smaller denominator gives a larger score"
    assert (scores.queries, scores.gallery) == (7, 12)


def test_codes_and_their_features_have_the_same_scores():
    """Hamming distance and Euclidean distance of -1 and 1 rank alike, ties included."""
    queries, photos = sides(1, queries=40, photos=60)
    found = [
        category_scores(items(queries, kind), items(photos, kind), distance=kind).as_dict()
        for kind in ("hamming", "euclidean")
    ]
    dead = {name: found[0].pop(name) for name in ("dead_bits_queries", "dead_bits_gallery")}
    assert dead == {"dead_bits_queries": 5, "dead_bits_gallery": 5}
    assert found[0] == pytest.approx(found[1], abs=1e-12)
    assert {"map_at_200_over_found", "precision_at_100_over_reachable"} <= found[0].keys()


@pytest.mark.parametrize("kind", ("hamming", "cosine"))
def test_clusters_of_far_categories_agree_with_them(kind):
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 8)
    bits = np.repeat([[True] * 4 + [False] * 4, [False] * 4 + [True] * 4], 8, axis=0)
    own = items((bits, labels, labels), kind)
    assert category_scores(own, own, distance=kind, nmi=True).values["nmi"] == pytest.approx(1)
    mixed = items((bits, random.permutation(labels), labels), kind)
    nmi = category_scores(mixed, mixed, distance=kind, nmi=True).values["nmi"]
    assert nmi == pytest.approx(mutual_information(labels, mixed.labels))


def test_scores_do_not_depend_on_the_blocks(monkeypatch):
    random = np.random.default_rng(2)
    queries, photos = (
        Items(random.normal(size=(n, 6)), random.integers(0, 4, n), random.integers(0, 30, n))
        for n in (50, 90)
    )
    found = [
        score(queries, photos, distance="snr").as_dict()
        for score in (category_scores, instance_scores)
    ]
    monkeypatch.setattr(ranks, "_PART", 7)
    monkeypatch.setattr(ranks, "_COUNTS", 1)
    for before, score in zip(found, (category_scores, instance_scores), strict=True):
        assert score(queries, photos, distance="snr").as_dict() == pytest.approx(before, abs=1e-12)


def test_what_cannot_be_scored_is_an_error():
    queries, photos = (items(side, "hamming") for side in sides(0))
    far = Items(queries.values, queries.labels + 10, queries.instances + 1000)
    with pytest.raises(DataError, match="nothing to score"):
        category_scores(far, photos, distance="hamming")
    with pytest.raises(DataError, match="nothing to score"):
        instance_scores(far, photos, distance="hamming")
    with pytest.raises(ValueError, match="at least 1"):
        instance_scores(queries, photos, distance="hamming", recall_at=(0,))
    with pytest.raises(ValueError, match="must be one of snr"):
        instance_scores(*(items(side, "cosine") for side in sides(0)), distance="manhattan")
