"""The bidirectional GRU compared with numpy, flax and torch, with gradients.

Each comparison runs with several packings and without packing (phases 0).
"""

from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from sketchjax.ops.gru import (
    GRUWeights,
    bidirectional_gru,
    pack,
    packed,
    reverse_sequence,
    row_counts,
    scale_rows,
    unpack,
)

STEPS, WIDTH, HIDDEN = 7, 4, 5
LENGTHS = np.array([3, 1, 7, 5], np.int32)  # ragged, from the shortest possible to the longest

PHASES = (0, 1, 2, 4)

# Shrinking a failing example would take minutes.
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)


def random_weights(seed, width=WIDTH, hidden=HIDDEN):
    random = np.random.default_rng(seed)
    shapes = ((width, 3 * hidden), (3 * hidden,), (hidden, 3 * hidden), (hidden,))
    return GRUWeights(*((0.6 * random.normal(size=s)).astype(np.float32) for s in shapes))


def random_sequence(seed, lengths=LENGTHS, steps=STEPS, width=WIDTH):
    sequence = np.random.default_rng(seed).normal(size=(steps, len(lengths), width))
    valid = np.arange(steps)[:, None] < lengths
    return (sequence * valid[:, :, None]).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def plain_gru(weights, steps):
    """One sketch, one direction: states f64[t h] of inputs [t i] (Cho et al. 2014, as in cuDNN)."""
    input_kernel, input_bias, recurrent, candidate_bias = (
        np.asarray(array, np.float64) for array in weights
    )
    kernels = np.split(input_kernel, 3, 1), np.split(recurrent, 3, 1), np.split(input_bias, 3)
    (wr, wz, wn), (ur, uz, un), (br, bz, bn) = kernels
    state, states = np.zeros(len(recurrent)), []
    for x in np.asarray(steps, np.float64):
        reset = sigmoid(x @ wr + br + state @ ur)
        update = sigmoid(x @ wz + bz + state @ uz)
        new = np.tanh(x @ wn + bn + reset * (state @ un + candidate_bias))
        state = (1 - update) * new + update * state
        states.append(state)
    return np.stack(states)


def flax_layer(forward, backward, sequence, length):
    """The same layer from `flax.linen.RNN`: outputs, zero beyond the length, and final states."""
    outputs, finals = [], []
    for weights, reverse in ((forward, False), (backward, True)):
        hidden = weights.recurrent_kernel.shape[0]
        cell = {}
        for place, gate in enumerate("rzn"):
            part = slice(place * hidden, (place + 1) * hidden)
            cell[f"i{gate}"] = {
                "kernel": weights.input_kernel[:, part],
                "bias": weights.input_bias[part],
            }
            cell[f"h{gate}"] = {"kernel": weights.recurrent_kernel[:, part]}
        cell["hn"]["bias"] = weights.candidate_bias
        layer = nn.RNN(
            nn.GRUCell(hidden), time_major=True, return_carry=True, reverse=reverse,
            keep_order=True,
        )  # fmt: skip
        variables = {"params": {"cell": cell}}
        final, output = layer.apply(variables, sequence, seq_lengths=length)
        outputs.append(output)
        finals.append(final)
    valid = jnp.arange(sequence.shape[0])[:, None] < length[None, :]
    joined = jnp.where(valid[:, :, None], jnp.concatenate(outputs, -1), 0)
    return joined, jnp.concatenate(finals, -1)


@cache
def layer_with(phases):
    return jax.jit(partial(bidirectional_gru, phases=phases))


@pytest.fixture(params=PHASES, ids="phases={}".format)
def layer(request):
    return layer_with(request.param)


@pytest.fixture(params=(0, 2), ids="phases={}".format)
def one_of_both(request):
    return layer_with(request.param)


def test_each_sketch_equals_a_plain_gru(layer):
    forward, backward = random_weights(1), random_weights(2)
    sequence = random_sequence(3)
    outputs, final = layer(forward, backward, sequence, LENGTHS)
    assert outputs.shape == (STEPS, 4, 2 * HIDDEN)
    assert final.shape == (4, 2 * HIDDEN)
    for b, length in enumerate(LENGTHS):
        ahead = plain_gru(forward, sequence[:length, b])
        behind = plain_gru(backward, sequence[:length, b][::-1])[::-1]
        expected = np.concatenate([ahead, behind], 1)
        np.testing.assert_allclose(outputs[:length, b], expected, atol=1e-5)
        assert not np.any(outputs[length:, b])
        # The true final states: forward at the last point, backward at the first.
        true_final = np.concatenate([ahead[length - 1], behind[0]])
        np.testing.assert_allclose(final[b], true_final, atol=1e-5)


