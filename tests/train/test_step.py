"""Algorithm 1 against a plain Python loop, and four devices against one."""

from functools import cache, partial
from typing import NamedTuple

import jax
import numpy as np
import optax
import pytest
from small_network import (
    ROWS,
    PlainLoop,
    Quiet,
    assert_same_bits,
    differs,
    drawn_variables,
    random_blocks,
    run_dispatch,
    small_stage,
    small_state,
    small_training,
)
from tiny_run import tiny_config

from sketchjax import parallel
from sketchjax.config import architecture
from sketchjax.data.inputs import Strokes
from sketchjax.data.sources import doodles as synthetic
from sketchjax.models import network as networks
from sketchjax.train import stages
from sketchjax.train.loop import compile_dispatch
from sketchjax.train.stages import Stage
from sketchjax.train.state import State, start
from sketchjax.train.step import (
    Minibatch,
    Training,
    code_step,
    sketch_keys,
)

NAMES = ["cat", "clock", "face", "sun"]


# --- a small network -------------------------------------------------------------------------


class Trained(NamedTuple):
    """Two blocks of a stage: what the scan and the plain loop make of the same state."""

    stage: Stage
    state: State
    scanned: tuple[State, dict]
    looped: dict[str, tuple]  # by the state that gives the codes


@cache
def trained(name: str) -> Trained:
    """At a rate that turns codes within a block; those who ask for it use `usual_emitters`."""
    training = small_training(small_stage(name, rate=0.3))
    state, blocks = small_state(training), random_blocks(4, m=2, k=3, batch=8)
    loop = PlainLoop(training)
    kinds = ("block", "step", "run") if loop.alternate else ("block",)
    return Trained(
        training.stage,
        state,
        run_dispatch(training, state, blocks),
        {codes_of: loop.run(state, blocks, codes_of) for codes_of in kinds},
    )


# The stage `joint` is that of `center` without a memory, which `cnn` and `rnn` do not have either.
SCANNED = pytest.mark.parametrize("name", [name for name in ROWS if name != "joint"])


@pytest.mark.usefixtures("usual_emitters")
@SCANNED
def test_the_scan_is_a_plain_loop_bit_for_bit(name):
    scanned, scanned_metrics = trained(name).scanned
    looped, looped_metrics, _ = trained(name).looped["block"]
    assert int(scanned.step) == 6
    assert_same_bits(scanned, looped)
    assert_same_bits(scanned_metrics, looped_metrics)
    assert scanned_metrics["loss"].shape == (2, 3)


@pytest.mark.usefixtures("usual_emitters")
def test_codes_are_fixed_in_a_block_and_remade_for_the_next():
    """Codes of every step, or of only the first state, lead elsewhere: the test above can tell."""
    scanned, _ = trained("full").scanned
    _, _, codes = trained("full").looped["block"]
    for codes_of in ("step", "run"):
        other, _, other_codes = trained("full").looped[codes_of]
        assert differs(codes, other_codes)
        assert differs(scanned.params, other.params)


@pytest.mark.usefixtures("usual_emitters")
@SCANNED
def test_a_stage_changes_only_the_parts_of_its_output(name):
    stage, state, (after, _), _ = trained(name)
    output = stage.row.output
    parts = {
        "cnn": {"cnn", "cnn_classifier"},
        "rnn": {"rnn", "rnn_classifier"},
        "head": {"cnn", "rnn", "hash", "classifier"},
    }[output]
    changed = {part for part in state.params if differs(state.params[part], after.params[part])}
    assert changed == parts
    assert differs(state.batch_stats, after.batch_stats) == (output != "rnn")
    assert_same_bits(state.memories, after.memories)


@pytest.mark.parametrize("trains", [("head",), ("rnn",), ("cnn", "head")], ids="-".join)
def test_a_stage_changes_only_the_parts_it_trains(trains):
    """Parameters and batch statistics: what is not named stays as it is."""
    training = small_training(small_stage("joint", trains=trains))
    state = small_state(training)
    after, _ = run_dispatch(training, state, random_blocks(4, m=1, k=3, batch=8))
    changed = {part for part in state.params if differs(state.params[part], after.params[part])}
    assert changed == {"hash" if part == "head" else part for part in trains} | {"classifier"}
    assert differs(state.batch_stats, after.batch_stats) == ("cnn" in trains)


