"""A bidirectional GRU layer over padded sequences: every step on all rows, masked.

Both directions advance together in one `lax.scan`; the backward direction reads the sequences
reversed within their lengths. The loop has a fixed number of steps, which suits a GPU.
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
    recurrent = (forward.recurrent_kernel, backward.recurrent_kernel)
    candidate = (forward.candidate_bias, backward.candidate_bias)
    ahead, behind = cast(Any, _recur(unroll, inputs, recurrent, candidate, valid))
    final = jnp.concatenate([ahead[-1], behind[-1]], -1)
    outputs = jnp.concatenate([ahead, reverse_sequence(behind, length)], -1).astype(sequence.dtype)
    return jnp.where(valid[:, :, None], outputs, 0), final


def _project(sequence: jax.Array, weights: GRUWeights) -> jax.Array:
    """The projected inputs of all gates and steps as one matmul: f[t b i] -> f[t b 3h]."""
    steps, batch, width = sequence.shape
    flat = sequence.reshape(steps * batch, width) @ weights.input_kernel
    return (flat + weights.input_bias[None]).reshape(steps, batch, -1)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _recur(unroll, inputs, recurrent, candidate, valid):
    """The loop: inputs 2 x f[t b 3h] (projected), valid bool[t b] -> states 2 x f32[t b h]."""
    return _recur_forward(unroll, inputs, recurrent, candidate, valid)[0]


def _recur_forward(unroll, inputs, recurrent, candidate, valid):
    def step(states, now):
        projected, is_valid = now
        moved, gates = zip(*map(cell, states, projected, recurrent, candidate), strict=True)
        states = tuple(
            jnp.where(is_valid[:, None], new, old) for new, old in zip(moved, states, strict=True)
        )
        # bfloat16 inputs keep bfloat16 gates, which halves the memory between the passes.
        kept = jax.tree.map(lambda gate: gate.astype(inputs[0].dtype), gates)
        return states, (states, kept)

    start = tuple(
        jnp.zeros((one.shape[1], kernel.shape[0]), jnp.float32)
        for one, kernel in zip(inputs, recurrent, strict=True)
    )
    _, (states, gates) = lax.scan(step, start, (inputs, valid), unroll=unroll)
    # An empty slice records the type of the inputs, which are not kept.
    return states, (states, gates, recurrent, candidate, valid, tuple(x[:0] for x in inputs))


def _recur_backward(unroll, residuals, states_gradient):
    states, gates, recurrent, candidate, valid, inputs_like = residuals
    before = tuple(jnp.concatenate([jnp.zeros_like(one[:1]), one[:-1]]) for one in states)

    def step(carries, now):
        outer, previous, gates, is_valid = now
        total = tuple(c + o for c, o in zip(carries, outer, strict=True))
        moved = tuple(jnp.where(is_valid[:, None], one, 0) for one in total)
        carries, products, news = zip(
            *map(cell_gradient, moved, previous, gates, recurrent), strict=True
        )
        carries = tuple(
            jnp.where(is_valid[:, None], c, t) for c, t in zip(carries, total, strict=True)
        )
        return carries, (products, news)

    start = tuple(jnp.zeros_like(one[0]) for one in states)
    _, (products, news) = lax.scan(
        step, start, (states_gradient, before, gates, valid), reverse=True, unroll=unroll
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
    """The recurrent kernel's gradient of all steps as one matmul: [h, t b] x [t b, 3h]."""
    flat = before.reshape(-1, before.shape[-1])
    return (flat.T @ product.reshape(-1, product.shape[-1])).astype(kernel.dtype)


_recur.defvjp(_recur_forward, _recur_backward)
