"""Steps with losses that see the whole batch, or remember: numpy, the plain loop, four devices."""

from functools import cache, partial

import jax
import numpy as np
import optax
import pytest
from small_network import (
    BITS,
    CLASSES,
    PlainLoop,
    Quiet,
    assert_same_bits,
    differs,
    random_blocks,
    run_dispatch,
    small_stage,
    small_state,
    small_training,
)

from sketchjax.parallel import SPLIT, WHOLE, hold, over_devices
from sketchjax.train.step import code_step, theta_step

COMMON = {"cross_entropy": 1.0, "common_center": 0.5}
HASHING = {"cross_entropy": 1.0, "supervised_hashing": 0.1, "quantization": 0.5}
SEMANTIC = {"cross_entropy": 1.0, "semantic": 0.5}
METRIC = {
    "contrastive": {"weight": 1.0, "distance": "euclidean", "margin": 4.0, "mining": "semi_hard"},
    "triplet": {"weight": 0.5, "distance": "snr", "margin": 1.0, "mining": "distance_weighted"},
    "lifted_structure": {"weight": 0.1, "distance": "cosine"},
    "n_pair": 0.5,
    "zero_mean": 0.1,
}
# Together, as each has a memory or codes of its own: one program in place of three.
REMEMBERING = COMMON | HASHING | SEMANTIC
BATCH = 8


def training_of(losses, **settings):
    """Plain SGD at rate 1: a step gives the gradient."""
    return small_training(small_stage("full", losses=losses, **settings), optax.sgd(1.0))


def whole_batch(blocks):
    """One batch of all devices, in the order of the places."""
    return jax.tree.map(lambda leaf: leaf.reshape(BATCH, *leaf.shape[4:]), blocks)


@cache
def one_step(name):
    """State, batch, and what one step of a quiet network makes of them on four devices."""
    losses = {"common": COMMON, "supervised_hashing": HASHING}[name]
    training = training_of(losses)
    training = training._replace(network=Quiet(training.network))
    state, blocks = small_state(training), random_blocks(4, m=1, k=1, batch=BATCH)
    after, metrics = run_dispatch(training, state, blocks)
    batch = whole_batch(blocks)
    output = training.network.apply(state.variables, batch.inputs)
    return state, batch, output, after, metrics


def loop_pairs(outputs, labels):
    """Liu et al. 2016: the mean over the pairs, margin 2 d, alpha 0.01."""
    total, pairs = 0.0, 0
    for i in range(len(outputs)):
        for j in range(i):
            far = ((outputs[i] - outputs[j]) ** 2).sum()
            pull = far if labels[i] == labels[j] else max(2 * BITS - far, 0.0)
            away = np.abs(np.abs(outputs[i]) - 1).sum() + np.abs(np.abs(outputs[j]) - 1).sum()
            total += pull / 2 + 0.01 * away
            pairs += 1
    return total / pairs


def test_pairs_are_of_the_whole_batch_on_four_devices():
    _, batch, output, _, metrics = one_step("supervised_hashing")
    outputs, labels = np.asarray(output.activations, float), np.asarray(batch.label)
    whole = loop_pairs(outputs, labels)
    np.testing.assert_allclose(metrics["supervised_hashing"][0, 0], whole, rtol=1e-5)
    # What each device would find in only its own two sketches differs.
    parts = [loop_pairs(outputs[i : i + 2], labels[i : i + 2]) for i in range(0, BATCH, 2)]
    assert abs(np.mean(parts) - whole) > 0.1
    # The codes of the other loss still belong to their sketches.
    features = np.asarray(output.features, float)
    wanted = ((features - (features > 0.5)) ** 2).sum(1).mean()
    np.testing.assert_allclose(metrics["quantization"][0, 0], wanted, rtol=1e-5)


def test_centres_move_by_the_whole_batch_on_four_devices():
    """Wen et al. 2016, eq. 4 at a rate of one half, from the centres before the step."""
    state, batch, output, after, metrics = one_step("common")
    before = np.asarray(state.memories["common_center"]["centers"], float)
    features, labels = np.asarray(output.features, float), np.asarray(batch.label)
    wanted, loss = before.copy(), 0.0
    for label in range(CLASSES):
        own = features[labels == label]
        wanted[label] -= 0.5 * (before[label] - own).sum(0) / (1 + len(own))
        loss += ((own - before[label]) ** 2).sum() / 2 / BATCH
    assert np.abs(wanted - before).max() > 0.01
    np.testing.assert_allclose(after.memories["common_center"]["centers"], wanted, atol=1e-6)
    np.testing.assert_allclose(metrics["common_center"][0, 0], loss, rtol=1e-5)


