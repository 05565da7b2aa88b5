"""Canonical directions against scikit-learn's CCA, and more bits than classes."""

import numpy as np
import pytest

from sketchjax.errors import DataError
from sketchjax.ops.moments import canonical_directions
from sketchjax.paper.shallow import HASHERS
from sketchjax.paper.shallow.moments import class_means, moments


@pytest.fixture
def overlapping() -> tuple[np.ndarray, np.ndarray]:
    """600 rows of 7 numbers in 4 overlapping classes of unequal size."""
    rng = np.random.default_rng(11)
    labels = rng.choice(4, 600, p=[0.1, 0.2, 0.3, 0.4])
    centers = rng.standard_normal((4, 7))
    mixed = rng.standard_normal((600, 7)) @ rng.standard_normal((7, 7))
    return (centers[labels] + mixed + 5).astype(np.float32), labels


def directions_of(rows, labels):
    return canonical_directions(moments(rows, 64), *class_means(rows, labels, 64), 0.0)


def test_directions_match_scikit_learn(overlapping):
    decomposition = pytest.importorskip(
        "sklearn.cross_decomposition", reason="scikit-learn: pip install 'sketchjax[study]'"
    )
    rows, labels = overlapping
    onehot = np.eye(4)[labels]
    peer = decomposition.CCA(3, max_iter=5000, tol=1e-12)
    theirs, label_scores = peer.fit_transform(rows.astype(np.float64), onehot[:, 1:])
    directions, correlations = directions_of(rows, labels)
    assert directions.shape == (7, 3)
    ours = rows.astype(np.float64) @ directions
    for k in range(3):
        assert abs(np.corrcoef(ours[:, k], theirs[:, k])[0, 1]) == pytest.approx(1, abs=1e-4)
        expected = abs(np.corrcoef(theirs[:, k], label_scores[:, k])[0, 1])
        assert correlations[k] == pytest.approx(expected, abs=1e-4)
    # Uncorrelated, of unit variance.
    np.testing.assert_allclose(np.cov(ours, rowvar=False, ddof=0), np.eye(3), atol=1e-5)


def test_directions_solve_the_published_equation(overlapping):
    rows, labels = overlapping
    directions, correlations = directions_of(rows, labels)
    centered = rows.astype(np.float64) - rows.astype(np.float64).mean(axis=0)
    onehot = np.eye(4)[labels]
    left = centered.T @ onehot @ np.linalg.inv(onehot.T @ onehot) @ onehot.T @ centered
    right = centered.T @ centered
    for w, correlation in zip(directions.T, correlations, strict=True):
        np.testing.assert_allclose(left @ w, correlation**2 * right @ w, atol=1e-3)
    assert (np.diff(correlations) < 0).all()


def test_ridge_is_a_fraction_of_the_mean_variance(overlapping):
    rows, labels = overlapping
    found = moments(rows, 64)
    means, counts = class_means(rows, labels, 64)
    directions, correlations = canonical_directions(found, means, counts, 0.1)
    whole = found.covariance + 0.1 * np.diag(found.covariance).mean() * np.eye(7)
    np.testing.assert_allclose(directions.T @ whole @ directions, np.eye(3), atol=1e-9)
    assert (correlations < directions_of(rows, labels)[1]).all()


@pytest.mark.parametrize("bits, rank", [(2, 2), (3, 3), (12, 3)])
def test_projections_are_rotated_scaled_directions(overlapping, bits, rank):
    rows, labels = overlapping
    method = HASHERS["cca_itq"](bits, ridge=0.0).fit(rows, labels)
    directions, correlations = directions_of(rows, labels)
    scaled = (rows - rows.mean(axis=0)) @ (directions * correlations)[:, :bits]
    values = method.project(rows)
    assert np.linalg.matrix_rank(values, tol=1e-2) == rank
    # Rotating and spreading over all bits keeps lengths and angles.
    np.testing.assert_allclose(values @ values.T, scaled @ scaled.T, atol=1e-3)


def test_class_separation_wins_over_variance():
    rng = np.random.default_rng(3)
    labels = np.arange(400) % 2
    rows = np.stack([rng.normal(0, 100, 400), labels * 6 + rng.normal(0, 1, 400)], axis=1)
    codes = HASHERS["cca_itq"](1).fit(rows, labels).encode(rows)[:, 0]
    plain = HASHERS["pca_itq"](1).fit(rows).encode(rows)[:, 0]
    agreement = np.mean(codes == labels)
    assert max(agreement, 1 - agreement) > 0.99
    assert abs(np.mean(plain == labels) - 0.5) < 0.1


def test_equal_features_are_refused():
    with pytest.raises(DataError, match="all rows may be equal"):
        HASHERS["cca_itq"](8).fit(np.ones((20, 5), np.float32), np.arange(20) % 4)