def test_codes_are_zeros_and_ones_of_the_features():
    training = small_training(small_stage("full"))
    state, blocks = small_state(training), random_blocks(1, m=1, k=1, batch=8)
    batch = jax.tree.map(lambda leaf: leaf[0, 0, 0], blocks)
    block = jax.tree.map(lambda leaf: leaf[0, 0], blocks)
    codes, after = code_step(training, (), state, block)
    assert list(codes) == ["quantization"]
    assert_same_bits(after, state)
    codes = np.asarray(codes["quantization"][0])
    features = training.network.apply(state.variables, batch.inputs).features
    np.testing.assert_array_equal(codes, (np.asarray(features) > 0.5).astype(np.float32))
    assert 0 < codes.mean() < 1


def test_the_loss_of_the_last_stage_is_equation_5_in_numpy():
    """The first step's metrics, from features that the step itself gives (no noise, no update)."""
    training = small_training(small_stage("full"))
    state, blocks = small_state(training), random_blocks(4, m=1, k=1, batch=8)
    quiet = Training(Quiet(training.network), *training[1:])
    _, metrics = run_dispatch(quiet, state, blocks)
    whole = jax.tree.map(lambda leaf: leaf.reshape(8, *leaf.shape[4:]), blocks)
    output = training.network.apply(state.variables, whole.inputs)
    features, logits = np.asarray(output.features, np.float64), np.asarray(output.logits, float)
    codes, centers = features > 0.5, np.asarray(state.memories["center"]["centers"])
    chance = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    wanted = {
        "cross_entropy": -np.log(chance[np.arange(8), whole.label]).mean(),
        "center": ((features - centers[whole.label]) ** 2).sum(1).mean(),
        "quantization": ((features - codes) ** 2).sum(1).mean(),
        "accuracy": (logits.argmax(1) == whole.label).mean(),
    }
    wanted["loss"] = wanted["cross_entropy"] + 0.5 * wanted["center"] + 0.5 * wanted["quantization"]
    assert set(metrics) == {*wanted, "skipped"}
    for key, value in wanted.items():
        np.testing.assert_allclose(metrics[key][0, 0], value, rtol=1e-5, err_msg=key)


def test_devices_share_a_step():
    """One step of SGD at rate 1 gives the gradient: within 1e-6, the rounding of sums of 8."""
    training = small_training(small_stage("full"), optax.sgd(1.0))
    state = small_state(training)
    after, metrics = {}, {}
    for devices in (1, 4):
        blocks = random_blocks(devices, m=1, k=1, batch=8)
        after[devices], metrics[devices] = run_dispatch(
            training, state, blocks, jax.devices()[:devices]
        )
    close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    jax.tree.map(close, after[1].variables, after[4].variables)
    jax.tree.map(close, metrics[1], metrics[4])
    # What one device of several saw by itself differs: the mean is over all of them.
    own = jax.tree.map(lambda leaf: leaf[:1], random_blocks(4, m=1, k=1, batch=8))
    alone, alone_metrics = run_dispatch(training, state, own, jax.devices()[:1])
    assert abs(float(alone_metrics["loss"][0, 0] - metrics[1]["loss"][0, 0])) > 1e-3
    mean = lambda state: np.asarray(state.batch_stats["cnn"]["mean"])  # noqa: E731
    assert np.abs(mean(alone) - mean(after[1])).max() > 1e-3


def test_keys_come_from_seed_stage_step_and_place():
    keys = []
    training = small_training(small_stage("cnn"))
    place = np.arange(4)
    for seed, name, step in ((7, "cnn", 0), (8, "cnn", 0), (7, "rnn", 0), (7, "cnn", 1)):
        other = training._replace(seed=seed, stage=small_stage(name))
        keys.append(jax.random.key_data(sketch_keys(other, step, place)))
    assert len({bytes(np.asarray(key)) for row in keys for key in row}) == 16
    again = jax.random.key_data(sketch_keys(training, 0, place[::-1]))
    np.testing.assert_array_equal(again[::-1], keys[0])


