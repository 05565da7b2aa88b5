"""A bidirectional GRU layer over padded sequences: every step on all rows, masked.

Both directions advance together in one `lax.scan`, as one batch of two matmuls; the backward
direction reads the sequences reversed within their lengths. The loop has a fixed number of steps,
which suits a GPU.
"""

from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax import lax

from sketchjax.ops.gru.cell import GRUWeights, cell, cell_gradient


def reverse_sequence(sequence: jax.Array, length: jax.Array) -> jax.Array:
    """Reverse the first `length` steps of each time-major sequence f[t b d]; its own inverse."""
    steps = jnp.arange(sequence.shape[0])[:, None]
    order = jnp.where(steps < length[None], length[None] - 1 - steps, steps)
    return jnp.take_along_axis(sequence, order[:, :, None], axis=0)


def padded_layer(
    forward: GRUWeights,
    backward: GRUWeights,
    sequence: jax.Array,
    length: jax.Array,
    *,
    unroll: int = 1,
) -> tuple[jax.Array, jax.Array]:
    """One layer: outputs f[t b 2h], zero beyond the length, and final states f32[b 2h].

    forward: weights of the forward direction.
    backward: weights of the backward direction.
    sequence: f[t b i], time first.
    length: i[b], each from 1 to t.
    unroll: steps per turn of the loop.
    """
    valid = jnp.arange(sequence.shape[0])[:, None] < length[None]
    inputs = tuple(
        _project(one, weights)
        for one, weights in (
            (sequence, forward),
            (reverse_sequence(sequence, length), backward),
        )
    )
    recurrent = jnp.stack([forward.recurrent_kernel, backward.recurrent_kernel])
    candidate = jnp.stack([forward.candidate_bias, backward.candidate_bias])
    states, final = cast(Any, _recur(unroll, inputs, recurrent, candidate, valid))
    behind = reverse_sequence(states[:, 1], length)
    outputs = jnp.concatenate([states[:, 0], behind], -1)
    return jnp.where(valid[:, :, None], outputs, 0), jnp.concatenate([*final], -1)


def _project(sequence: jax.Array, weights: GRUWeights) -> jax.Array:
    """The projected inputs of all gates and steps as one matmul: f[t b i] -> f[t b 3h]."""
    steps, batch, width = sequence.shape
    flat = sequence.reshape(steps * batch, width) @ weights.input_kernel
    return (flat + weights.input_bias[None]).reshape(steps, batch, -1)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _recur(unroll, inputs, recurrent, candidate, valid):
    """The loop: the states of all steps f[t 2 b h], and the final ones f32[2 b h].

    inputs: 2 x f[t b 3h], projected.
    recurrent: f[2 h 3h].
    candidate: f[2 h].
    valid: bool[t b].
    """
    return _recur_forward(unroll, inputs, recurrent, candidate, valid)[0]


def _recur_forward(unroll, inputs, recurrent, candidate, valid):
    dtype = inputs[0].dtype

    def step(state, now):
        projected, is_valid = now
        moved, gates = cell(state, jnp.stack(projected), recurrent, candidate)
        moved = jnp.where(is_valid[:, None], moved, state)
        # bfloat16 inputs keep bfloat16 gates and states, half the memory between the passes.
        return moved, jax.tree.map(lambda each: each.astype(dtype), (moved, gates))

    start = jnp.zeros((2, inputs[0].shape[1], recurrent.shape[1]), jnp.float32)
    final, (states, gates) = lax.scan(step, start, (inputs, valid), unroll=unroll)
    return (states, final), (states, gates, recurrent, candidate, valid)


def _recur_backward(unroll, residuals, gradients):
    states, gates, recurrent, candidate, valid = residuals
    into_states, into_final = gradients
    before = jnp.concatenate([jnp.zeros_like(states[:1]), states[:-1]])

    def step(carry, now):
        outer, previous, gates, is_valid = now
        total = carry + outer.astype(jnp.float32)
        moved = jnp.where(is_valid[:, None], total, 0)
        carry, product, new = cell_gradient(moved, previous, gates, recurrent)
        kept = product.astype(states.dtype), new.astype(states.dtype)
        return jnp.where(is_valid[:, None], carry, total), kept

    _, (products, news) = lax.scan(
        step, into_final, (into_states, before, gates, valid), reverse=True, unroll=unroll
    )
    hidden = news.shape[-1]
    return (
        tuple(
            jnp.concatenate([products[:, side, :, : 2 * hidden], news[:, side]], -1)
            for side in (0, 1)
        ),
        _recurrent_gradient(before, products).astype(recurrent.dtype),
        products[..., 2 * hidden :].astype(jnp.float32).sum((0, 2)).astype(candidate.dtype),
        None,
    )


def _recurrent_gradient(before: jax.Array, products: jax.Array) -> jax.Array:
    """The recurrent kernels' gradients f32[2 h 3h] of all steps, as one matmul a direction.

    before: f[t 2 b h], the states before each step; products: f[t 2 b 3h], their gradients.
    """
    return jnp.stack(
        [
            jnp.einsum(
                "tbh,tbg->hg",
                before[:, side],
                products[:, side],
                preferred_element_type=jnp.float32,
            )
            for side in (0, 1)
        ]
    )


_recur.defvjp(_recur_forward, _recur_backward)
