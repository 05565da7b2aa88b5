"""Discrete cyclic coordinate descent: codes of -1 and 1 that are improved bit by bit."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def descend(
    codes: jax.Array, pull: Callable[[jax.Array, jax.Array], jax.Array], sweeps: int
) -> jax.Array:
    """Give each bit in turn the sign of its pull, for all items at once.

    If the pull is what minimises an objective over that bit with all others fixed, the objective of
    no item rises.

    codes: f[n d] of -1 and 1, to start from.
    pull: (codes, bit) -> f[n]; where it is 0, the bit stays as it is.
    sweeps: how often each bit is visited.
    Returns f[n d] of -1 and 1.
    """
    bits = codes.shape[1]

    def visit(step: jax.Array, codes: jax.Array) -> jax.Array:
        bit = step % bits
        towards = pull(codes, bit)
        return codes.at[:, bit].set(jnp.where(towards == 0, codes[:, bit], jnp.sign(towards)))

    return jax.lax.fori_loop(0, sweeps * bits, visit, codes)
