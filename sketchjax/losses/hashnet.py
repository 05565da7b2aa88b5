"""HashNet: pairs under a tanh that sharpens (Cao, Long, Wang and Yu, ICCV 2017)."""

from functools import partial

import jax
import jax.numpy as jnp

from sketchjax.losses.loss import Loss
from sketchjax.losses.pairs import Alike, mean_where, pairs_of, products
from sketchjax.losses.sides import of_pairs


def hashnet(
    activations: jax.Array,
    labels: Alike,
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
    labels: i[b], or the pairs that are compared.
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


LOSS = Loss(lambda seen: of_pairs(partial(hashnet, progress=seen.progress))(seen))
