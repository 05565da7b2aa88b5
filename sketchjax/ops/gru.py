"""A bidirectional GRU layer with its own gradient, for the whole sequence at once.

The same function as two `flax.linen.RNN(GRUCell)` under `seq_lengths`, arranged for speed:
the input projection of all steps is one matmul before the loop, both directions advance in the
same loop step, and the gradient of the recurrent weights is one matmul after the backward loop.
Only the gates are stored for the backward pass.

Gate order in all fused arrays: reset r, update z, candidate n, with the reset gate applied after
the recurrent matmul (the form of cuDNN, PyTorch and flax).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class GRUWeights(NamedTuple):
    """Weights of one direction, the three gates side by side.

    input_kernel: f[i 3h]; input_bias: f[3h]; recurrent_kernel: f[h 3h];
    candidate_bias: f[h], the bias inside the reset gate's product.
    """

    input_kernel: jax.Array
    input_bias: jax.Array
    recurrent_kernel: jax.Array
    candidate_bias: jax.Array


def reverse_sequence(sequence: jax.Array, length: jax.Array) -> jax.Array:
    """Reverse the first `length` steps of each time-major sequence f[t b d]; its own inverse."""
    steps = jnp.arange(sequence.shape[0])[:, None]
    order = jnp.where(steps < length, length - 1 - steps, steps)
    return jnp.take_along_axis(sequence, order[:, :, None], axis=0)


def bidirectional_gru(
    forward: GRUWeights, backward: GRUWeights, sequence: jax.Array, length: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """One bidirectional GRU layer.

    sequence: f[t b i], time first; length: i[b], at least 1.
    Returns outputs f[t b 2h], zero beyond the length and of the sequence's type, so that the next
    layer computes in it too, and final states f32[b 2h]: forward at the last point, backward at
    the first.
    """
    valid = jnp.arange(sequence.shape[0])[:, None] < length
    inputs = tuple(
        _project(one, weights)
        for one, weights in (
            (sequence, forward),
            (reverse_sequence(sequence, length), backward),
        )
    )
    ahead, behind = _recur(
        inputs,
        (forward.recurrent_kernel, backward.recurrent_kernel),
        (forward.candidate_bias, backward.candidate_bias),
        valid,
    )
    final = jnp.concatenate([ahead[-1], behind[-1]], -1)
    outputs = jnp.concatenate([ahead, reverse_sequence(behind, length)], -1).astype(sequence.dtype)
    return jnp.where(valid[:, :, None], outputs, 0), final


def _project(sequence: jax.Array, weights: GRUWeights) -> jax.Array:
    """The input side of all gates and steps as one matmul: f[t b i] -> f[t b 3h]."""
    steps, batch, width = sequence.shape
    flat = sequence.reshape(steps * batch, width) @ weights.input_kernel + weights.input_bias
    return flat.reshape(steps, batch, -1)


def _matmul(state: jax.Array, kernel: jax.Array) -> jax.Array:
    """f[b h] x f[h g] -> f32[b g], accumulated in float32 whatever the kernel's type."""
    return jnp.dot(state.astype(kernel.dtype), kernel, preferred_element_type=jnp.float32)


# The directions are tuples of two arrays, never a stacked axis: XLA's CPU backend runs a batched
# matmul of this size at less than half the speed of two plain ones.
@jax.custom_vjp
def _recur(inputs, recurrent, candidate, valid):
    """The loop: inputs 2 x f[t b 3h] (projected), valid bool[t b] -> states 2 x f32[t b h]."""
    return _recur_forward(inputs, recurrent, candidate, valid)[0]


def _cell(state, projected, kernel, bias):
    hidden = kernel.shape[0]
    gates = projected.astype(jnp.float32)
    product = _matmul(state, kernel)
    reset = jax.nn.sigmoid(gates[:, :hidden] + product[:, :hidden])
    update = jax.nn.sigmoid(gates[:, hidden : 2 * hidden] + product[:, hidden : 2 * hidden])
    inner = product[:, 2 * hidden :] + bias
    new = jnp.tanh(gates[:, 2 * hidden :] + reset * inner)
    return new + update * (state - new), (reset, update, new, inner)


def _recur_forward(inputs, recurrent, candidate, valid):
    def step(states, now):
        projected, is_valid = now
        moved, gates = zip(*map(_cell, states, projected, recurrent, candidate), strict=True)
        states = tuple(
            jnp.where(is_valid[:, None], new, old) for new, old in zip(moved, states, strict=True)
        )
        return states, (states, gates)

    start = tuple(
        jnp.zeros((one.shape[1], kernel.shape[0]), jnp.float32)
        for one, kernel in zip(inputs, recurrent, strict=True)
    )
    _, (states, gates) = lax.scan(step, start, (inputs, valid))
    # An empty slice remembers the type of the inputs, which are not kept themselves.
    return states, (states, gates, recurrent, candidate, valid, tuple(x[:0] for x in inputs))


def _cell_gradient(gradient, previous, gates, kernel):
    reset, update, new, inner = gates
    into_new = gradient * (1 - update) * (1 - new * new)
    into_update = gradient * (previous - new) * update * (1 - update)
    into_reset = into_new * inner * reset * (1 - reset)
    product = jnp.concatenate([into_reset, into_update, into_new * reset], -1)
    return gradient * update + _matmul(product, kernel.T), product, into_new


def _recur_backward(residuals, states_gradient):
    states, gates, recurrent, candidate, valid, inputs_like = residuals
    before = tuple(jnp.concatenate([jnp.zeros_like(one[:1]), one[:-1]]) for one in states)

    def step(carries, now):
        outer, previous, gates, is_valid = now
        total = tuple(c + o for c, o in zip(carries, outer, strict=True))
        moved = tuple(jnp.where(is_valid[:, None], one, 0) for one in total)
        carries, products, news = zip(
            *map(_cell_gradient, moved, previous, gates, recurrent), strict=True
        )
        carries = tuple(
            jnp.where(is_valid[:, None], c, t) for c, t in zip(carries, total, strict=True)
        )
        return carries, (products, news)

    start = tuple(jnp.zeros_like(one[0]) for one in states)
    _, (products, news) = lax.scan(
        step, start, (states_gradient, before, gates, valid), reverse=True
    )
    return (
        tuple(map(_inputs_gradient, products, news, inputs_like)),
        tuple(map(_recurrent_gradient, before, products, recurrent)),
        tuple(
            one[..., -bias.shape[0] :].sum((0, 1)).astype(bias.dtype)
            for one, bias in zip(products, candidate, strict=True)
        ),
        None,
    )


def _inputs_gradient(product, into_new, like):
    hidden = into_new.shape[-1]
    return jnp.concatenate([product[..., : 2 * hidden], into_new], -1).astype(like.dtype)


def _recurrent_gradient(before, product, kernel):
    """The weight gradient of all steps as one matmul: [h, t b] x [t b, 3h]."""
    flat = before.reshape(-1, before.shape[-1])
    return (flat.T @ product.reshape(-1, product.shape[-1])).astype(kernel.dtype)


_recur.defvjp(_recur_forward, _recur_backward)
