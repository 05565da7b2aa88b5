"""Distances of a batch against the definitions, number by number, and against each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from sketchjax.losses import table
from sketchjax.ops.distances import DISTANCES, LEAST_VARIANCE, cosine, euclidean, snr, unit_length


def random_features(seed, count=7, width=5, spread=1.0):
    random = np.random.default_rng(seed)
    return ((random.normal(size=(count, width)) + random.normal()) * spread).astype(np.float32)


def loop_snr(features):
    wide = np.asarray(features, np.float64)
    return np.array([[np.var(x - a) / max(np.var(a), LEAST_VARIANCE) for x in wide] for a in wide])


@given(st.integers(0, 2**32 - 1), st.sampled_from((2, 5, 12)), st.sampled_from((0.1, 1.0, 30.0)))
@example(seed=178, width=12, spread=30.0)
@settings(deadline=None, max_examples=25)
def test_distances_are_their_definitions(seed, width, spread):
    features = random_features(seed, width=width, spread=spread)
    wide = features.astype(np.float64)
    close = {"rtol": 1e-3, "atol": 1e-4}
    np.testing.assert_allclose(snr(jnp.asarray(features)), loop_snr(features), **close)
    far = cdist(wide, wide)
    np.testing.assert_allclose(euclidean(jnp.asarray(features)), far, rtol=1e-3, atol=2e-3 * spread)
    np.testing.assert_allclose(cosine(jnp.asarray(features)), cdist(wide, wide, "cosine"), **close)


def test_snr_of_unit_variances_is_two_minus_twice_the_correlation():
    features = random_features(3, count=9, width=16)
    standard = (features - features.mean(1, keepdims=True)) / features.std(1, keepdims=True)
    wanted = 2 - 2 * np.corrcoef(standard.astype(np.float64))
    np.testing.assert_allclose(snr(jnp.asarray(standard)), wanted, atol=1e-5)


def test_snr_of_codes_is_their_hamming_distance():
    """Balanced codes of -1 and 1, h bits apart: 4 h / d; and for any, with their means."""
    random = np.random.default_rng(0)
    codes = random.choice([-1.0, 1.0], (6, 16)).astype(np.float32)
    codes[:2] = random.permuted(np.tile([-1.0, 1.0], 8), axis=0), np.tile([1.0, -1.0], 8)
    bits = (codes[:, None] != codes).sum(-1)
    means = codes.mean(1)
    wanted = (4 * bits / 16 - (means[None] - means[:, None]) ** 2) / (1 - means[:, None] ** 2)
    np.testing.assert_allclose(snr(jnp.asarray(codes)), wanted, atol=1e-5)
    assert snr(jnp.asarray(codes))[0, 1] == pytest.approx(4 * bits[0, 1] / 16)


def test_snr_ignores_shift_and_scale_but_not_the_side_of_the_anchor():
    features = random_features(1)
    found = np.asarray(snr(jnp.asarray(features)))
    np.testing.assert_allclose(snr(jnp.asarray(0.5 * features - 3)), found, rtol=1e-3, atol=1e-5)
    assert np.abs(found - found.T).max() > 0.1


def test_an_anchor_of_equal_features_is_guarded():
    features = np.array([[2.0, 2.0, 2.0], [1.0, 0.0, -1.0]], np.float32)
    found = np.asarray(jax.jit(snr)(features))
    assert np.isfinite(found).all()
    assert found[0, 1] == pytest.approx((2 / 3) / LEAST_VARIANCE)
    assert found[1, 0] == pytest.approx(1.0)
    assert found[0, 0] == found[1, 1] == 0
    gradient = jax.jit(jax.grad(lambda x: snr(x).sum()))(features)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", DISTANCES)
def test_equal_features_are_at_zero_with_finite_gradients(name):
    features = np.repeat(random_features(2, count=3), 2, axis=0)
    found = np.asarray(jax.jit(DISTANCES[name])(features))
    assert (found >= -1e-6).all()
    np.testing.assert_allclose(np.diag(found), 0, atol=2e-3)
    np.testing.assert_allclose(found[0, 1], 0, atol=2e-3)
    gradient = jax.jit(jax.grad(lambda x: DISTANCES[name](x).sum()))
    for equal in (features, np.zeros_like(features)):
        assert np.isfinite(gradient(equal)).all()


def test_unit_length_leaves_zero_at_zero():
    found = unit_length(jnp.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)


def test_the_table_of_losses_names_these_distances():
    assert tuple(DISTANCES) == table.DISTANCES
