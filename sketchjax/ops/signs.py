"""Codes of -1 and 1 inside a network or a loss, with a gradient that passes them by."""

import jax
import jax.numpy as jnp


def signs(values: jax.Array) -> jax.Array:
    """1 above 0 and -1 elsewhere, as the bits of a code are cut; without a gradient."""
    return jax.lax.stop_gradient(jnp.where(values > 0, 1.0, -1.0))


def straight_through(codes: jax.Array, values: jax.Array) -> jax.Array:
    """The codes, exactly, with the gradient that the values would have in their place.

    codes, values: f[...] of one shape.
    """
    return jax.lax.stop_gradient(codes) + (values - jax.lax.stop_gradient(values))
