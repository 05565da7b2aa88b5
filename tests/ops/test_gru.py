"""The bidirectional GRU against a plain one in numpy and against flax's, with gradients."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from sketchjax.ops.gru import GRUWeights, bidirectional_gru, reverse_sequence

STEPS, WIDTH, HIDDEN = 7, 4, 5
LENGTHS = np.array([3, 1, 7, 5], np.int32)  # ragged, with the shortest and the longest there can be

# Shrinking a failing example would take minutes.
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)


def random_weights(seed, width=WIDTH, hidden=HIDDEN):
    random = np.random.default_rng(seed)
    shapes = ((width, 3 * hidden), (3 * hidden,), (hidden, 3 * hidden), (hidden,))
    return GRUWeights(*(jnp.asarray(0.6 * random.normal(size=s), jnp.float32) for s in shapes))


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
    """The same layer by `flax.linen.RNN`: outputs, zero beyond the length, and final states."""
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


def test_against_a_plain_gru_sketch_by_sketch():
    forward, backward = random_weights(1), random_weights(2)
    sequence = random_sequence(3)
    outputs, final = bidirectional_gru(forward, backward, sequence, LENGTHS)
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
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, STEPS), min_size=4, max_size=4).map(lambda n: np.array(n, np.int32)),
)
@settings(deadline=None, max_examples=10, phases=NO_SHRINKING)
def test_values_and_gradients_are_those_of_flax(seed, lengths):
    forward, backward = random_weights(seed), random_weights(seed + 1)
    sequence = random_sequence(seed, lengths)
    random = np.random.default_rng(seed)
    shapes = ((STEPS, 4, 2 * HIDDEN), (4, 2 * HIDDEN))
    weights_of_loss = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    arguments = (forward, backward, sequence, lengths, weights_of_loss)
    ours = _value_and_gradients(bidirectional_gru, *arguments)
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


def test_gradients_from_the_final_states_alone_and_from_the_outputs_alone():
    # A fault in how the two gradients join in the backward loop cannot cancel out here.
    forward, backward, sequence = random_weights(1), random_weights(2), random_sequence(3)
    nothing = (np.zeros((STEPS, 4, 2 * HIDDEN), np.float32), np.zeros((4, 2 * HIDDEN), np.float32))
    for place in (0, 1):
        chosen = [np.array(zeros) for zeros in nothing]
        chosen[place][:] = 1
        arguments = (forward, backward, sequence, LENGTHS, chosen)
        _, ours = _value_and_gradients(bidirectional_gru, *arguments)
        _, flaxs = _value_and_gradients(flax_layer, *arguments)
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(flaxs), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
            assert np.abs(a).max() > 1e-3


def test_padding_changes_nothing():
    forward, backward, sequence = random_weights(1), random_weights(2), random_sequence(3)
    dirty = sequence.copy()
    dirty[np.arange(STEPS)[:, None] >= LENGTHS] = 1e4
    random = np.random.default_rng(0)
    of_loss = [
        random.normal(size=shape).astype(np.float32)
        for shape in ((STEPS, 4, 2 * HIDDEN), (4, 2 * HIDDEN))
    ]
    clean = _value_and_gradients(bidirectional_gru, forward, backward, sequence, LENGTHS, of_loss)
    same = _value_and_gradients(bidirectional_gru, forward, backward, dirty, LENGTHS, of_loss)
    for a, b in zip(jax.tree.leaves(clean), jax.tree.leaves(same), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    into_sequence = np.asarray(same[1][2])
    assert not into_sequence[np.arange(STEPS)[:, None] >= LENGTHS].any()


def test_longer_padding_and_other_sketches_change_nothing():
    forward, backward, sequence = random_weights(1), random_weights(2), random_sequence(3)
    _, final = bidirectional_gru(forward, backward, sequence, LENGTHS)
    longer = np.pad(sequence, ((0, 6), (0, 0), (0, 0)))
    np.testing.assert_allclose(
        bidirectional_gru(forward, backward, longer, LENGTHS)[1], final, atol=1e-6
    )
    alone = sequence[:5, 3:], LENGTHS[3:]
    one = bidirectional_gru(forward, backward, *alone)[1]
    np.testing.assert_allclose(one[0], final[3], atol=1e-6)


def test_bfloat16_accumulates_in_float32_and_comes_close():
    forward, backward, sequence = random_weights(1), random_weights(2), random_sequence(3)
    _, exact = bidirectional_gru(forward, backward, sequence, LENGTHS)

    def small(array):
        return array.astype(jnp.bfloat16)

    arguments = jax.tree.map(small, (forward, backward, jnp.asarray(sequence)))

    def loss(forward, backward, sequence):
        outputs, final = bidirectional_gru(forward, backward, sequence, LENGTHS)
        assert outputs.dtype == jnp.bfloat16  # as the input, so that the next layer is as fast
        return final.sum(), final

    gradients, final = jax.grad(loss, (0, 1, 2), has_aux=True)(*arguments)
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


def test_a_batch_of_one_point_each():
    lengths = np.array([1, 1], np.int32)
    sequence = random_sequence(4, lengths, 1)
    forward, backward = random_weights(1), random_weights(2)
    ours = bidirectional_gru(forward, backward, sequence, lengths)
    for a, b in zip(ours, flax_layer(forward, backward, sequence, lengths), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
