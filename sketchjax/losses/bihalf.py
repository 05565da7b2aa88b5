"""Bi-half: each bit splits the batch into halves (Li and van Gemert, AAAI 2021)."""

import jax
import jax.numpy as jnp

from sketchjax.losses.loss import Loss
from sketchjax.losses.pairs import Alike, mean_where, pairs_of, products
from sketchjax.losses.sides import of_pairs
from sketchjax.ops.distances import unit_length
from sketchjax.ops.signs import straight_through


def bihalf(activations: jax.Array, labels: Alike, *, gamma: float = 6.0) -> jax.Array:
    """Cosines of codes in which each bit is 1 for half of the batch, and a pull to these codes:

        mean over pairs of (cos(b_i, b_j) - [y_i = y_j])²
        + ½ γ · mean over sketches and bits of (u - b)².

    b is `halves(u)`, with the gradient of u in its place. The publication is unsupervised: it
    compares cos(b_i, b_j) with the cosine of pretrained features. Here that is the cosine of the
    one-hot labels, 1 or 0. The second term gives the gradient γ (u - b) that the publication adds.

    activations: u f[b d].
    labels: y i[b], or the pairs that are compared.
    gamma: 6 by default, as published.
    Returns f[].
    Raises ValueError when the two differ in b, or b < 2.
    """
    outputs, pairs = pairs_of(activations, labels)
    codes = halves(outputs)
    cosines = products(unit_length(straight_through(codes, outputs)))
    away = mean_where((cosines - pairs.same) ** 2, pairs.same + pairs.other)
    return away + 0.5 * gamma * ((outputs - codes) ** 2).mean()


def halves(activations: jax.Array) -> jax.Array:
    """Codes f[b d] in {-1, 1}: in each bit, the ⌊b / 2⌋ largest activations become 1.

    Equal activations are split in the order of the batch. Without a gradient.
    """
    fixed = jax.lax.stop_gradient(activations)
    ranks = jnp.argsort(jnp.argsort(-fixed, axis=0, stable=True), axis=0)
    return jnp.where(ranks < len(activations) // 2, 1.0, -1.0)


LOSS = Loss(of_pairs(bihalf))
