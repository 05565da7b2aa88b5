"""DSH: planes and entropies against plain loops, and the codes they give."""

import itertools

import numpy as np
import pytest

from sketchjax.errors import ConfigError, DataError
from sketchjax.paper.shallow import HASHERS
from sketchjax.paper.shallow.dsh import group_rows, midway_planes


@pytest.mark.parametrize("nearest", [1, 2, 3, 20])
def test_planes_and_entropies_match_loops(nearest):
    rng = np.random.default_rng(4)
    centers = rng.standard_normal((8, 3)) + 2
    shares = rng.dirichlet(np.ones(8))
    expected = []
    for i, j in itertools.combinations(range(8), 2):
        distance = [[np.inf if a == b else np.linalg.norm(centers[a] - centers[b])
                     for b in range(8)] for a in (i, j)]  # fmt: skip
        if (
            j not in np.argsort(distance[0])[:nearest]
            and i not in np.argsort(distance[1])[:nearest]
        ):
            continue
        normal, middle = centers[i] - centers[j], (centers[i] + centers[j]) / 2
        above = sum(
            share for center, share in zip(centers, shares, strict=True)
            if (center - middle) @ normal > 0
        )  # fmt: skip
        entropy = -sum(p * np.log(p) for p in (above, 1 - above))
        expected.append((normal, middle, entropy))
    found = midway_planes(centers, shares, nearest)
    assert len(found[0]) == len(expected)
    for ours, theirs in zip(found, zip(*expected, strict=True), strict=True):
        np.testing.assert_allclose(ours, np.array(theirs), atol=1e-12)


def test_three_groups_on_a_line_by_hand():
    centers = np.array([[0.0, 0.0], [2.0, 0.0], [6.0, 0.0]])
    # The nearest group of 0 is 1, of 1 is 0, of 2 is 1: planes at x = 1 and x = 4.
    normals, middles, entropies = midway_planes(centers, np.array([0.5, 0.3, 0.2]), 1)
    np.testing.assert_array_equal(middles, [[1, 0], [4, 0]])
    np.testing.assert_array_equal(normals, [[-2, 0], [-4, 0]])
    np.testing.assert_allclose(entropies, [np.log(2), 0.500402], atol=1e-6)


def test_the_most_even_planes_are_used(clusters):
    rows, _ = clusters
    method = HASHERS["dsh"](5).fit(rows)
    centers, shares = group_rows(rows, 8, 3, 0)  # round(1.5 * 5) groups, 3 iterations
    normals, middles, entropies = midway_planes(centers, shares, 3)
    best = sorted(range(len(entropies)), key=lambda k: -entropies[k])[:5]
    expected = np.array([
        [(row - middles[k]) @ normals[k] > 0 for k in best] for row in rows.astype(np.float64)
    ])  # fmt: skip
    assert np.mean(method.encode(rows) != expected) < 1e-3


def test_groups_have_their_means_and_shares(clusters):
    rows, _ = clusters
    centers, shares = group_rows(rows, 6, 50, 0)
    assert shares.sum() == pytest.approx(1)
    nearest = np.linalg.norm(rows[:, None] - centers, axis=2).argmin(axis=1)
    for group in range(6):
        assert shares[group] == pytest.approx(np.mean(nearest == group))
        np.testing.assert_allclose(centers[group], rows[nearest == group].mean(axis=0), rtol=1e-3)


def test_too_few_rows_or_planes_are_rejected(clusters):
    rows, _ = clusters
    with pytest.raises(DataError, match=r"40 rows .* 48 groups for 32 bits"):
        HASHERS["dsh"](32).fit(rows[:40])
    with pytest.raises(ConfigError, match="have only"):
        HASHERS["dsh"](12, groups_per_bit=0.5, nearest=1).fit(rows)
    assert HASHERS["dsh"](1).fit(rows).encode(rows).shape == (400, 1)


def test_missing_scikit_learn_names_the_extra(clusters, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.cluster", None)
    with pytest.raises(ConfigError, match=r"pip install 'sketchjax\[study\]'"):
        HASHERS["dsh"](4).fit(clusters[0])
