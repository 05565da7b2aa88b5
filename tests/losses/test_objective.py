"""A stage's objective: the sum of its losses, and what each remembers, codes and is set to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loss_loops import loop_cross_entropy, loop_squares, random_inputs

from sketchjax.config import default, stage_rows
from sketchjax.config.rows import loss_terms
from sketchjax.losses.loss import LossInputs, Setup, TrainingPart
from sketchjax.losses.objective import (
    begin_memory,
    blank_memory,
    joins_devices,
    loss,
    moved,
    objective,
    recoded,
)
from sketchjax.losses.table import LOSSES


def test_the_objective_of_the_paper():
    # L_full = L_cel + 0.01 L_scl + 0.0001 L_ql, the weights of `default()` for the last stage.
    seen = random_inputs(4)
    centers, codes = seen.memory["centers"], seen.codes
    # What a loss has comes by its name; memory and codes of `seen` itself are ignored.
    given = {"center": {"centers": jnp.asarray(centers)}}, {"quantization": codes}
    seen = seen._replace(memory={"centers": jnp.zeros_like(centers)}, codes=1 - codes)
    weights = stage_rows(default())[-1].losses
    total, terms = objective(weights, seen, *given)
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
    assert float(total) == pytest.approx(expected, rel=1e-6)
    # A weight changes the sum by its own term only.
    heavier, _ = objective(weights | {"center": {"weight": 1.01}}, seen, *given)
    assert float(heavier - total) == pytest.approx(by_hand["center"], rel=1e-4)


def test_a_stage_of_one_encoder_needs_no_features():
    seen = random_inputs(5)._replace(features=None, codes=None)
    total, terms = objective({"cross_entropy": {"weight": 2.0}}, seen)
    assert float(total) == pytest.approx(2 * loop_cross_entropy(seen), rel=1e-5)
    assert list(terms) == ["cross_entropy"]


def test_each_loss_has_its_own_memory_and_codes():
    seen = random_inputs(6)
    random = np.random.default_rng(7)
    centers = {name: random.uniform(size=(3, 4)) for name in ("center", "common_center")}
    codes = {name: random.integers(0, 2, (5, 4)) * 1.0 for name in ("quantization", "semantic")}
    memories = {name: {"centers": jnp.asarray(each)} for name, each in centers.items()}
    weights = loss_terms(dict.fromkeys([*centers, *codes], 1.0))
    _, terms = objective(weights, seen, memories, codes)
    wanted = {
        "center": loop_squares(seen.features, centers["center"][seen.labels]),
        "common_center": loop_squares(seen.features, centers["common_center"][seen.labels]) / 2,
        "quantization": loop_squares(seen.features, codes["quantization"]),
        "semantic": loop_squares(seen.features, codes["semantic"]),
    }
    assert {name: float(term) for name, term in terms.items()} == pytest.approx(wanted, rel=1e-5)


def test_settings_reach_their_loss():
    """Codes of two classes, 4 apart in one bit: ½ [m - 4]₊, and nothing at ones for alpha."""
    activations = jnp.array([[1.0, 1.0], [1.0, -1.0]])
    seen = LossInputs(jnp.zeros((2, 2)), jnp.array([0, 1]), activations, activations)
    for margin, alpha, wanted in ((10.0, 0.0, 3.0), (4.0, 1.0, 0.0), (0.0, 0.0, 0.0)):
        terms = loss_terms(
            {"supervised_hashing": {"weight": 2.0, "margin": margin, "alpha": alpha}}
        )
        total, values = objective(terms, seen)
        assert float(values["supervised_hashing"]) == pytest.approx(wanted)
        assert float(total) == pytest.approx(2 * wanted)
    # 0.5 short of 1 in each of two bits, of both sketches.
    half = seen._replace(activations=0.5 * activations)
    terms = loss_terms({"supervised_hashing": {"margin": 1.0, "alpha": 0.3}})
    assert float(objective(terms, half)[0]) == pytest.approx(0.3 * 2)


def test_the_rate_of_moving_centres_is_a_setting():
    features, labels = jnp.array([[1.0, 0.0]]), jnp.array([0])
    seen = LossInputs(jnp.zeros((1, 1)), labels, features)
    memories = {"common_center": {"centers": jnp.zeros((1, 2))}}
    for rate in (0.5, 1.0):
        terms = loss_terms({"common_center": {"rate": rate}})
        after = moved(terms, seen, memories)["common_center"]["centers"]
        np.testing.assert_allclose(after, [[rate / 2, 0.0]])


# --- what losses remember ----------------------------------------------------------------------


def test_the_table_names_each_loss_and_what_it_needs():
    needs = {
        name: found
        for name in LOSSES
        if (found := {f for f in ("blank", "begin", "codes", "move") if getattr(loss(name), f)})
    }
    assert needs == {
        "center": {"blank", "begin"},
        "quantization": {"codes"},
        "common_center": {"blank", "move"},
        "semantic": {"blank", "codes"},
    }
    # Those whose value for a whole batch is not the mean of its parts' values.
    metric = {"contrastive", "triplet", "lifted_structure", "n_pair"}
    hashing = {"mds", "hashnet", "bihalf", "dpsh", "dtsh", "tie_aware", "supervised_hashing"}
    whole = {name for name in LOSSES if joins_devices([name])}
    assert whole == {"common_center"} | metric | hashing
    assert joins_devices(["cross_entropy", "supervised_hashing"])
    assert not joins_devices(["cross_entropy", "center", "quantization", "semantic"])
    assert not joins_devices(["zero_mean"])
    assert not joins_devices([])


PASSES = []


def setup() -> Setup:
    """Two sketches of class 0, one of class 1; each pass over them is recorded."""

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


def test_memories_begin_once_and_are_kept():
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


def test_only_moving_centres_move_after_a_step():
    """Wen et al. 2016, eq. 4 at a rate of one half: c - ½ Σ (c - f) / (1 + n)."""
    features = jnp.array([[0.0, 1.0], [1.0, 1.0], [0.5, 0.5]])
    seen = LossInputs(jnp.zeros((3, 3)), jnp.array([0, 0, 1]), features)
    centers = jnp.full((3, 2), 0.5)
    memories = {name: {"centers": centers} for name in ("center", "common_center")}
    after = moved(loss_terms({"center": 1.0, "common_center": 1.0}), seen, memories)
    # Class 0: ½ ((0.5 + -0.5), (-0.5 + -0.5)) / 3; class 1 is there already; class 2 is not seen.
    wanted = [[0.5, 0.5 + 1 / 6], [0.5, 0.5], [0.5, 0.5]]
    np.testing.assert_allclose(after["common_center"]["centers"], wanted, rtol=1e-6)
    np.testing.assert_array_equal(after["center"]["centers"], centers)


def test_codes_come_by_the_name_of_their_loss():
    features = jnp.array([[0.5, 0.51], [0.0, 1.0]])
    memories = {"center": {"centers": jnp.zeros((2, 2))}}
    terms = loss_terms(dict.fromkeys(("cross_entropy", "center", "quantization"), 1.0))
    block = LossInputs(None, jnp.array([0, 1]), features)
    codes, after = recoded(terms, block, memories, lambda tree: tree)
    assert list(codes) == ["quantization"]
    assert np.asarray(codes["quantization"]).tolist() == [[0.0, 1.0], [0.0, 1.0]]
    assert after == memories