@given(
    st.sampled_from((0, 2)),
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, STEPS), min_size=4, max_size=4).map(lambda n: np.array(n, np.int32)),
)
@settings(deadline=None, max_examples=16, phases=NO_SHRINKING)
def test_values_and_gradients_equal_those_of_flax(phases, seed, lengths):
    forward, backward = random_weights(seed), random_weights(seed + 1)
    sequence = random_sequence(seed, lengths)
    random = np.random.default_rng(seed)
    shapes = ((STEPS, 4, 2 * HIDDEN), (4, 2 * HIDDEN))
    weights_of_loss = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    arguments = (forward, backward, sequence, lengths, weights_of_loss)
    ours = _value_and_gradients(layer_with(phases), *arguments)
    flaxs = _value_and_gradients(flax_layer, *arguments)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(flaxs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


_COMPILED = {}


def _value_and_gradients(layer, forward, backward, sequence, lengths, weights_of_loss):
    def loss(forward, backward, sequence, lengths, of_outputs, of_final):
        outputs, final = layer(forward, backward, sequence, lengths)
        return (outputs * of_outputs).sum() + (final * of_final).sum(), (outputs, final)

    if layer not in _COMPILED:
        _COMPILED[layer] = jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True))
    (_, values), gradients = _COMPILED[layer](
        forward, backward, sequence, lengths, *weights_of_loss
    )
    return values, gradients


def test_gradients_from_only_final_states_or_outputs(one_of_both):
    # An error in how the backward loop joins the two gradients cannot cancel out here.
    forward, backward, sequence = random_weights(1), random_weights(2), random_sequence(3)
    nothing = (np.zeros((STEPS, 4, 2 * HIDDEN), np.float32), np.zeros((4, 2 * HIDDEN), np.float32))
    for place in (0, 1):
        chosen = [np.array(zeros) for zeros in nothing]
        chosen[place][:] = 1
        arguments = (forward, backward, sequence, LENGTHS, chosen)
        _, ours = _value_and_gradients(one_of_both, *arguments)
        _, flaxs = _value_and_gradients(flax_layer, *arguments)
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(flaxs), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
            assert np.abs(a).max() > 1e-3


