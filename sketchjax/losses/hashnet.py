"""HashNet: pairs under a tanh that sharpens (Cao, Long, Wang and Yu, ICCV 2017)."""

import jax
import jax.numpy as jnp

from sketchjax.losses.class_pairs import mean_where, pairs_of, products
from sketchjax.losses.loss import Loss


def hashnet(
    activations: jax.Array,
    labels: jax.Array,
    progress: jax.Array | float,
    *,
    alpha: float = 0.0,
    growth: float = 50.0,
) -> jax.Array:
    """Weighted negative log likelihood of the pairs of h = tanh(β u), β = √(1 + growth · progress):

        mean over pairs of one class of log(1 + exp(α h_i·h_j)) - α h_i·h_j
        + mean over pairs of two classes of log(1 + exp(α h_i·h_j)).

    The publication weights a pair by the number of all pairs over those of its kind, which is what
    these two means do. β grows over a stage, from tanh u towards the sign.

    activations: u f[b d].
    labels: i[b].
    progress: f[], the share of the stage that is done.
    alpha: 0, the default, means 10 / d, as in the authors' code.
    growth: 50 by default: the authors' 0.005 per step over 10,000 steps, which end at β = 7.1.
    Returns f[].
    Raises ValueError when activations and labels differ in b, or b < 2.
    """
    outputs, pairs = pairs_of(activations, labels)
    codes = jnp.tanh(jnp.sqrt(1 + growth * progress) * outputs)
    likeness = (alpha or 10 / outputs.shape[1]) * products(codes)
    return mean_where(jax.nn.softplus(-likeness), pairs.same) + mean_where(
        jax.nn.softplus(likeness), pairs.other
    )


LOSS = Loss(lambda seen: hashnet(seen.activations, seen.labels, seen.progress, **seen.settings))
