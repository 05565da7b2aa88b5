"""Losses of single sketches against loops in numpy, and against values worked out by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_loops import loop_cross_entropy, loop_squares, random_inputs

from sketchjax.losses.center import center
from sketchjax.losses.cross_entropy import cross_entropy
from sketchjax.losses.quantization import nearest_codes, quantization


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_each_loss_is_its_definition(seed):
    seen = random_inputs(seed)
    assert cross_entropy(seen.logits, seen.labels) == pytest.approx(
        loop_cross_entropy(seen), rel=1e-5
    )
    assert quantization(seen.features, seen.codes) == pytest.approx(
        loop_squares(seen.features, seen.codes), rel=1e-5
    )
    centers = seen.memory["centers"]
    own = np.stack([centers[label] for label in seen.labels])
    assert center(seen.features, jnp.asarray(centers), seen.labels) == pytest.approx(
        loop_squares(seen.features, own), rel=1e-5
    )


def test_values_by_hand():
    # Two of three classes equally likely and the third hopeless: ln 2. Certain and right: 0.
    logits = jnp.array([[0.0, 0.0, -1e4], [1e4, 0.0, 0.0]])
    assert cross_entropy(logits, jnp.array([1, 0])) == pytest.approx(math.log(2) / 2, rel=1e-6)
    assert cross_entropy(jnp.zeros((4, 345)), jnp.arange(4)) == pytest.approx(math.log(345))
    # 0.1² + 0.2² and 0.5² + 0²: 0.05 and 0.25, their mean 0.15.
    features = jnp.array([[0.9, 0.2], [0.5, 1.0]])
    codes = jnp.array([[1.0, 0.0], [1.0, 1.0]])
    assert quantization(features, codes) == pytest.approx(0.15)
    # The same distances, to the centres of classes 1 and 0.
    assert center(features, codes[::-1], jnp.array([1, 0])) == pytest.approx(0.15)
    # Bits are summed, not averaged: twice the bits are twice the loss.
    assert quantization(jnp.tile(features, (1, 2)), jnp.tile(codes, (1, 2))) == pytest.approx(0.3)


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_smoothed_labels_are_a_mixture_with_the_uniform(smoothing):
    seen = random_inputs(3)
    labels, classes = np.asarray(seen.labels), seen.logits.shape[1]
    target = np.full((len(labels), classes), smoothing / classes)
    target[np.arange(len(labels)), labels] += 1 - smoothing
    logits = np.asarray(seen.logits, np.float64)
    log_softmax = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    expected = -(target * log_softmax).sum(1).mean()
    assert cross_entropy(seen.logits, seen.labels, smoothing) == pytest.approx(expected, rel=1e-5)


def test_large_logits_stay_finite():
    logits = jnp.array([[3e4, -3e4], [-3e4, 3e4]])
    assert cross_entropy(logits, jnp.array([1, 1])) == pytest.approx(3e4)


def test_bfloat16_is_summed_in_float32():
    small = cross_entropy(jnp.zeros((1, 345), jnp.bfloat16), jnp.array([7]))
    assert small.dtype == jnp.float32
    assert small == pytest.approx(math.log(345), rel=1e-6)


def test_gradients_by_hand():
    seen = random_inputs(3)
    batch = len(seen.labels)
    into_logits = jax.grad(cross_entropy)(seen.logits, seen.labels)
    softmax = np.exp(seen.logits) / np.exp(seen.logits).sum(1, keepdims=True)
    onehot = np.eye(3)[seen.labels]
    np.testing.assert_allclose(into_logits, (softmax - onehot) / batch, atol=1e-6)
    into_features = jax.grad(quantization)(seen.features, seen.codes)
    np.testing.assert_allclose(into_features, 2 * (seen.features - seen.codes) / batch, atol=1e-6)
    centers = seen.memory["centers"]
    into_features = jax.grad(center)(seen.features, jnp.asarray(centers), seen.labels)
    own = centers[seen.labels]
    np.testing.assert_allclose(into_features, 2 * (seen.features - own) / batch, atol=1e-6)


def test_nearest_codes_cut_at_a_half():
    codes = nearest_codes(jnp.array([[0.5, 0.51], [0.0, 1.0]]))
    assert np.asarray(codes).tolist() == [[0.0, 1.0], [0.0, 1.0]]
    assert codes.dtype == jnp.float32


@pytest.mark.parametrize(
    "call",
    [
        lambda: cross_entropy(jnp.zeros((2, 3)), jnp.zeros((3,), int)),
        lambda: cross_entropy(jnp.zeros((1, 3)), jnp.zeros((), int)),
        lambda: quantization(jnp.zeros((2, 4)), jnp.zeros((1, 4))),
        lambda: quantization(jnp.zeros((2, 4)), jnp.zeros((4,))),
        lambda: quantization(jnp.zeros((2, 1)), jnp.zeros((2, 4))),
        lambda: center(jnp.zeros((2, 4)), jnp.zeros((3, 1)), jnp.zeros((2,), int)),
        lambda: center(jnp.zeros((2, 1)), jnp.zeros((3, 4)), jnp.zeros((2,), int)),
        lambda: center(jnp.zeros((2, 4)), jnp.zeros((3, 4)), jnp.zeros((1,), int)),
    ],
)
def test_shapes_that_would_broadcast_are_refused(call):
    with pytest.raises(ValueError, match="differ in"):
        call()
