"""The loss of supervised hashing against the published formula as a loop over pairs."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchjax.losses.supervised_hashing import supervised_hashing


def loop(outputs, labels, margin, alpha):
    """The formula, pair by pair, in f64."""
    outputs = np.asarray(outputs, np.float64)
    values = []
    for i, j in itertools.combinations(range(len(outputs)), 2):
        distance = sum((a - b) ** 2 for a, b in zip(outputs[i], outputs[j], strict=True))
        dissimilar = labels[i] != labels[j]
        value = 0.5 * max(margin - distance, 0) if dissimilar else 0.5 * distance
        for sketch in (i, j):
            value += alpha * sum(abs(abs(out) - 1) for out in outputs[sketch])
        values.append(value)
    return sum(values) / len(values)


@given(
    st.integers(0, 2**32 - 1), st.integers(2, 9), st.sampled_from((0.3, 1.0, 3.0)), st.booleans()
)
@settings(deadline=None, max_examples=30)
def test_loss_is_its_definition(seed, batch, spread, given_margin):
    random = np.random.default_rng(seed)
    outputs = (random.normal(size=(batch, 6)) * spread).astype(np.float32)
    labels = random.integers(0, 3, batch)
    if given_margin:
        found = jax.jit(lambda u, y: supervised_hashing(u, y, margin=5.0, alpha=0.3))(
            outputs, labels
        )
        wanted = loop(outputs, labels, 5.0, 0.3)
    else:
        found, wanted = supervised_hashing(jnp.array(outputs), jnp.array(labels)), None
        wanted = loop(outputs, labels, 12.0, 0.01)
    assert found == pytest.approx(wanted, rel=1e-4, abs=1e-5)


def test_values_by_hand():
    # Same class, 2 of 4 bits different: ½ · 8. Other class, opposite codes: 16 > m = 8, no push.
    codes = jnp.array([[1.0, 1, 1, 1], [1, 1, -1, -1], [-1, -1, -1, -1]])
    assert supervised_hashing(codes[:2], jnp.array([7, 7])) == pytest.approx(4.0)
    assert supervised_hashing(codes[::2], jnp.array([7, 8])) == pytest.approx(0.0)
    # All three pairs: ½ · 8, 0, and the margin just reached, 8 - 8.
    assert supervised_hashing(codes, jnp.array([7, 7, 8])) == pytest.approx(4 / 3)
    # Only the regulariser pulls zeros of one class: two sketches of four bits.
    assert supervised_hashing(jnp.zeros((2, 4)), jnp.array([0, 0])) == pytest.approx(0.08)


def test_gradient_is_that_of_the_loop():
    random = np.random.default_rng(3)
    outputs, labels = random.normal(size=(7, 5)), random.integers(0, 3, 7)
    found = jax.grad(supervised_hashing)(jnp.array(outputs, jnp.float32), jnp.array(labels))
    step = 1e-6
    wanted = np.zeros_like(outputs)
    for place in np.ndindex(outputs.shape):
        moved = np.zeros_like(outputs)
        moved[place] = step
        higher = loop(outputs + moved, labels, 10.0, 0.01)
        wanted[place] = (higher - loop(outputs - moved, labels, 10.0, 0.01)) / (2 * step)
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("value", (0.0, 1.0, -0.7))
def test_equal_rows_have_finite_gradients(value):
    gradient = jax.grad(supervised_hashing)(jnp.full((4, 8), value), jnp.array([0, 0, 1, 1]))
    assert np.isfinite(gradient).all()


def test_bfloat16_is_summed_in_float32():
    random = np.random.default_rng(0)
    outputs = jnp.array(random.normal(size=(16, 64)), jnp.bfloat16)
    labels = random.integers(0, 4, 16)
    found = supervised_hashing(outputs, jnp.array(labels))
    assert found.dtype == jnp.float32
    assert found == pytest.approx(loop(outputs.astype(np.float32), labels, 128, 0.01), rel=1e-4)


def test_a_batch_without_pairs_is_refused():
    with pytest.raises(ValueError, match="differ in b"):
        supervised_hashing(jnp.zeros((3, 4)), jnp.zeros(2, int))
    with pytest.raises(ValueError, match="at least two"):
        supervised_hashing(jnp.zeros((1, 4)), jnp.zeros(1, int))
