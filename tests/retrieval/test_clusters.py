"""k-means and normalised mutual information against scikit-learn, and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score

from sketchjax.retrieval import clusters as module
from sketchjax.retrieval.clusters import clusters, mutual_information


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40),
)
def test_mutual_information_is_that_of_scikit_learn(pairs):
    first, second = np.array(pairs).T
    wanted = normalized_mutual_info_score(first, second)
    assert mutual_information(first, second) == pytest.approx(wanted, abs=1e-9)


def test_mutual_information_by_hand():
    assert mutual_information(np.array([3, 3, 7, 7]), np.array([1, 1, 0, 0])) == pytest.approx(1)
    assert mutual_information(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])) == pytest.approx(0)
    # I = log 2 - ½ log 2; H = log 2 + (¼ log 4 + ¾ log 4/3) would be of 1 + 3.
    halves = mutual_information(np.array([0, 0, 1, 1]), np.array([0, 1, 2, 2]))
    assert halves == pytest.approx(2 * np.log(2) / (np.log(2) + 1.5 * np.log(2)))
    assert mutual_information(np.zeros(3, int), np.zeros(3, int)) == 1


def blobs(classes=5, each=30, width=4, spread=0.1):
    random = np.random.default_rng(2)
    centers = random.normal(size=(classes, width)) * 3
    labels = np.repeat(np.arange(classes), each)
    return centers[labels] + spread * random.normal(size=(len(labels), width)), labels


@pytest.mark.parametrize("block", [7, 4096])
def test_clusters_far_apart_are_found(block, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", block)
    features, labels = blobs()
    assert mutual_information(labels, clusters(features, 5)) == pytest.approx(1)


def test_clusters_are_about_as_tight_as_those_of_scikit_learn():
    features, _ = blobs(spread=2.0)

    def squares(assigned):
        return sum(
            ((features[assigned == own] - features[assigned == own].mean(0)) ** 2).sum()
            for own in np.unique(assigned)
        )

    wanted = KMeans(5, n_init=10, random_state=0).fit(features).inertia_
    found = [squares(clusters(features, 5, seed=seed)) for seed in range(5)]
    assert min(found) <= 1.02 * wanted
    assert max(found) <= 1.25 * wanted


def test_the_same_seed_gives_the_same_clusters():
    features, _ = blobs(spread=2.0)
    first = clusters(features, 5, seed=3)
    np.testing.assert_array_equal(first, clusters(features, 5, seed=3))
    # A cluster holds what is nearest to its mean: no feature would change.
    means = np.stack([features[first == own].mean(0) for own in range(5)])
    nearest = ((features[:, None] - means) ** 2).sum(-1).argmin(1)
    np.testing.assert_array_equal(first, nearest)


def test_fewer_different_features_than_clusters():
    features = np.repeat(np.eye(2), 4, axis=0)
    found = clusters(features, 6)
    assert len(np.unique(found)) == 2
    assert mutual_information(np.repeat([0, 1], 4), found) == pytest.approx(1)
