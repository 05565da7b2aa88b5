"""A bidirectional GRU layer over packed sequences: it computes actual points, no padding.

The forward and backward passes loop over the phases of `packing`, one direction after the other.
The forward direction moves up in time while rows end, the backward direction moves down while rows
begin; both work on the first rows. The matmuls over all points (input projection, gradients of
inputs and weights) run over chunks of packed rows, as many as the lengths need.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from sketchjax.ops.gru.cell import Gates, GRUWeights, cell, cell_gradient
from sketchjax.ops.gru.packing import PackedSequence, Packing

# Packed rows per matmul. On average half a chunk is wasted at the end, and each chunk costs a pass
# over the gradients of the weights.
CHUNK = 512


class Shape(NamedTuple):
    """What a packed layer knows at compile time.

    counts: row counts of the phases, descending.
    chunk: packed rows per matmul.
    outputs: whether the outputs are wanted, or only the final states.
    """

    counts: tuple[int, ...]
    chunk: int
    outputs: bool


class Saved(NamedTuple):
    """What one direction keeps for its gradient, packed f[p h]: gates and previous states."""

    gates: Gates
    before: jax.Array


def packed_layer(
    forward: GRUWeights, backward: GRUWeights, sequence: PackedSequence, *, outputs: bool = True
) -> tuple[PackedSequence | None, jax.Array]:
    """One bidirectional layer: packed outputs of both directions, and final states f32[b 2h].

    forward: weights of the forward direction.
    backward: weights of the backward direction.
    sequence: the packed inputs.
    outputs: False to compute only the final states; the packed outputs are then None.

    The outputs have two parts f[p h] of the input's type. Rows that hold no point are finite but
    meaningless. The final states are in the original order of the batch.
    """
    packing, size = sequence.packing, len(sequence.parts[0])
    # Whole chunks only: a shorter last chunk would be shifted back and count rows twice.
    chunk = min(CHUNK, size)
    size = -(-size // chunk) * chunk
    parts = tuple(jnp.pad(part, ((0, size - len(part)), (0, 0))) for part in sequence.parts)
    shape = Shape(sequence.counts, chunk, outputs)
    results, final = cast(Any, _layer(shape, (forward, backward), parts, packing))
    final = final[jnp.argsort(packing.order)]
    return (replace(sequence, parts=results) if outputs else None), final


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _layer(shape, weights, parts, packing):
    """Outputs 2 x f[p h], or (), and final states f32[b 2h] sorted by length; parts: f[p i]."""
    return _run(shape, weights, parts, packing, save=False)[0]


def _layer_forward(shape, weights, parts, packing):
    results, saved = _run(shape, weights, parts, packing, save=True)
    return results, (weights, parts, packing, saved)


def _run(shape, weights, parts, packing, *, save: bool):
    projected = _project(shape, weights, parts, packing)
    sides = [
        _recur(shape, own, into, packing, parts[0].dtype, save=save, ascending=ascending)
        for own, into, ascending in zip(weights, projected, (True, False), strict=True)
    ]
    finals, outputs, saved = zip(*sides, strict=True)
    return (outputs if shape.outputs else (), jnp.concatenate(finals, -1)), saved


def _traverse(
    packing: Packing,
    counts: tuple[int, ...],
    step: Callable[..., tuple[jax.Array, Any]],
    state: jax.Array,
    buffers: Any,
    *,
    ascending: bool,
) -> tuple[jax.Array, Any]:
    """Run `step` over all steps and return the final state f[b h] and buffers.

    packing: where the rows are.
    counts: row counts of the phases, descending.
    step: called as step(place, active bool[r 1], state f[r h], buffers); returns the last two.
    state: f[b h], of which a phase uses only the first r rows; the others stay unchanged.
    buffers: any pytree.
    ascending: whether time runs up or down.
    """
    phases = list(enumerate(counts))
    for phase, count in phases if ascending else reversed(phases):
        start, end = packing.starts[phase], packing.ends[phase]
        lengths = packing.lengths[:count, None]

        def turn(i, carry, *, start=start, end=end, base=packing.bases[phase], lengths=lengths):
            time = i if ascending else end - 1 - (i - start)
            place = base + (time - start) * lengths.shape[0]
            return step(place, lengths > time, *carry)

        first, buffers = lax.fori_loop(start, end, turn, (state[:count], buffers))
        state = jnp.concatenate([first, state[count:]])
    return state, buffers


def _read(array: jax.Array, place: jax.Array, count: int) -> jax.Array:
    return lax.dynamic_slice_in_dim(array, place, count)


def _write(array: jax.Array, rows: jax.Array, place: jax.Array) -> jax.Array:
    return lax.dynamic_update_slice_in_dim(array, rows.astype(array.dtype), place, 0)


def _recur(shape, weights, projected, packing, dtype, *, save: bool, ascending: bool):
    """The loop of one direction: final states f32[b h], outputs f[p h] and saved values."""
    size, hidden = projected.shape[0], weights.recurrent_kernel.shape[0]

    def step(place, active, state, buffers):
        outputs, saved = buffers
        count = state.shape[0]
        moved, gates = cell(
            state,
            _read(projected, place, count),
            weights.recurrent_kernel,
            weights.candidate_bias,
        )
        moved = jnp.where(active, moved, state)
        if shape.outputs:
            outputs = _write(outputs, moved, place)
        if save:
            values = Saved(gates, state)
            saved = jax.tree.map(partial(_write, place=place), saved, values)
        return moved, (outputs, saved)

    def empty():
        return lax.empty((size, hidden), dtype)

    buffers = (
        empty() if shape.outputs else (),
        Saved(Gates(empty(), empty(), empty(), empty()), empty()) if save else (),
    )
    state = jnp.zeros((len(packing.order), hidden), jnp.float32)
    state, (outputs, saved) = _traverse(
        packing, shape.counts, step, state, buffers, ascending=ascending
    )
    return state, outputs, saved


def _project(shape, weights, parts, packing):
    """The projected inputs of all gates and points, for both directions: 2 x f[p 3h]."""
    kernels = jnp.concatenate([own.input_kernel for own in weights], 1)
    biases = jnp.concatenate([own.input_bias for own in weights])[None]
    size, width = len(parts[0]), kernels.shape[1] // 2

    def chunk(i, projected):
        place = i * shape.chunk
        x = jnp.concatenate([_read(part, place, shape.chunk) for part in parts], 1)
        return _write_columns(projected, x @ kernels + biases, place)

    start = (lax.empty((size, width), parts[0].dtype),) * 2
    return lax.fori_loop(0, _chunks(shape, packing), chunk, start)


def _chunks(shape, packing):
    return (packing.total + shape.chunk - 1) // shape.chunk


def _layer_backward(shape, residuals, gradients):
    weights, parts, packing, saved = residuals
    into_outputs, into_final = gradients
    into_outputs = into_outputs if shape.outputs else (None, None)
    finals = jnp.split(into_final, 2, -1)
    sides = [
        # In the backward pass time runs against the order of each direction.
        _recur_gradient(shape, own, outer, final, kept, packing, ascending=ascending)
        for own, outer, final, kept, ascending in zip(
            weights, into_outputs, finals, saved, (False, True), strict=True
        )
    ]
    befores = tuple(own.before for own in saved)
    return (*_matmul_gradients(shape, weights, parts, packing, sides, befores), None)


def _recur_gradient(shape, weights, into_outputs, into_final, saved, packing, *, ascending):
    """The loop's gradient: of the recurrent product f[p 3h] and the candidate's input f[p h]."""

    def step(place, active, gradient, buffers):
        count = gradient.shape[0]
        total = gradient
        if into_outputs is not None:
            total = total + _read(into_outputs, place, count).astype(jnp.float32)
        own = jax.tree.map(partial(_read, place=place, count=count), saved)
        moved = jnp.where(active, total, 0)
        before, *values = cell_gradient(moved, own.before, own.gates, weights.recurrent_kernel)
        buffers = tuple(map(partial(_write, place=place), buffers, values))
        return jnp.where(active, before, gradient), buffers

    size, hidden = saved.before.shape
    dtype = saved.before.dtype
    buffers = (lax.empty((size, 3 * hidden), dtype), lax.empty((size, hidden), dtype))
    return _traverse(packing, shape.counts, step, into_final, buffers, ascending=ascending)[1]


class Gradients(NamedTuple):
    """Sums over the chunks so far, f32 except for into_parts.

    into_parts: f[p i], of the packed inputs.
    kernels: [i 6h], of the input kernels, both directions side by side.
    biases: [6h], of the input biases.
    recurrent: 2 x [h 3h].
    candidates: 2 x [h].
    """

    into_parts: tuple[jax.Array, ...]
    kernels: jax.Array
    biases: jax.Array
    recurrent: tuple[jax.Array, ...]
    candidates: tuple[jax.Array, ...]


def _matmul_gradients(shape, weights, parts, packing, sides, befores):
    """All matmuls over points: the gradients of the weights and of the packed inputs."""
    kernels = jnp.concatenate([own.input_kernel for own in weights], 1)
    hidden = befores[0].shape[1]

    def chunk(i, sums):
        read = partial(_read, place=i * shape.chunk, count=shape.chunk)
        x = jnp.concatenate(list(map(read, parts)), 1)
        products = [read(product) for product, _ in sides]
        candidates = [product[:, 2 * hidden :] for product in products]
        gates = _beside(
            (product[:, : 2 * hidden], read(new))
            for product, (_, new) in zip(products, sides, strict=True)
        )
        recurrent = [
            _dot(read(before), product, (0, 0))
            for before, product in zip(befores, products, strict=True)
        ]
        into_x = _dot(gates, kernels, (1, 1))
        return Gradients(
            _write_columns(sums.into_parts, into_x, i * shape.chunk),
            sums.kernels + _dot(x, gates, (0, 0)),
            sums.biases + _sum(gates),
            tuple(map(jnp.add, sums.recurrent, recurrent)),
            tuple(map(jnp.add, sums.candidates, map(_sum, candidates))),
        )

    start = Gradients(
        tuple(map(jnp.zeros_like, parts)),
        jnp.zeros(kernels.shape, jnp.float32),
        jnp.zeros(kernels.shape[1], jnp.float32),
        tuple(jnp.zeros((hidden, 3 * hidden), jnp.float32) for _ in weights),
        tuple(jnp.zeros(hidden, jnp.float32) for _ in weights),
    )
    sums = lax.fori_loop(0, _chunks(shape, packing), chunk, start)
    into_weights = tuple(
        GRUWeights(*(one.astype(like.dtype) for one, like in zip(arrays, own, strict=True)))
        for own, *arrays in zip(
            weights,
            jnp.split(sums.kernels, 2, 1),
            jnp.split(sums.biases, 2),
            sums.recurrent,
            sums.candidates,
            strict=True,
        )
    )
    return into_weights, sums.into_parts


def _beside(pairs: Iterable[tuple[jax.Array, jax.Array]]) -> jax.Array:
    return jnp.concatenate([array for pair in pairs for array in pair], 1)


def _write_columns(
    parts: tuple[jax.Array, ...], rows: jax.Array, place: jax.Array
) -> tuple[jax.Array, ...]:
    """Split the columns of rows [r i] among the parts and write them at a place."""
    cuts = np.cumsum([part.shape[1] for part in parts])[:-1].tolist()
    columns = jnp.split(rows, cuts, 1)
    return tuple(_write(part, own, place) for part, own in zip(parts, columns, strict=True))


def _sum(rows: jax.Array) -> jax.Array:
    return rows.astype(jnp.float32).sum(0)


def _dot(a: jax.Array, b: jax.Array, contracted: tuple[int, int]) -> jax.Array:
    """Product of two matrices over one axis of each, accumulated in float32."""
    dimensions = (((contracted[0],), (contracted[1],)), ((), ()))
    return lax.dot_general(a, b, dimensions, preferred_element_type=jnp.float32)


_layer.defvjp(_layer_forward, _layer_backward)
