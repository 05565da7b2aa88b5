"""The common centre loss and its moving centres against double loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchjax.losses.common_center import common_center, move_centers


def random_batch(seed, batch=7, bits=4, classes=5):
    random = np.random.default_rng(seed)
    features = random.uniform(size=(batch, bits)).astype(np.float32)
    centers = random.normal(size=(classes, bits)).astype(np.float32)
    return jnp.array(features), jnp.array(centers), jnp.array(random.integers(0, classes, batch))


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_loss_is_its_definition(seed):
    features, centers, labels = random_batch(seed)
    total = 0.0
    for feature, label in zip(features.tolist(), labels.tolist(), strict=True):
        for value, wanted in zip(feature, centers[label].tolist(), strict=True):
            total += 0.5 * (value - wanted) ** 2
    assert common_center(features, centers, labels) == pytest.approx(total / 7, rel=1e-5)


@given(st.integers(0, 2**32 - 1), st.sampled_from((0.5, 0.1)))
@settings(deadline=None, max_examples=20)
def test_centers_move_as_the_paper_says(seed, rate):
    features, centers, labels = random_batch(seed)
    wanted = np.array(centers, np.float64)
    for label in range(len(centers)):
        difference, count = np.zeros(4), 0
        for feature, own in zip(np.array(features), labels.tolist(), strict=True):
            if own == label:
                difference += np.array(centers[label], np.float64) - feature
                count += 1
        wanted[label] -= rate * difference / (1 + count)
    found = jax.jit(move_centers, static_argnames="rate")(features, centers, labels, rate=rate)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_values_by_hand():
    # Half of the squared distance 1 + 4; by default half of the way, divided by 1 + 2 sketches.
    features, centers = jnp.array([[1.0, 2.0], [1.0, 2.0]]), jnp.array([[0.0, 0.0], [9.0, 9.0]])
    labels = jnp.array([0, 0])
    assert common_center(features, centers, labels) == pytest.approx(2.5)
    moved = move_centers(features, centers, labels)
    np.testing.assert_allclose(moved, [[1 / 3, 2 / 3], [9, 9]], rtol=1e-6)


@pytest.mark.parametrize("function", (common_center, move_centers))
def test_shapes_that_do_not_fit_are_refused(function):
    features, centers, labels = random_batch(0)
    with pytest.raises(ValueError, match="differ in d"):
        function(features[:, :1], centers, labels)
    with pytest.raises(ValueError, match="differ in b"):
        function(features, centers, labels[:1])