def test_values_in_the_padding_change_nothing(one_of_both):
    forward, backward, sequence = random_weights(1), random_weights(2), random_sequence(3)
    dirty = sequence.copy()
    dirty[np.arange(STEPS)[:, None] >= LENGTHS] = 1e4
    random = np.random.default_rng(0)
    of_loss = [
        random.normal(size=shape).astype(np.float32)
        for shape in ((STEPS, 4, 2 * HIDDEN), (4, 2 * HIDDEN))
    ]
    clean = _value_and_gradients(one_of_both, forward, backward, sequence, LENGTHS, of_loss)
    same = _value_and_gradients(one_of_both, forward, backward, dirty, LENGTHS, of_loss)
    for a, b in zip(jax.tree.leaves(clean), jax.tree.leaves(same), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    into_sequence = np.asarray(same[1][2])
    assert not into_sequence[np.arange(STEPS)[:, None] >= LENGTHS].any()


def test_more_padding_and_other_sketches_change_nothing(one_of_both):
    forward, backward, sequence = random_weights(1), random_weights(2), random_sequence(3)
    _, final = one_of_both(forward, backward, sequence, LENGTHS)
    longer = np.pad(sequence, ((0, 6), (0, 0), (0, 0)))
    np.testing.assert_allclose(one_of_both(forward, backward, longer, LENGTHS)[1], final, atol=1e-6)
    alone = sequence[:5, 3:], LENGTHS[3:]
    one = one_of_both(forward, backward, *alone)[1]
    np.testing.assert_allclose(one[0], final[3], atol=1e-6)


def test_bfloat16_comes_close_to_float32(one_of_both):
    forward, backward, sequence = random_weights(1), random_weights(2), random_sequence(3)
    _, exact = one_of_both(forward, backward, sequence, LENGTHS)

    def small(array):
        return array.astype(jnp.bfloat16)

    arguments = jax.tree.map(small, (forward, backward, sequence))

    def loss(forward, backward, sequence):
        outputs, final = one_of_both(forward, backward, sequence, LENGTHS)
        assert outputs.dtype == jnp.bfloat16  # like the input, so that the next layer is as fast
        return final.sum(), final

    gradients, final = jax.jit(jax.grad(loss, (0, 1, 2), has_aux=True))(*arguments)
    assert final.dtype == jnp.float32
    np.testing.assert_allclose(final, exact, atol=0.03)
    assert np.abs(final - exact).max() > 0
    for gradient, array in zip(jax.tree.leaves(gradients), jax.tree.leaves(arguments), strict=True):
        assert gradient.dtype == array.dtype == jnp.bfloat16
        assert np.isfinite(gradient.astype(jnp.float32)).all()


def test_reverse_sequence_by_hand():
    sequence = jnp.arange(1, 9, dtype=jnp.float32).reshape(4, 2, 1)
    turned = reverse_sequence(sequence, jnp.array([3, 1]))
    assert turned[:, 0, 0].tolist() == [5, 3, 1, 7]
    assert turned[:, 1, 0].tolist() == [2, 4, 6, 8]


@given(st.lists(st.integers(1, 6), min_size=3, max_size=3), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=15)
def test_reverse_sequence_is_its_own_inverse(lengths, seed):
    lengths = np.array(lengths)
    sequence = np.random.default_rng(seed).normal(size=(6, 3, 2)).astype(np.float32)
    turned = np.asarray(reverse_sequence(jnp.asarray(sequence), lengths))
    for b, length in enumerate(lengths):
        np.testing.assert_array_equal(turned[:length, b], sequence[:length, b][::-1])
    np.testing.assert_array_equal(reverse_sequence(jnp.asarray(turned), lengths), sequence)


def test_a_batch_of_one_point_each(one_of_both):
    lengths = np.array([1, 1], np.int32)
    sequence = random_sequence(4, lengths, 1)
    forward, backward = random_weights(1), random_weights(2)
    ours = one_of_both(forward, backward, sequence, lengths)
    flaxs = jax.jit(flax_layer)(forward, backward, sequence, lengths)
    for a, b in zip(ours, flaxs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("batch, steps, chunk", [(1, 3, 512), (9, 6, 7)])
def test_any_batch_length_and_chunk_equal_flax(monkeypatch, batch, steps, chunk):
    monkeypatch.setattr(packed, "CHUNK", chunk)
    random = np.random.default_rng(batch)
    lengths = random.integers(1, steps + 1, batch).astype(np.int32)
    forward, backward = random_weights(1), random_weights(2)
    shapes = ((steps, batch, 2 * HIDDEN), (batch, 2 * HIDDEN))
    of_loss = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    arguments = forward, backward, random_sequence(3, lengths, steps), lengths, of_loss
    # A new function: code compiled for one chunk size must not run for another.
    ours = _value_and_gradients(partial(bidirectional_gru, phases=3), *arguments)
    flaxs = _value_and_gradients(flax_layer, *arguments)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(flaxs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_values_and_gradients_equal_those_of_torch(one_of_both):
    torch = pytest.importorskip("torch", reason="torch, of the extra bench, is not installed")
    forward, backward = random_weights(1), random_weights(2)
    sequence = random_sequence(3)
    of_final = np.random.default_rng(4).normal(size=(4, 2 * HIDDEN)).astype(np.float32)
    gru = torch.nn.GRU(WIDTH, HIDDEN, bidirectional=True)
    for suffix, own in (("", forward), ("_reverse", backward)):
        # torch has a bias for each gate's recurrent product; flax and ours only the candidate's.
        recurrent_bias = np.concatenate([np.zeros(2 * HIDDEN), own.candidate_bias])
        values = (own.input_kernel.T, own.recurrent_kernel.T, own.input_bias, recurrent_bias)
        for name, value in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), values):  # noqa: B905
            parameter = getattr(gru, f"{name}_l0{suffix}")
            parameter.data = torch.tensor(np.asarray(value), dtype=torch.float32)
    inputs = torch.tensor(sequence, requires_grad=True)
    steps = torch.nn.utils.rnn.pack_padded_sequence(
        inputs, torch.tensor(LENGTHS, dtype=torch.int64), enforce_sorted=False
    )
    _, states = gru(steps)
    torch_final = torch.cat([states[0], states[1]], -1)
    (torch_final * torch.tensor(of_final)).sum().backward()

    def loss(forward, backward, sequence):
        _, final = one_of_both(forward, backward, sequence, LENGTHS)
        return (final * of_final).sum(), final

    gradients, final = jax.grad(loss, (0, 1, 2), has_aux=True)(forward, backward, sequence)
    np.testing.assert_allclose(final, torch_final.detach(), atol=1e-5)
    np.testing.assert_allclose(gradients[2], inputs.grad, rtol=1e-4, atol=1e-5)
    for suffix, own in (("", gradients[0]), ("_reverse", gradients[1])):
        expected = {name: getattr(gru, f"{name}_l0{suffix}").grad.numpy() for name in
                    ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}  # fmt: skip
        np.testing.assert_allclose(own.input_kernel.T, expected["weight_ih"], 1e-4, 1e-5)
        np.testing.assert_allclose(own.recurrent_kernel.T, expected["weight_hh"], 1e-4, 1e-5)
        np.testing.assert_allclose(own.input_bias, expected["bias_ih"], 1e-4, 1e-5)
        np.testing.assert_allclose(
            own.candidate_bias, expected["bias_hh"][2 * HIDDEN :], 1e-4, 1e-5
        )


def test_gradients_are_the_same_in_scan_and_on_devices(one_of_both):
    forward, backward, sequence = random_weights(1), random_weights(2), random_sequence(3)

    def gradient(weights, sequence, lengths):
        return jax.grad(lambda own: (one_of_both(*own, sequence, lengths)[1] ** 2).sum())(weights)

    weights = (forward, backward)
    batches = np.stack([sequence, sequence[:, ::-1]]), np.stack([LENGTHS, LENGTHS[::-1]])
    alone = [jax.jit(gradient)(weights, *batch) for batch in zip(*batches, strict=True)]
    _, scanned = jax.lax.scan(lambda _, batch: (0, gradient(weights, *batch)), 0, batches)
    several = jax.pmap(gradient, in_axes=(None, 0, 0), devices=jax.devices()[:2])
    for together in (scanned, several(weights, *batches)):
        for i in (0, 1):
            for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(alone[i]), strict=True):
                np.testing.assert_allclose(a[i], b, rtol=1e-4, atol=1e-5)


