"""What losses over the pairs of a batch share."""

from __future__ import annotations

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
