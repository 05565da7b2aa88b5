"""Moments in blocks against numpy, also for a large mean; directions against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchjax.errors import ConfigError
from sketchjax.ops.moments import class_sums, principal_directions
from sketchjax.paper.shallow.moments import class_means, mean_of, moments


@given(st.integers(2, 60), st.integers(1, 9), st.sampled_from([0.0, 1e4]), st.integers(0, 2**32))
def test_moments_match_numpy(count, block, offset, seed):
    rows = np.random.default_rng(seed).standard_normal((count, 3)) + offset
    rows = rows.astype(np.float32)
    found = moments(rows, block)
    wide = rows.astype(np.float64)
    assert found.rows == count
    np.testing.assert_allclose(found.mean, wide.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(mean_of(rows, block), wide.mean(axis=0), rtol=1e-12)
    expected = np.cov(wide, rowvar=False, ddof=0)
    np.testing.assert_allclose(found.covariance, expected, atol=1e-8)


def test_class_means_match_a_loop():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((50, 3)).astype(np.float32)
    labels = np.r_[np.arange(4), rng.integers(0, 4, 46)]
    means, counts = class_means(rows, labels, 7)
    for label in range(4):
        own = rows[labels == label]
        assert counts[label] == len(own)
        np.testing.assert_allclose(means[label], own.mean(axis=0), atol=1e-6)
    sums = class_sums(rows[:2], np.array([2, 2]), 4)
    np.testing.assert_allclose(sums, [[0] * 3, [0] * 3, rows[0] + rows[1], [0] * 3])


def test_principal_directions_match_scikit_learn():
    decomposition = pytest.importorskip(
        "sklearn.decomposition", reason="scikit-learn: pip install 'sketchjax[study]'"
    )
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((200, 6)) @ rng.standard_normal((6, 6)) + 3
    pca = decomposition.PCA(4).fit(rows)
    directions, variances = principal_directions(np.cov(rows, rowvar=False), 4)
    np.testing.assert_allclose(variances, pca.explained_variance_, rtol=1e-9)
    agreement = np.sum(directions * pca.components_.T, axis=0)
    np.testing.assert_allclose(np.abs(agreement), 1, atol=1e-9)
    largest = np.abs(directions).argmax(axis=0)
    assert (directions[largest, range(4)] > 0).all()


def test_too_many_directions_are_rejected():
    with pytest.raises(ConfigError, match="only 3 principal"):
        principal_directions(np.eye(3), 4)
