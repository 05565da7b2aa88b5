"""Dropout: its rate and scale, and that the mask follows the sketch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sketchjax.ops.dropout import dropout
from sketchjax.parallel import SPLIT, over_devices, split


def keys_of(numbers):
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(7), jnp.asarray(numbers))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_rate_and_scale(rate):
    features = 1 + np.random.default_rng(0).random((200, 300), np.float32)
    dropped = np.asarray(dropout(features, rate, keys_of(np.arange(200))))
    kept = dropped != 0
    # 60,000 draws: a standard error of at most 0.002.
    assert abs((1 - kept.mean()) - rate) < 0.01
    np.testing.assert_allclose(dropped[kept], features[kept] / (1 - rate), rtol=1e-6)
    # No feature and no sketch is favoured: 200 and 300 draws each.
    assert np.abs(kept.mean(0) - (1 - rate)).max() < 0.2
    assert np.abs(kept.mean(1) - (1 - rate)).max() < 0.2


def test_without_keys_or_rate_features_stay_the_same():
    features = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    np.testing.assert_array_equal(dropout(features, 0.5, None), features)
    np.testing.assert_array_equal(dropout(features, 0.0, keys_of([1, 2, 3])), features)


def test_a_mask_depends_only_on_the_key():
    numbers = np.array([4, 9, 2, 7])
    features = np.ones((4, 64), np.float32)
    together = np.asarray(dropout(features, 0.5, keys_of(numbers)))
    order = [2, 0, 3, 1]
    turned = np.asarray(dropout(features, 0.5, keys_of(numbers[order])))
    np.testing.assert_array_equal(turned, together[order])
    for place, number in enumerate(numbers):
        alone = dropout(features[:1], 0.5, keys_of([number]))
        np.testing.assert_array_equal(alone[0], together[place])
    assert len({row.tobytes() for row in together}) == 4  # and two sketches have different masks


def test_four_devices_drop_the_same_features_as_one():
    features = np.ones((8, 32), np.float32)
    numbers = np.arange(8)

    def step(features, numbers):
        return dropout(features, 0.3, keys_of(numbers))

    on_four = over_devices(step, inputs=(SPLIT, SPLIT), outputs=SPLIT)(
        *split((features, numbers), 4)
    )
    np.testing.assert_array_equal(np.asarray(on_four).reshape(8, 32), step(features, numbers))


def test_dropout_keeps_the_type_and_masks_the_gradient():
    features = jnp.full((2, 50), 3, jnp.bfloat16)
    dropped = dropout(features, 0.5, keys_of([0, 1]))
    assert dropped.dtype == jnp.bfloat16
    assert set(np.unique(dropped.astype(jnp.float32)).tolist()) == {0.0, 6.0}
    gradient = jax.grad(lambda x: dropout(x, 0.5, keys_of([0, 1])).sum())(jnp.ones((2, 50)))
    np.testing.assert_array_equal(np.asarray(gradient) != 0, np.asarray(dropped) != 0)
    assert set(np.unique(gradient).tolist()) == {0.0, 2.0}
