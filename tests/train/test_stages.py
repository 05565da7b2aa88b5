"""The plan of the stages, their schedules and optimizers, against numbers worked out by hand."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sketchjax.config import StageRow, default, set_stages, validate
from sketchjax.config import stage as stage_of
from sketchjax.train import stages
from sketchjax.train.averaging import mean_weights
from sketchjax.train.stages import Stage, learning_rate, optimizer
from sketchjax.train.vectors import as_tree, vectors

ROW = StageRow(
    name="cnn",
    number=0,
    trains=("cnn",),
    output="cnn",
    losses={"cross_entropy": {"weight": 1.0, "smoothing": 0.0}},
    epochs=5.0,
    learning_rate=0.01,
    schedule="cosine",
    warmup_epochs=1.0,
    classes=0,
    each=0,
)
NAMES = ("cnn", "rnn", "joint", "center", "full")


def stage(schedule="cosine", **fields) -> Stage:
    usual = {
        "row": replace(ROW, schedule=schedule),
        "parts": ("cnn", "cnn_classifier"),
        "head_parts": ("fusion", "hash", "classifier"),
        "head_rate": 1.0,
        "blocks": 50,
        "blocks_per_epoch": 10,
        "inner_steps": 2,
        "warmup_steps": 20,
    }
    return Stage(**usual | fields)


def config_of(epochs, **fields):
    config = default()
    for name, number in zip(NAMES, epochs, strict=True):
        config.stages[name].epochs = number
    config.update_from_flattened_dict(fields)
    return config


def plan(config, blocks_per_epoch) -> list[Stage]:
    """The plan, with parts that are named as they are asked for."""
    return stages.plan(
        config,
        lambda names, output: (*names, f"read {output}"),
        ("hash", "classifier"),
        lambda row: blocks_per_epoch,
    )


def test_the_default_stages_are_those_of_algorithm_1():
    rows = default().stages
    assert [(name, rows[name].trains, rows[name].output) for name in default().plan] == [
        ("cnn", ("cnn",), "cnn"),
        ("rnn", ("rnn",), "rnn"),
        ("joint", ("encoders", "head"), "head"),
        ("center", ("encoders", "head"), "head"),
        ("full", ("encoders", "head"), "head"),
    ]
    assert {name: rows[name].losses.to_dict() for name in rows} == {
        "cnn": {"cross_entropy": 1.0},
        "rnn": {"cross_entropy": 1.0},
        "joint": {"cross_entropy": 1.0},
        "center": {"cross_entropy": 1.0, "center": 0.01},
        "full": {"cross_entropy": 1.0, "center": 0.01, "quantization": 0.0001},
    }


@pytest.mark.parametrize(
    "epochs, blocks_per_epoch, outer_steps, blocks",
    [(20, 6, 4, 120), (1, 6, 4, 8), (1, 4, 4, 4), (3, 3, 4, 12), (1, 1, 4, 4), (5, 7, 1, 35)],
)
def test_blocks_are_rounded_up_to_whole_dispatches(epochs, blocks_per_epoch, outer_steps, blocks):
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
    found = plan(config, 10)
    assert [one.name for one in found] == ["cnn", "joint", "full"]
    # Numbers are places in the config's plan: leaving a stage out changes no other.
    assert [one.row.number for one in found] == [0, 2, 4]
    joint = found[1]
    assert (joint.row.learning_rate, joint.row.schedule, joint.blocks) == (0.02, "steps", 30)
    assert (joint.inner_steps, joint.warmup_steps, joint.epochs) == (5, 25, 3)
    assert (joint.head_rate, joint.head_parts) == (5, ("hash", "classifier"))
    # `encoders` stands for all that the network has.
    assert joint.parts == ("cnn", "rnn", "head", "read head")
    assert found[0].parts == ("cnn", "read cnn")
    # A loss without a weight is not computed.
    assert found[2].row.losses == {
        "cross_entropy": {"weight": 1.0, "smoothing": 0.0},
        "quantization": {"weight": 0.0001},
    }


def test_stages_of_any_number_and_names_are_planned_in_their_order():
    config = default()
    rows = [
        stage_of(f"step_{n}", trains=("head",) if n % 2 else ("rnn", "cnn"), epochs=n)
        for n in (3, 1, 4, 5, 9, 2, 6, 8, 7)
    ]
    set_stages(config, *rows)
    validate(config)
    found = plan(config, 4)
    assert [one.name for one in found] == [f"step_{n}" for n in (3, 1, 4, 5, 9, 2, 6, 8, 7)]
    assert [one.row.number for one in found] == list(range(9))
    assert [one.epochs for one in found] == [3, 1, 4, 5, 9, 2, 6, 8, 7]
    assert [one.parts[:-1] for one in found[1:3]] == [("head",), ("rnn", "cnn")]


def test_an_epoch_is_as_long_as_the_stage_says():
    """Balanced batches may have another epoch than a plain order."""
    config = config_of((1, 1, 1, 0, 0))
    lengths = {"cnn": 4, "rnn": 8, "joint": 10}
    found = stages.plan(config, lambda *_: (), (), lambda row: lengths[row.name])
    assert [(one.blocks_per_epoch, one.blocks) for one in found] == [(4, 4), (8, 8), (10, 12)]
    assert [one.warmup_steps for one in found] == [16, 32, 40]


def test_pretrained_encoders_are_not_trained_again():
    config = config_of((2, 2, 1, 1, 1), **{"train.pretrained": "runs/other"})
    assert [one.name for one in plan(config, 10)] == ["joint", "center", "full"]
    assert [one.name for one in plan(config_of((2, 2, 1, 1, 1)), 10)] == list(NAMES)


@pytest.mark.parametrize("branch, left_out", [("cnn", "rnn"), ("rnn", "cnn")])
def test_an_encoder_that_the_network_lacks_has_no_stage(branch, left_out):
    config = config_of((2, 2, 1, 0, 1), **{"model.branches": (branch,)})
    wanted = [name for name in ("cnn", "rnn", "joint", "full") if name != left_out]
    found = plan(config, 10)
    assert [one.name for one in found] == wanted
    assert found[-1].parts == (branch, "head", "read head")
    config.train.pretrained = "runs/other"
    assert [one.name for one in plan(config, 10)] == ["joint", "full"]


def test_cosine_warms_up_then_decays_to_nothing():
    schedule = learning_rate(stage())  # 100 steps, 20 of them warm-up
    assert float(schedule(0)) == 0.0
    assert float(schedule(5)) == pytest.approx(0.0025)
    assert float(schedule(20)) == pytest.approx(0.01)
    for step in (30, 60, 90):
        by_hand = 0.01 * 0.5 * (1 + math.cos(math.pi * (step - 20) / 80))
        assert float(schedule(step)) == pytest.approx(by_hand, rel=1e-5)
    assert float(schedule(60)) == pytest.approx(0.005)
    assert float(schedule(100)) == pytest.approx(0.0, abs=1e-9)


def test_cosine_with_no_warm_up_and_with_too_long_a_one():
    schedule = learning_rate(stage(warmup_steps=0))
    assert float(schedule(0)) == pytest.approx(0.01)
    assert float(schedule(50)) == pytest.approx(0.005)
    # Half of a short stage is the most that warms up.
    schedule = learning_rate(stage(warmup_steps=500))
    assert float(schedule(25)) == pytest.approx(0.005)
    assert float(schedule(50)) == pytest.approx(0.01)
    assert float(schedule(75)) == pytest.approx(0.005)
    assert float(schedule(100)) == pytest.approx(0.0, abs=1e-9)


def test_a_stage_of_one_step_has_the_full_rate():
    schedule = learning_rate(stage(blocks=1, inner_steps=1, warmup_steps=3))
    assert float(schedule(0)) == pytest.approx(0.01)


def test_steps_divide_by_10_every_10_epochs():
    schedule = learning_rate(stage(schedule="steps", blocks=400))  # 20 steps an epoch
    expected = {0: 0.01, 199: 0.01, 200: 0.001, 399: 0.001, 400: 0.0001, 799: 1e-5}
    for step, rate in expected.items():
        assert float(schedule(step)) == pytest.approx(rate, rel=1e-5), step


def test_a_constant_rate_is_constant():
    schedule = learning_rate(stage(schedule="constant"))
    assert {float(schedule(step)) for step in (0, 1, 99)} == {0.01}


PARAMETERS = {
    "conv": {"kernel": jnp.full((2, 2, 1, 3), 2.0)},
    "norm": {"scale": jnp.ones(3), "bias": jnp.ones(3)},
    "dense": {"kernel": jnp.full((3, 2), -2.0), "bias": jnp.ones(2)},
}


def moved(transformation, gradient, steps=1):
    """What the parameters become, and the optimizer's state."""
    parameters = vectors(PARAMETERS, ())
    state = transformation.init(parameters)
    for _ in range(steps):
        updates, state = transformation.update(vectors(gradient, ()), state, parameters)
        parameters = optax.apply_updates(parameters, updates)
    return as_tree(parameters, PARAMETERS, ()), state