@pytest.mark.parametrize("losses", [REMEMBERING, METRIC], ids=["remembering", "metric"])
def test_four_devices_are_one(losses):
    """Two steps of SGD with noise: within the rounding of sums of 8."""
    training = training_of(losses, inner_steps=2)
    state = small_state(training)
    after, metrics = {}, {}
    for devices in (1, 4):
        blocks = random_blocks(devices, m=1, k=2, batch=BATCH)
        after[devices], metrics[devices] = run_dispatch(
            training, state, blocks, jax.devices()[:devices]
        )
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    for part in ("params", "batch_stats", "memories"):
        jax.tree.map(close, getattr(after[1], part), getattr(after[4], part))
    jax.tree.map(close, metrics[1], metrics[4])
    assert differs(state.params, after[1].params)
    assert {*state.memories} == {"common_center", "semantic"} & {*losses}
    for name, before in state.memories.items():
        assert differs(before, after[1].memories[name])


class LoopWithMemory(PlainLoop):
    """A block's codes by `code_step`, which may change what a loss remembers, then its steps."""

    def __init__(self, training):
        self.step = over_devices(
            partial(theta_step, training), inputs=(WHOLE, SPLIT, SPLIT), outputs=(WHOLE, WHOLE)
        )
        self.code = over_devices(
            partial(code_step, training, ()), inputs=(WHOLE, SPLIT), outputs=(SPLIT, WHOLE)
        )

    def run(self, state, blocks):
        state = hold(state)
        for outer in range(blocks.label.shape[1]):
            block = jax.tree.map(lambda leaf, outer=outer: leaf[:, outer], blocks)
            codes, state = jax.block_until_ready(self.code(state, block))
            for i in range(blocks.label.shape[2]):
                batch, own = jax.tree.map(lambda leaf, i=i: leaf[:, i], (block, codes))
                state, _ = jax.block_until_ready(self.step(state, batch, own))
        return state


@pytest.mark.usefixtures("usual_emitters")
def test_the_scan_is_a_plain_loop_bit_for_bit():
    """Metric losses are, in a step, pairs of the whole batch like those of `supervised_hashing`."""
    training = small_training(small_stage("full", losses=REMEMBERING))
    state, blocks = small_state(training), random_blocks(4, m=2, k=3, batch=BATCH)
    scanned, _ = run_dispatch(training, state, blocks)
    assert_same_bits(scanned, LoopWithMemory(training).run(state, blocks))
    assert int(scanned.step) == 6


def test_factors_are_remembered_once_a_block_and_not_in_its_steps():
    """Of a stage that does not move: each block has the same features, in numpy."""
    training = small_training(small_stage("full", losses=SEMANTIC), optax.sgd(0.0))
    training = training._replace(network=Quiet(training.network))
    state, blocks = small_state(training), random_blocks(4, m=1, k=3, batch=BATCH)
    after, _ = run_dispatch(training, state, blocks)
    before, memory = state.memories["semantic"], after.memories["semantic"]
    # [devices k b] -> n: the mean does not ask for the order.
    labels = blocks.label.reshape(-1)
    inputs = jax.tree.map(lambda leaf: leaf.reshape(len(labels), *leaf.shape[4:]), blocks.inputs)
    features = training.network.apply(state.variables, inputs).features
    signs = 2.0 * (np.asarray(features) > 0.5) - 1
    vectors, decoder = (np.asarray(before[name], float) for name in ("vectors", "decoder"))
    # Bit by bit, three sweeps, one sketch after the other.
    for row, (feature, label) in enumerate(zip(np.asarray(features), labels, strict=True)):
        for _ in range(3):
            for bit in range(BITS):
                rest = decoder @ signs[row] - decoder[:, bit] * signs[row, bit]
                pull = decoder[:, bit] @ (vectors[label] - rest) + 2 * feature[bit] - 1
                signs[row, bit] = np.sign(pull) or signs[row, bit]
    # An epoch is two blocks: half of what was, half of this one's.
    gram = 0.5 * np.asarray(before["gram"], float) + 0.5 * signs.T @ signs / len(signs)
    cross = 0.5 * np.asarray(before["cross"], float) + 0.5 * vectors[labels].T @ signs / len(signs)
    np.testing.assert_allclose(memory["gram"], gram, atol=1e-5)
    np.testing.assert_allclose(memory["cross"], cross, atol=1e-5)


def test_a_step_that_is_not_finite_moves_no_centre():
    training = training_of(COMMON, inner_steps=1)
    state, blocks = small_state(training), random_blocks(4, m=1, k=1, batch=BATCH)
    broken = jax.tree.map(np.copy, state.params)
    broken["classifier"]["kernel"][0, 0] = np.nan
    state = state.replace(params=broken)
    after, _ = run_dispatch(training, state, blocks)
    assert int(after.skipped) == 1
    assert_same_bits(after.memories, state.memories)