def test_noise_moves_with_the_step_and_the_place():
    training = small_training(small_stage("cnn"))
    state, blocks = small_state(training), random_blocks(4, m=1, k=1, batch=8)
    run = compile_dispatch(training, (), state, blocks)
    losses = [
        float(run(*arguments)[1]["loss"][0, 0])
        for arguments in (
            (state, blocks),
            (state, blocks),
            (state.replace(step=state.step + 1), blocks),
            (state, blocks._replace(place=blocks.place + 8)),
        )
    ]
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3


# --- the network of a run --------------------------------------------------------------------


@cache
def tiny():
    """The tiny config, its network and variables of any kind."""
    config = tiny_config()
    network = networks.build(
        architecture(config, NAMES, 20.0),
        axis_name=parallel.AXIS,
        augmentation=config.augmentation.to_dict(),
    )
    return config, network, drawn_variables(network.shapes())


def doodles(devices: int, m: int, k: int, batch: int, points: int) -> Minibatch:
    """Blocks of synthetic doodles.

    Their seeds begin at 1,000: with those from 0, two values in a window of the last pooling differ
    by rounding only, so that it depends on the processor which of them gets the gradient.
    """
    count = m * k * batch
    shape = (m, k, batch)
    drawn = np.zeros((count, points, 3), np.uint8)
    length = np.zeros(count, np.int32)
    for i in range(count):
        sketch = synthetic.draw(NAMES[i % 4], np.random.default_rng(1000 + i))[:points]
        drawn[i, : len(sketch)] = sketch
        drawn[i, len(sketch) - 1, 2] = 1
        length[i] = len(sketch)
    whole = (
        jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), Strokes.of(drawn, length)),
        (np.arange(count, dtype=np.int32) % 4).reshape(shape),
        np.broadcast_to(np.arange(batch, dtype=np.int32), shape),
    )
    return Minibatch(*parallel.split(whole, devices, axis=2))


def tiny_training():
    """The last stage, with plain SGD: Adam would divide rounding by gradients near zero."""
    config, network, variables = tiny()
    layers = network.layers
    stage = stages.plan(config, layers.parts_of, layers.head_parts(), lambda row: 6)[-1]
    assert list(stage.row.losses) == ["center", "cross_entropy", "quantization"]
    optimizer = optax.sgd(0.05)
    training = Training(network, stage, optimizer, parallel.average, config.seed)
    centers = jax.random.uniform(jax.random.key(3), (len(NAMES), config.model.bits))
    return training, start(optimizer, stage, variables, {"center": {"centers": centers}})


@cache
def four_steps(devices: int):
    """The state and metrics that a dispatch of the real network leaves, on so many devices."""
    training, state = tiny_training()
    blocks = doodles(devices, m=2, k=2, batch=8, points=32)
    return run_dispatch(training, state, blocks, jax.devices()[:devices])


@pytest.mark.usefixtures("usual_emitters")
def test_the_scan_of_the_real_network_is_a_plain_loop_bit_for_bit():
    """Only the last stage: each of the others takes 10 s to compile, and has less in it."""
    training, state = tiny_training()
    scanned, scanned_metrics = four_steps(4)
    looped, looped_metrics, codes = PlainLoop(training).run(
        state, doodles(4, m=2, k=2, batch=8, points=32)
    )
    assert_same_bits(scanned, looped)
    assert_same_bits(scanned_metrics, looped_metrics)
    assert 0 < np.mean(codes) < 1
    assert differs(state.params, scanned.params)


def test_four_devices_are_one_with_dropout_and_augmentation(request):
    """Measured: metrics within 4e-6 relative, variables within 2e-6; ten times that is allowed."""
    _, state = tiny_training()
    # One device by the older emitters, which take half as long; four as in the test above.
    one, one_metrics = four_steps(1)
    request.getfixturevalue("usual_emitters")
    four, four_metrics = four_steps(4)
    for name, values in one_metrics.items():
        np.testing.assert_allclose(values, four_metrics[name], rtol=4e-5, err_msg=name)
    moved = [
        np.abs(np.asarray(a) - np.asarray(b)).max()
        for a, b in zip(
            jax.tree.leaves(state.variables), jax.tree.leaves(one.variables), strict=True
        )
    ]
    assert max(moved) > 0.01
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=2e-5, atol=2e-5), one.variables, four.variables
    )
