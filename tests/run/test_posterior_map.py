"""The ranking by posteriors, against a loop over the queries."""

import numpy as np
import pytest

from sketchjax.retrieval.encode import Encoded
from sketchjax.run.posterior import choice


def logits(labels, seed: int) -> Encoded:
    """Random logits of three categories for items of these labels."""
    own, n = np.asarray(labels, np.int32), len(labels)
    features = np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)
    return Encoded(features, own, own, np.arange(n), np.zeros(n, "u8"), np.zeros(n, "f"))


def by_a_loop(queries: Encoded, gallery: Encoded, *, same: bool) -> float:
    """MAP by the probability of one class, without the query's own item where the split is one."""
    posteriors = []
    for side in (queries, gallery):
        odds = np.exp(side.features.astype(float))
        posteriors.append(odds / odds.sum(1, keepdims=True))
    precisions = []
    for place, posterior in enumerate(posteriors[0]):
        others = [item for item in range(len(gallery.labels)) if not (same and item == place)]
        order = sorted(others, key=lambda item: -(posterior @ posteriors[1][item]))
        right = gallery.labels[order] == queries.labels[place]
        found = np.flatnonzero(right) + 1
        if len(found):
            precisions.append(np.mean(np.arange(1, len(found) + 1) / found))
    return float(np.mean(precisions))


@pytest.mark.parametrize("most", [7, 4096])
@pytest.mark.parametrize("queries", ["gallery", "query"])
def test_posteriors_rank_as_a_loop_does(queries, most, monkeypatch):
    monkeypatch.setattr(choice, "_RANKED", most)
    sides = {"gallery": logits([0, 1, 2, 1, 0] * 4, 0), "query": logits([2, 1, 0] * 4, 1)}
    asked = sides[queries]
    asked = asked[np.arange(min(most, len(asked.labels)))]
    wanted = by_a_loop(asked, sides["gallery"], same=queries == "gallery")
    assert choice.posterior_map(sides, queries, "gallery") == pytest.approx(wanted)


@pytest.mark.parametrize("queries, gallery", [([], []), ([0], []), ([0, 1], [2]), ([], [1])])
def test_without_queries_that_have_something_to_find_there_is_none(queries, gallery):
    sides = {"query": logits(queries, 0), "gallery": logits(gallery, 1)}
    assert choice.posterior_map(sides, "query", "gallery") is None


def test_items_of_other_classes_do_not_find_themselves():
    assert choice.posterior_map({"gallery": logits([0, 1, 2], 0)}, "gallery", "gallery") is None
