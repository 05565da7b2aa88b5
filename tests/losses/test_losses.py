"""The losses against double loops in numpy, and against values worked by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchjax.config import default
from sketchjax.losses import (
    LOSSES,
    LossInputs,
    begin_memory,
    blank_memory,
    moved,
    objective,
    recoded,
)
from sketchjax.losses.center import center
from sketchjax.losses.cross_entropy import cross_entropy
from sketchjax.losses.loss import Setup, TrainingPart
from sketchjax.losses.quantization import nearest_codes, quantization


def random_inputs(seed, batch=5, bits=4, classes=3):
    random = np.random.default_rng(seed)
    features = random.uniform(size=(batch, bits)).astype(np.float32)
    return LossInputs(
        logits=random.normal(size=(batch, classes)).astype(np.float32) * 3,
        labels=random.integers(0, classes, batch).astype(np.int32),
        features=features,
        activations=random.normal(size=(batch, bits)).astype(np.float32),
        codes=random.integers(0, 2, (batch, bits)).astype(np.float32),
        memory={"centers": random.uniform(size=(classes, bits)).astype(np.float32)},
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
    centers = seen.memory["centers"]
    own = np.stack([centers[label] for label in seen.labels])
    assert center(seen.features, jnp.asarray(centers), seen.labels) == pytest.approx(
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
    centers = seen.memory["centers"]
    into_features = jax.grad(center)(seen.features, jnp.asarray(centers), seen.labels)
    own = centers[seen.labels]
    np.testing.assert_allclose(into_features, 2 * (seen.features - own) / batch, atol=1e-6)


def test_the_paper_s_objective():
    # L_full = L_cel + 0.01 L_scl + 0.0001 L_ql, the weights of `default()` for the last stage.
    seen = random_inputs(4)
    centers, codes = seen.memory["centers"], seen.codes
    # What a loss has of its own comes by its name, and what `seen` has of another counts nothing.
    given = {"center": {"centers": jnp.asarray(centers)}}, {"quantization": codes}
    seen = seen._replace(memory={"centers": jnp.zeros_like(centers)}, codes=1 - codes)
    weights = default().stages.full.losses.to_dict()
    loss, terms = objective(weights, seen, *given)
    own = centers[seen.labels]
    by_hand = {
        "cross_entropy": loop_cross_entropy(seen),
        "center": loop_squares(seen.features, own),
        "quantization": loop_squares(seen.features, codes),
    }
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(by_hand, rel=1e-5)
    expected = (
        by_hand["cross_entropy"] + 0.01 * by_hand["center"] + 0.0001 * by_hand["quantization"]
    )
    assert float(loss) == pytest.approx(expected, rel=1e-6)
    # A weight moves the sum by its own term and no other.
    heavier, _ = objective(weights | {"center": 1.01}, seen, *given)
    assert float(heavier - loss) == pytest.approx(by_hand["center"], rel=1e-4)


def test_the_objective_of_one_branch_needs_no_features():
    seen = random_inputs(5)._replace(features=None, codes=None)
    loss, terms = objective({"cross_entropy": 2.0}, seen)
    assert float(loss) == pytest.approx(2 * loop_cross_entropy(seen), rel=1e-5)
    assert list(terms) == ["cross_entropy"]


def test_losses_of_one_name_each_have_their_own_memory_and_codes():
    seen = random_inputs(6)
    random = np.random.default_rng(7)
    centers = {name: random.uniform(size=(3, 4)) for name in ("center", "common_center")}
    codes = {name: random.integers(0, 2, (5, 4)) * 1.0 for name in ("quantization", "semantic")}
    memories = {name: {"centers": jnp.asarray(each)} for name, each in centers.items()}
    _, terms = objective(dict.fromkeys([*centers, *codes], 1.0), seen, memories, codes)
    wanted = {
        "center": loop_squares(seen.features, centers["center"][seen.labels]),
        "common_center": loop_squares(seen.features, centers["common_center"][seen.labels]) / 2,
        "quantization": loop_squares(seen.features, codes["quantization"]),
        "semantic": loop_squares(seen.features, codes["semantic"]),
    }
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(wanted, rel=1e-5)


# --- what losses remember ----------------------------------------------------------------------


def test_the_table_names_each_loss_and_what_it_needs():
    needs = {
        name: {field for field in ("blank", "begin", "codes", "move") if getattr(loss, field)}
        for name, loss in LOSSES.items()
    }
    assert needs == {
        "cross_entropy": set(),
        "center": {"blank", "begin"},
        "quantization": {"codes"},
        "common_center": {"blank", "move"},
        "contrastive": set(),
        "semantic": {"blank", "codes"},
    }
    # Those whose value for a whole batch is not the mean of its parts' values.
    whole = {name for name, loss in LOSSES.items() if loss.whole_batch}
    assert whole == {"common_center", "contrastive"}


PASSES = []


def setup() -> Setup:
    """Two sketches of class 0, one of class 1; each pass over them is noted."""

    def train():
        PASSES.append(1)
        yield TrainingPart(
            np.array([[0.0, 1.0], [1.0, 1.0], [0.25, 0.5]], np.float32),
            np.array([0, 0, 1]),
            np.full(3, 0.5),
        )

    return Setup(
        classes=2,
        width=2,
        entropy_low=np.zeros(2),
        entropy_high=np.ones(2),
        in_training=np.ones(2, bool),
        block_share=0.25,
        word_vectors=np.eye(2, 3),
        train=train,
    )


def test_memories_begin_blank_or_with_a_pass_and_stay_from_stage_to_stage():
    PASSES.clear()
    names = ("cross_entropy", "center", "common_center")
    blank = blank_memory(names, setup())
    assert {name: np.asarray(memory["centers"]).tolist() for name, memory in blank.items()} == {
        "center": [[0.0, 0.0], [0.0, 0.0]],
        "common_center": [[0.0, 0.0], [0.0, 0.0]],
    }
    assert not PASSES
    first = begin_memory(names, setup(), {})
    assert np.asarray(first["center"]["centers"]).tolist() == [[0.5, 1.0], [0.25, 0.5]]
    assert not np.asarray(first["common_center"]["centers"]).any()
    assert len(PASSES) == 1
    earlier = {"center": {"centers": np.full((2, 2), 7.0)}, "semantic": {"share": 1.0}}
    second = begin_memory(names, setup(), earlier)
    assert np.asarray(second["center"]["centers"]).tolist() == [[7.0, 7.0], [7.0, 7.0]]
    # What this stage does not use is forgotten, and nothing is computed twice.
    assert set(second) == {"center", "common_center"}
    assert len(PASSES) == 1
    assert jax.tree.structure(first) == jax.tree.structure(blank)


def test_centres_that_move_move_after_a_step_and_the_others_stay():
    """Wen et al. 2016, eq. 4 at a rate of one half: c - ½ Σ (c - f) / (1 + n)."""
    features = jnp.array([[0.0, 1.0], [1.0, 1.0], [0.5, 0.5]])
    seen = LossInputs(jnp.zeros((3, 3)), jnp.array([0, 0, 1]), features)
    centers = jnp.full((3, 2), 0.5)
    memories = {name: {"centers": centers} for name in ("center", "common_center")}
    after = moved(seen, memories)
    # Class 0: ½ ((0.5 + -0.5), (-0.5 + -0.5)) / 3; class 1 is there already; class 2 is not seen.
    wanted = [[0.5, 0.5 + 1 / 6], [0.5, 0.5], [0.5, 0.5]]
    np.testing.assert_allclose(after["common_center"]["centers"], wanted, rtol=1e-6)
    np.testing.assert_array_equal(after["center"]["centers"], centers)


def test_codes_come_by_name_for_the_losses_that_have_them():
    features = jnp.array([[0.5, 0.51], [0.0, 1.0]])
    memories = {"center": {"centers": jnp.zeros((2, 2))}}
    names = ("cross_entropy", "center", "quantization")
    codes, after = recoded(names, features, jnp.array([0, 1]), memories, lambda tree: tree)
    assert list(codes) == ["quantization"]
    assert np.asarray(codes["quantization"]).tolist() == [[0.0, 1.0], [0.0, 1.0]]
    assert after == memories
    assert nearest_codes(features).dtype == jnp.float32


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
