"""What losses over the pairs of a batch share."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp


class Pairs(NamedTuple):
    """The ordered pairs of two different items of a batch.

    same: f[b b], 1 where the two are of one class.
    other: f[b b], 1 where they are of two.
    """

    same: jax.Array
    other: jax.Array


# What a loss over pairs compares: the labels i[b] of all items, or some of the pairs only.
Alike: TypeAlias = "jax.Array | Pairs"


def pairs_of(activations: jax.Array, labels: Alike) -> tuple[jax.Array, Pairs]:
    """The activations as f32[b d], and the pairs of their batch.

    activations: f[b d].
    labels: i[b], or the pairs f[b b] themselves.
    Raises ValueError when the two differ in b, or b < 2.
    """
    whole = activations.astype(jnp.float32)
    if isinstance(labels, Pairs):
        check_batch(activations, labels.same[0])
    else:
        check_batch(activations, labels)
    if len(activations) < 2:
        raise ValueError("a batch of one sketch has no pairs; use at least two")
    if isinstance(labels, Pairs):
        return whole, labels
    return whole, Pairs(*(mask.astype(jnp.float32) for mask in mask_pairs(labels)))


def mask_pairs(labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Masks bool[b b] of the ordered pairs of one class and of two; labels: i[b]."""
    same = labels[:, None] == labels[None]
    between = ~jnp.eye(len(labels), dtype=bool)
    return same & between, ~same


def check_batch(activations: jax.Array, labels: jax.Array) -> None:
    """Raise ValueError when activations f[b d] and labels i[b] differ in b."""
    if activations.shape[:1] != labels.shape:
        raise ValueError(f"activations {activations.shape} and labels {labels.shape} differ in b")


def products(rows: jax.Array) -> jax.Array:
    """The inner products f[b b] of rows f[b d], as precise as the device can."""
    # Highest precision, as a GPU's TF32 keeps three digits.
    return jnp.matmul(rows, rows.T, precision="highest")


def mean_where(values: jax.Array, where: jax.Array) -> jax.Array:
    """The mean f[] of the values where a mask is set, or is 1; 0 where it is so nowhere."""
    return jnp.where(where, values, 0).sum() / jnp.maximum(where.sum(), 1)


def sum_over_positives(
    positives: jax.Array, of_pairs: Callable[[jax.Array, jax.Array], tuple[jax.Array, ...]]
) -> tuple[jax.Array, ...]:
    """Sums over the pairs of an anchor and a positive of it, such as of all triplets of each.

    Time and memory are those of the pairs that are there: a batch of P classes × K sketches has
    b (K - 1) of them, and a mask over all triplets would have b³ numbers.

    positives: bool[b b], row i with the anchor i.
    of_pairs: anchors i[c], positives i[c] -> terms f[c] of those pairs, any number of kinds.
    Returns f[] of each kind.
    """
    b = len(positives)
    at_once = 4 * b
    count = positives.sum()
    pairs = jnp.argsort(~positives.ravel(), stable=True)
    pairs = jnp.pad(pairs, (0, -len(pairs) % at_once)).reshape(-1, at_once)
    starts = at_once * jnp.arange(len(pairs))

    # What a block needs in between is computed again for the gradient, so one block is in memory.
    @jax.checkpoint
    def of_block(start: jax.Array, block: jax.Array) -> tuple[jax.Array, ...]:
        there = start + jnp.arange(at_once) < count
        return tuple(jnp.where(there, each, 0).sum() for each in of_pairs(*jnp.divmod(block, b)))

    def add(totals: tuple[jax.Array, ...], block: tuple[jax.Array, jax.Array]):
        return jax.lax.cond(
            block[0] < count,
            lambda: tuple(map(jnp.add, totals, of_block(*block))),
            lambda: totals,
        ), None

    kinds = jax.eval_shape(of_block, starts[0], pairs[0])
    return jax.lax.scan(add, tuple(jnp.zeros(k.shape, k.dtype) for k in kinds), (starts, pairs))[0]
