"""The losses against double loops in numpy, and against values worked by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchjax.config import default
from sketchjax.losses import LOSSES, LossInputs, center, cross_entropy, objective, quantization


def random_inputs(seed, batch=5, bits=4, classes=3):
    random = np.random.default_rng(seed)
    features = random.uniform(size=(batch, bits)).astype(np.float32)
    return LossInputs(
        logits=random.normal(size=(batch, classes)).astype(np.float32) * 3,
        labels=random.integers(0, classes, batch).astype(np.int32),
        features=features,
        codes=random.integers(0, 2, (batch, bits)).astype(np.float32),
        centers=random.uniform(size=(classes, bits)).astype(np.float32),
    )


def loop_cross_entropy(seen):
    total = 0.0
    for row, label in zip(seen.logits.tolist(), seen.labels.tolist(), strict=True):
        total -= row[label] - math.log(sum(math.exp(logit) for logit in row))
    return total / len(seen.labels)


def loop_squares(features, targets):
    """Mean over the sketches, sum over the bits."""
    total = 0.0
    for row, target in zip(features.tolist(), targets.tolist(), strict=True):
        for feature, wanted in zip(row, target, strict=True):
            total += (feature - wanted) ** 2
    return total / len(features)


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
    own = np.stack([seen.centers[label] for label in seen.labels])
    assert center(seen.features, jnp.asarray(seen.centers), seen.labels) == pytest.approx(
        loop_squares(seen.features, own), rel=1e-5
    )


def test_by_hand():
    # Two of three classes equally likely and the third hopeless: ln 2. Sure and right: 0.
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


def test_large_logits_stay_finite_and_bfloat16_is_summed_in_float32():
    logits = jnp.array([[3e4, -3e4], [-3e4, 3e4]])
    assert cross_entropy(logits, jnp.array([1, 1])) == pytest.approx(3e4)
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
    into_features = jax.grad(center)(seen.features, jnp.asarray(seen.centers), seen.labels)
    own = seen.centers[seen.labels]
    np.testing.assert_allclose(into_features, 2 * (seen.features - own) / batch, atol=1e-6)


def test_the_paper_s_objective():
    # L_full = L_cel + 0.01 L_scl + 0.0001 L_ql, the weights of `default()` for the last stage.
    seen = random_inputs(4)
    seen = seen._replace(centers=jnp.asarray(seen.centers))
    weights = default().stages.full.losses.to_dict()
    loss, terms = objective(weights, seen)
    own = seen.centers[seen.labels]
    by_hand = {
        "cross_entropy": loop_cross_entropy(seen),
        "center": loop_squares(seen.features, own),
        "quantization": loop_squares(seen.features, seen.codes),
    }
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(by_hand, rel=1e-5)
    expected = (
        by_hand["cross_entropy"] + 0.01 * by_hand["center"] + 0.0001 * by_hand["quantization"]
    )
    assert float(loss) == pytest.approx(expected, rel=1e-6)
    # A weight moves the sum by its own term and no other.
    heavier, _ = objective(weights | {"center": 1.01}, seen)
    assert float(heavier - loss) == pytest.approx(by_hand["center"], rel=1e-4)


def test_the_objective_of_one_branch_needs_no_features():
    seen = random_inputs(5)._replace(features=None, codes=None)
    loss, terms = objective({"cross_entropy": 2.0}, seen)
    assert float(loss) == pytest.approx(2 * loop_cross_entropy(seen), rel=1e-5)
    assert list(terms) == ["cross_entropy"]


def test_the_table_names_each_loss():
    assert set(LOSSES) == {"cross_entropy", "center", "quantization"}


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
def test_what_would_broadcast_is_refused(call):
    with pytest.raises(ValueError, match="differ in"):
        call()