def filled(value):
    return {
        part: {name: jnp.full_like(leaf, value) for name, leaf in leaves.items()}
        for part, leaves in PARAMETERS.items()
    }


def test_weight_decay_shrinks_only_kernels():
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
def test_gradients_are_clipped_by_their_common_norm(clip_norm, scale):
    # 26 numbers: of norm 15 with 15 / sqrt(26) each. Adam's first moment is a tenth of what comes.
    size = 15 / math.sqrt(26)
    _, state = moved(optimizer(stage(), weight_decay=1e-4, clip_norm=clip_norm), filled(size))
    first_moment = optax.tree_utils.tree_get(state, "mu")
    first_moment = as_tree(first_moment, PARAMETERS, ())
    np.testing.assert_allclose(first_moment["norm"]["bias"], 0.1 * size * scale, rtol=1e-5)


def test_the_head_has_a_learning_rate_of_its_own():
    """A first step of Adam under one sign is the learning rate, and decay is in proportion."""
    settings = stage(schedule="constant", head_rate=10.0)
    both = optimizer(settings, weight_decay=0.1, clip_norm=0.0)
    parts = ("cnn", "rnn", "fusion", "hash", "classifier")
    params = {part: {"kernel": jnp.full((3, 2), 2.0), "bias": jnp.ones(2)} for part in parts}
    gradient = jax.tree.map(jnp.ones_like, params)
    before, gradient = (vectors(tree, settings.head_parts) for tree in (params, gradient))
    updates, _ = both.update(gradient, both.init(before), before)
    updates = as_tree(updates, params, settings.head_parts)
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


def test_the_mean_of_the_weights_is_that_of_all_steps():
    decay, steps = 0.5, 12
    with_mean = optimizer(stage(schedule="constant"), weight_decay=0, clip_norm=0, averaging=decay)
    plain = optimizer(stage(schedule="constant"), weight_decay=0, clip_norm=0)
    after, state = moved(with_mean, filled(1.0), steps)
    own = mean_weights(after, state, ())
    expected = PARAMETERS["dense"]["bias"]
    for count in range(steps):
        share = min(decay, (1 + count) / (10 + count))
        weights, plain_state = moved(plain, filled(1.0), count + 1)
        expected = share * expected + (1 - share) * weights["dense"]["bias"]
    np.testing.assert_allclose(own["dense"]["bias"], expected, rtol=1e-6)
    # The steps themselves stay as they are.
    np.testing.assert_array_equal(after["dense"]["bias"], weights["dense"]["bias"])
    np.testing.assert_array_equal(
        mean_weights(weights, plain_state, ())["dense"]["bias"], weights["dense"]["bias"]
    )
