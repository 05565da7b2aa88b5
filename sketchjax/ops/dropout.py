"""Dropout whose mask depends on the sketch, not on its place on a device."""

import jax
import jax.numpy as jnp


def dropout(features: jax.Array, rate: float, keys: jax.Array | None) -> jax.Array:
    """Zero each feature with probability `rate` and scale the rest by 1 / (1 - rate).

    features: f[b d].
    rate: probability of dropping a feature; 0 leaves the features unchanged.
    keys: [b] typed PRNG keys, one per sketch, so that a batch drops the same features on four
      devices as on one; None leaves the features unchanged.
    """
    if keys is None or rate == 0:
        return features
    keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, features.shape[1:]))(keys)
    return jnp.where(keep, features / (1 - rate), 0)
