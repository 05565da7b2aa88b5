"""Distances between all features of a batch, each from one matmul: SNR, Euclidean and cosine.

Entry (i, j) of a result f32[b b] is the distance of feature j from the anchor i. SNR distance is
not symmetric. All have finite gradients everywhere, also between equal features.
"""

import jax
import jax.numpy as jnp

# The variance below which the features of an anchor count as equal. Features of unit length have
# 1/d; a saturated or dead layer has 0, by which SNR distance would divide.
LEAST_VARIANCE = 1e-6


def snr(features: jax.Array) -> jax.Array:
    """var(x - a) / var(a), a the anchor: noise over signal (Yuan et al., CVPR 2019).

    A variance is over the d features of one item. With zero means it is the squared Euclidean
    distance over the squared length of the anchor; with unit variances it is 2 - 2ρ, ρ Pearson's
    correlation. Scaling all features, or adding the same number to all, changes nothing.

    features: f[b d].
    Returns f32[b b]. An anchor of equal features has `LEAST_VARIANCE` for its variance.
    """
    features = features.astype(jnp.float32)
    centred = features - features.mean(-1, keepdims=True)
    # In GPUs' TF32, three digits of what is subtracted would be left.
    covariances = jnp.matmul(centred, centred.T, precision="highest") / features.shape[-1]
    variances = (centred**2).mean(-1)
    noise = jax.nn.relu(variances[:, None] + variances[None] - 2 * covariances)
    return noise / jnp.maximum(variances, LEAST_VARIANCE)[:, None]


def euclidean(features: jax.Array) -> jax.Array:
    """‖x - a‖, not squared. features: f[b d].  Returns f32[b b]."""
    features = features.astype(jnp.float32)
    # What all features share would only cost digits of the difference.
    features = features - features.mean(0)
    squares = squared_between(features, features)
    # The gradient of a root is infinite at 0: equal features have none.
    apart = squares > 0
    return jnp.where(apart, jnp.sqrt(jnp.where(apart, squares, 1.0)), 0.0)


def squared_between(anchors: jax.Array, others: jax.Array) -> jax.Array:
    """‖x - a‖² of two lists of features.

    anchors: f[b d]; others: f[c d].
    Returns f32[b c], 0 exactly, and without a gradient, between equal features.
    """
    anchors, others = anchors.astype(jnp.float32), others.astype(jnp.float32)
    lengths = (anchors**2).sum(-1)[:, None] + (others**2).sum(-1)[None]
    squares = lengths - 2 * jnp.matmul(anchors, others.T, precision="highest")
    # What is smaller is only rounding of the lengths.
    return jnp.where(squares > 1e-6 * lengths, squares, 0.0)


def cosine(features: jax.Array) -> jax.Array:
    """1 - cos(x, a), 0 to 2. features: f[b d].  Returns f32[b b]; a feature of length 0 is at 1."""
    units = unit_length(features.astype(jnp.float32))
    return 1 - jnp.matmul(units, units.T, precision="highest")


def unit_length(features: jax.Array) -> jax.Array:
    """Features f[b d] scaled to length 1; one that is zero stays zero, with a finite gradient."""
    squares = (features**2).sum(-1, keepdims=True)
    return features * jax.lax.rsqrt(jnp.maximum(squares, 1e-24))


DISTANCES = {"snr": snr, "euclidean": euclidean, "cosine": cosine}
