"""The plan of the stages, their schedules and optimizers, against numbers worked by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sketchjax.config import default
from sketchjax.config import relations as config_relations
from sketchjax.losses import LOSSES
from sketchjax.models.two_branch import BRANCHES
from sketchjax.train.stages import ROWS, Row, Stage, learning_rate, optimizer, plan


def stage(**fields) -> Stage:
    usual = {
        "row": Row("cnn", "cnn"),
        "number": 0,
        "losses": {"cross_entropy": 1.0},
        "learning_rate": 0.01,
        "head_rate": 1.0,
        "schedule": "cosine",
        "blocks": 50,
        "blocks_per_epoch": 10,
        "inner_steps": 2,
        "warmup_steps": 20,
    }
    return Stage(**usual | fields)


def config_of(epochs, **fields):
    config = default()
    for name, number in zip(("cnn", "rnn", "joint", "center", "full"), epochs, strict=True):
        config.stages[name].epochs = number
    config.update_from_flattened_dict(fields)
    return config


def test_the_rows_are_algorithm_1():
    assert [(row.name, row.branch) for row in ROWS] == [
        ("cnn", "cnn"),
        ("rnn", "rnn"),
        ("joint", "whole"),
        ("center", "whole"),
        ("full", "whole"),
    ]
    assert {row.branch for row in ROWS} == set(BRANCHES)


def test_the_losses_by_default_are_those_of_algorithm_1():
    weights = {row.name: default().stages[row.name].losses.to_dict() for row in ROWS}
    assert weights == {
        "cnn": {"cross_entropy": 1.0},
        "rnn": {"cross_entropy": 1.0},
        "joint": {"cross_entropy": 1.0},
        "center": {"cross_entropy": 1.0, "center": 0.01},
        "full": {"cross_entropy": 1.0, "center": 0.01, "quantization": 0.0001},
    }


def test_the_losses_a_config_may_ask_for_are_those_that_there_are():
    assert set(config_relations.LOSSES) == set(LOSSES)
    assert tuple(row.name for row in ROWS) == config_relations.STAGES
    assert (
        tuple(row.name for row in ROWS if row.branch == "whole") == config_relations.HASHING_STAGES
    )


@pytest.mark.parametrize(
    "epochs, blocks_per_epoch, outer_steps, blocks",
    [(20, 6, 4, 120), (1, 6, 4, 8), (1, 4, 4, 4), (3, 3, 4, 12), (1, 1, 4, 4), (5, 7, 1, 35)],
)
def test_blocks_are_whole_dispatches_and_never_fewer_than_asked_for(
    epochs, blocks_per_epoch, outer_steps, blocks
):
    config = config_of((epochs, 0, 1, 0, 0), **{"train.outer_steps": outer_steps})
    first = plan(config, blocks_per_epoch)[0]
    assert first.blocks == blocks
    assert type(first.blocks) is int
    assert first.steps == blocks * config.train.inner_steps
    assert first.steps_per_epoch == blocks_per_epoch * config.train.inner_steps


def test_a_plan_holds_what_the_config_says():
    config = config_of(
        (2, 0, 3, 0, 1),
        **{
            "train.inner_steps": 5,
            "train.outer_steps": 2,
            "train.head_rate": 5.0,
            "stages.joint.learning_rate": 0.02,
            "stages.joint.schedule": "steps",
            "stages.joint.warmup_epochs": 0.5,
            "stages.full.losses.center": 0.0,
        },
    )
    stages = plan(config, 10)
    assert [one.name for one in stages] == ["cnn", "joint", "full"]
    # Numbers are places in Algorithm 1, not in this plan: leaving a stage out changes no other.
    assert [one.number for one in stages] == [0, 2, 4]
    joint = stages[1]
    assert (joint.learning_rate, joint.schedule, joint.blocks) == (0.02, "steps", 30)
    assert joint.head_rate == 5
    assert (joint.inner_steps, joint.warmup_steps, joint.row) == (5, 25, ROWS[2])
    # A loss without a weight is not computed.
    assert stages[2].losses == {"cross_entropy": 1.0, "quantization": 0.0001}


def test_pretrained_branches_are_not_trained_again():
    config = config_of((2, 2, 1, 1, 1), **{"train.pretrained": "runs/other"})
    assert [one.name for one in plan(config, 10)] == ["joint", "center", "full"]
    assert [one.name for one in plan(config_of((2, 2, 1, 1, 1)), 10)] == [row.name for row in ROWS]


@pytest.mark.parametrize("branches, left_out", [("cnn", "rnn"), ("rnn", "cnn")])
def test_a_branch_that_the_model_lacks_has_no_stage(branches, left_out):
    config = config_of((2, 2, 1, 0, 1), **{"model.branches": branches})
    wanted = [name for name in ("cnn", "rnn", "joint", "full") if name != left_out]
    assert [one.name for one in plan(config, 10)] == wanted
    config.train.pretrained = "runs/other"
    assert [one.name for one in plan(config, 10)] == ["joint", "full"]


def test_cosine_rises_for_the_warm_up_then_falls_to_nothing():
    schedule = learning_rate(stage())  # 100 steps, 20 of them warm-up
    assert float(schedule(0)) == 0.0
    assert float(schedule(5)) == pytest.approx(0.0025)
    assert float(schedule(20)) == pytest.approx(0.01)
    for step in (30, 60, 90):
        by_hand = 0.01 * 0.5 * (1 + math.cos(math.pi * (step - 20) / 80))
        assert float(schedule(step)) == pytest.approx(by_hand, rel=1e-5)
    assert float(schedule(60)) == pytest.approx(0.005)
    assert float(schedule(100)) == pytest.approx(0.0, abs=1e-9)


def test_cosine_without_warm_up_and_with_too_long_a_one():
    schedule = learning_rate(stage(warmup_steps=0))
    assert float(schedule(0)) == pytest.approx(0.01)
    assert float(schedule(50)) == pytest.approx(0.005)
    # Half of a short stage is the most that warms up.
    schedule = learning_rate(stage(warmup_steps=500))
    assert float(schedule(25)) == pytest.approx(0.005)
    assert float(schedule(50)) == pytest.approx(0.01)
    assert float(schedule(75)) == pytest.approx(0.005)
    assert float(schedule(100)) == pytest.approx(0.0, abs=1e-9)


def test_a_stage_of_one_step():
    schedule = learning_rate(stage(blocks=1, inner_steps=1, warmup_steps=3))
    assert float(schedule(0)) == pytest.approx(0.01)


def test_steps_divide_by_10_every_10_epochs():
    schedule = learning_rate(stage(schedule="steps", blocks=400))  # 20 steps an epoch
    expected = {0: 0.01, 199: 0.01, 200: 0.001, 399: 0.001, 400: 0.0001, 799: 1e-5}
    for step, rate in expected.items():
        assert float(schedule(step)) == pytest.approx(rate, rel=1e-5), step


def test_constant():
    schedule = learning_rate(stage(schedule="constant"))
    assert {float(schedule(step)) for step in (0, 1, 99)} == {0.01}


PARAMETERS = {
    "conv": {"kernel": jnp.full((2, 2, 1, 3), 2.0)},
    "norm": {"scale": jnp.ones(3), "bias": jnp.ones(3)},
    "dense": {"kernel": jnp.full((3, 2), -2.0), "bias": jnp.ones(2)},
}


def moved(transformation, gradient, steps=1):
    """What the parameters become, and the optimizer's state."""
    parameters, state = PARAMETERS, transformation.init(PARAMETERS)
    for _ in range(steps):
        updates, state = transformation.update(gradient, state, parameters)
        parameters = optax.apply_updates(parameters, updates)
    return parameters, state