def test_no_rank_is_promoted(one_of_both):
    with jax.numpy_rank_promotion("raise"):
        jax.eval_shape(
            jax.grad(lambda *own: one_of_both(*own, LENGTHS)[1].sum(), (0, 1, 2)),
            random_weights(1), random_weights(2), random_sequence(3),
        )  # fmt: skip


def test_unrolling_changes_nothing():
    arguments = random_weights(1), random_weights(2), random_sequence(3), LENGTHS
    one, three = (
        jax.jit(partial(bidirectional_gru, phases=0, unroll=steps))(*arguments) for steps in (1, 3)
    )
    for a, b in zip(one, three, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_packing_by_hand():
    # The example of the module with the lengths 5 3 2 1 in another order; counts 4 and 2.
    lengths = np.array([2, 5, 1, 3], np.int32)
    sequence = (10 * np.arange(4)[None] + np.arange(1, 6)[:, None]).astype(np.float32)[:, :, None]
    one, _, doubled = packed_and_scaled(sequence, lengths, np.full((4, 1), 2, np.float32), (4, 2))
    assert one.packing.order.tolist() == [1, 3, 0, 2]
    assert (one.packing.starts.tolist(), one.packing.ends.tolist()) == ([0, 2], [2, 5])
    assert (one.packing.bases.tolist(), int(one.packing.total)) == ([0, 8], 14)
    rows = [[11, 31, 1, 21], [12, 32, 2, 0], [13, 33], [14, 0], [15, 0], [0] * 6]
    assert one.parts[0][:, 0].tolist() == [value for row in rows for value in row]
    valid = np.arange(5)[:, None] < lengths
    np.testing.assert_array_equal(doubled, 2 * sequence * valid[:, :, None])


@partial(jax.jit, static_argnames="counts")
def packed_and_scaled(sequence, lengths, factors, counts):
    """A packed sequence, and unpacked as it is and with its rows scaled."""
    one = pack(sequence, lengths, counts)
    return one, unpack(one), unpack(scale_rows(one, factors))


@given(
    st.lists(st.integers(1, 9), min_size=11, max_size=11),
    st.just(3),
    st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=15, phases=NO_SHRINKING)
def test_packing_keeps_all_points_in_few_rows(lengths, phases, seed):
    lengths = np.array(lengths, np.int32)
    counts = row_counts(len(lengths), phases)
    sequence = random_sequence(seed, lengths, 9)
    factors = np.random.default_rng(seed).normal(size=(len(lengths), WIDTH)).astype(np.float32)
    one, same, scaled = packed_and_scaled(sequence, lengths, factors, counts)
    np.testing.assert_array_equal(same, sequence)
    np.testing.assert_allclose(scaled, sequence * factors[None], rtol=1e-6)
    active = [(lengths > step).sum() for step in range(lengths.max())]
    assert one.packing.total == sum(min(c for c in counts if c >= n) for n in active)


def test_row_counts_by_hand():
    assert row_counts(64, 4) == (64, 40, 24, 8)
    assert row_counts(64, 1) == (64,)
    assert row_counts(1, 4) == (1,)
    assert row_counts(3, 4) == (3, 2, 1)
    with pytest.raises(ValueError, match="phases=0"):
        row_counts(64, 0)
