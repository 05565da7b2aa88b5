"""Dropout whose mask belongs to the sketch, not to its place on a device."""

import jax
import jax.numpy as jnp


def dropout(features: jax.Array, rate: float, keys: jax.Array | None) -> jax.Array:
    """Zero each feature with probability `rate` and scale the rest by 1 / (1 - rate).

    features: f[b d]; keys: b typed PRNG keys, one a sketch, so that a batch spread over four
    devices drops the same features as on one; None leaves the features as they are.
    """
    if keys is None or rate == 0:
        return features
    keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, features.shape[1:]))(keys)
    return jnp.where(keep, features / (1 - rate), 0)
