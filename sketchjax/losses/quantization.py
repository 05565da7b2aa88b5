"""Quantisation loss (SketchMate: Xu et al., CVPR 2018, eq. 3)."""

import jax
import jax.numpy as jnp

from sketchjax.losses.loss import Loss


def quantization(features: jax.Array, codes: jax.Array) -> jax.Array:
    """Mean squared distance of a code feature to its fixed binary code, summed over the bits.

    features: f[b d] in (0, 1); codes: f[b d] of 0 and 1.  Returns f[].
    Raises ValueError when the two differ in shape.
    """
    if features.shape != codes.shape:
        raise ValueError(f"features {features.shape} and codes {codes.shape} differ in shape")
    return ((features - codes) ** 2).sum(-1).mean()


def nearest_codes(features: jax.Array) -> jax.Array:
    """The codes nearest to features f[n d] in (0, 1), eq. 1: f32[n d] of 0 and 1."""
    return (features > 0.5).astype(jnp.float32)


LOSS = Loss(
    lambda seen: quantization(seen.features, seen.codes),
    codes=lambda block, average: (nearest_codes(block.features), block.memory),
)
