"""The zero-mean regulariser of SNR-based metric learning (Yuan et al., CVPR 2019)."""

import jax
import jax.numpy as jnp

from sketchjax.losses.loss import Loss


def zero_mean(activations: jax.Array) -> jax.Array:
    """Mean over the batch of |Σ_m x_m|, which pulls the mean of each sketch's features to 0.

    At a mean of 0, SNR distance is the squared Euclidean distance over the squared length of the
    anchor. On a code layer it asks for as many ones as zeros in each code.

    activations: f[b d].  Returns f[].
    """
    return jnp.abs(activations.astype(jnp.float32).sum(-1)).mean()


LOSS = Loss(lambda seen: zero_mean(seen.activations))