def filled(value):
    return {
        part: {name: jnp.full_like(leaf, value) for name, leaf in leaves.items()}
        for part, leaves in PARAMETERS.items()
    }


def test_weight_decay_shrinks_kernels_alone():
    constant = stage(schedule="constant")
    after, _ = moved(optimizer(constant, weight_decay=0.1, clip_norm=1.0), filled(0.0), steps=2)
    for part in ("conv", "dense"):
        expected = PARAMETERS[part]["kernel"] * (1 - 0.01 * 0.1) ** 2
        np.testing.assert_allclose(after[part]["kernel"], expected, rtol=1e-6)
    for part, name in (("norm", "scale"), ("norm", "bias"), ("dense", "bias")):
        np.testing.assert_array_equal(after[part][name], PARAMETERS[part][name])
    after, _ = moved(optimizer(constant, weight_decay=0.0, clip_norm=1.0), filled(0.0))
    np.testing.assert_array_equal(after["conv"]["kernel"], PARAMETERS["conv"]["kernel"])


def test_weight_decay_is_decoupled_from_adam():
    # A first Adam step has the size of the learning rate; the decay comes on top of it.
    constant = stage(schedule="constant")
    after, _ = moved(optimizer(constant, weight_decay=0.1, clip_norm=0.0), filled(5.0))
    expected = 2.0 - 0.01 * (1.0 + 0.1 * 2.0)
    np.testing.assert_allclose(after["conv"]["kernel"], expected, rtol=1e-5)
    np.testing.assert_allclose(after["dense"]["bias"], 1.0 - 0.01, rtol=1e-5)


@pytest.mark.parametrize("clip_norm, scale", [(0.0, 1.0), (1.0, 1 / 15), (100.0, 1.0)])
def test_clipping_by_the_norm_of_all_gradients(clip_norm, scale):
    # 26 numbers: of norm 15 with 15 / sqrt(26) each. Adam's first moment is a tenth of what comes.
    size = 15 / math.sqrt(26)
    _, state = moved(optimizer(stage(), weight_decay=1e-4, clip_norm=clip_norm), filled(size))
    first_moment = optax.tree_utils.tree_get(state, "mu")
    np.testing.assert_allclose(first_moment["norm"]["bias"], 0.1 * size * scale, rtol=1e-5)


def test_what_stands_after_the_branches_has_a_learning_rate_of_its_own():
    """A first step of Adam under one sign is the learning rate, and decay is in proportion."""
    settings = stage(schedule="constant", head_rate=10.0)
    both = optimizer(settings, weight_decay=0.1, clip_norm=0.0)
    parts = ("cnn", "rnn", "fusion", "hash", "recognition", "classifier")
    params = {part: {"kernel": jnp.full((3, 2), 2.0), "bias": jnp.ones(2)} for part in parts}
    gradient = jax.tree.map(jnp.ones_like, params)
    updates, _ = both.update(gradient, both.init(params), params)
    for part in parts:
        rate = 0.01 if part in ("cnn", "rnn") else 0.1
        np.testing.assert_allclose(updates[part]["bias"], -rate, rtol=1e-5)
        np.testing.assert_allclose(updates[part]["kernel"], -rate * (1 + 0.1 * 2), rtol=1e-5)


@pytest.mark.parametrize("weight_decay", [0.0, 1e-6])
def test_the_optimizer_follows_the_schedule(weight_decay):
    following = optimizer(stage(), weight_decay=weight_decay, clip_norm=0.0)
    after, _ = moved(following, filled(1.0), steps=3)
    # Adam's steps under a steady gradient are the learning rates: 0, 0.0005, 0.001.
    np.testing.assert_allclose(after["dense"]["bias"], 1.0 - 0.0015, rtol=1e-5)
