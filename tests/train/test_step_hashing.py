"""The hashing objectives in the compiled step: any number of devices, progress, and learning."""

from dataclasses import replace
from functools import partial

import jax
import numpy as np
import optax
import pytest
from small_network import (
    BITS,
    Quiet,
    random_blocks,
    run_dispatch,
    small_stage,
    small_state,
    small_training,
)

from sketchjax.config.rows import loss_terms
from sketchjax.losses.table import LOSSES

OBJECTIVES = ("orthohash", "csq", "dpn", "mds", "greedy_hash", "hashnet", "bihalf", "dpsh", "dtsh",
              "tie_aware")  # fmt: skip
BATCH, STEPS = 12, 30


@pytest.fixture(autouse=True, scope="module")
def quickly(environment):
    """Compile with little optimisation."""


def training_of(losses, optimizer, blocks=1):
    """A stage of a network without noise, whose blocks have this many steps."""
    one = small_stage("full", losses={"cross_entropy": 1.0}, inner_steps=STEPS, blocks=blocks)
    one = replace(one, row=replace(one.row, losses=loss_terms(losses)))
    training = small_training(one, optimizer)
    return training._replace(network=Quiet(training.network))


def one_batch(devices: int):
    """A block in which each step has the same batch."""
    blocks = random_blocks(devices, m=1, k=STEPS, batch=BATCH)
    return jax.tree.map(lambda leaf: np.repeat(leaf[:, :, :1], STEPS, axis=2), blocks)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_learns_on_four_devices_as_on_one(name):
    """A fixed batch; what the devices differ in is the rounding of sums."""
    training = training_of({name: 1.0}, optax.sgd(0.05))
    state, after, metrics = small_state(training), {}, {}
    for devices in (1, 4):
        after[devices], metrics[devices] = run_dispatch(
            training, state, one_batch(devices), jax.devices()[:devices]
        )
    assert (np.asarray(metrics[1]["skipped"]) == 0).all()
    values = {devices: np.asarray(each[name])[0] for devices, each in metrics.items()}
    np.testing.assert_allclose(values[1][0], values[4][0], rtol=1e-5)
    np.testing.assert_allclose(values[1], values[4], rtol=0.02)
    assert values[4][-1] < values[4][0] - 0.003
    assert values[4][-1] < values[4][:5].mean()


def test_progress_is_the_share_of_a_stage_that_is_done():
    """HashNet's pairs by the sharpness of each step, of a stage that does not move."""
    training = training_of({"hashnet": 1.0}, optax.sgd(0.0), blocks=2)
    state, blocks = small_state(training), one_batch(4)
    labels = np.asarray(blocks.label)[:, 0, 0].ravel()
    inputs = jax.tree.map(lambda leaf: leaf[:, 0, 0].reshape(BATCH, *leaf.shape[4:]), blocks.inputs)
    outputs = np.asarray(training.network.apply(state.variables, inputs).activations, float)
    for dispatch in range(2):
        state, metrics = run_dispatch(training, state, blocks)
        for step, value in enumerate(np.asarray(metrics["hashnet"])[0]):
            done = (dispatch * STEPS + step) / (2 * STEPS)
            wanted = pairs_of(outputs, labels, np.sqrt(1 + 50 * done))
            assert value == pytest.approx(wanted, rel=1e-4)
    assert int(state.step) == training.stage.steps


def pairs_of(outputs, labels, sharpness):
    codes = np.tanh(sharpness * outputs)
    kinds = {True: [], False: []}
    for i in range(len(labels)):
        for j in range(i):
            likeness = 10 / BITS * codes[i] @ codes[j]
            same = bool(labels[i] == labels[j])
            kinds[same].append(np.log1p(np.exp(-likeness if same else likeness)))
    return sum(map(np.mean, kinds.values()))


def test_every_objective_of_the_table_is_here():
    plain = {"cross_entropy", "common_center", "center", "quantization", "semantic"}
    read = {name for name, row in LOSSES.items() if "sign_hash" in row.heads}
    assert read == {*OBJECTIVES}
    assert not read & plain


def test_they_can_be_summed():
    losses = dict.fromkeys(OBJECTIVES, 0.1) | {"cross_entropy": 1.0}
    training = training_of(losses, optax.sgd(0.05))
    state, metrics = run_dispatch(training, small_state(training), one_batch(4))
    total = sum(
        (1.0 if name == "cross_entropy" else 0.1) * np.asarray(metrics[name]) for name in losses
    )
    np.testing.assert_allclose(metrics["loss"], total, rtol=1e-5)
    assert np.asarray(metrics["loss"])[0, -1] < np.asarray(metrics["loss"])[0, 0]
    jax.tree.map(partial(np.testing.assert_array_equal), state.memories, {})
