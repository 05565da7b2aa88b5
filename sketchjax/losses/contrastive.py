"""Contrastive loss (Hadsell et al. 2006) over SNR, Euclidean or cosine distance, with mining."""

import jax
import jax.numpy as jnp

from sketchjax.losses.loss import Loss
from sketchjax.losses.mining import anchors_of, distance_weights, mean_of_active
from sketchjax.losses.pairs import Alike
from sketchjax.losses.sides import of_pairs


def contrastive(
    activations: jax.Array,
    labels: Alike,
    *,
    distance: str = "snr",
    margin: float = 1.0,
    positive_margin: float = 0.0,
    mining: str = "all",
) -> jax.Array:
    """Mean of [d - m_p]₊ over positive pairs, plus mean of [m - d]₊ over negative ones.

    Both means are over the terms above 0, so that a few hard pairs are not lost among many easy
    ones. Pairs are ordered: each sketch of a pair is once the anchor.

    activations: f[b d].
    labels: i[b], or the pairs that are compared.
    distance: `snr`, `euclidean` or `cosine`.
    margin: m, the distance from which a negative pair counts nothing.
    positive_margin: m_p, the distance up to which a positive pair counts nothing.
    mining: the negatives of an anchor that count. `all`; `semi_hard`: those farther than its
      nearest positive; `distance_weighted`: all, weighted by `mining.distance_weights`, which is
      the expectation over that sampling.
    Returns f[].
    Raises ValueError when activations and labels differ in b, or b < 2.
    """
    distances, positives, negatives = anchors_of(activations, labels, distance)
    pull = jax.nn.relu(distances - positive_margin)
    push = jax.nn.relu(margin - distances)
    if mining == "distance_weighted":
        weights = distance_weights(activations, negatives, distance)
    elif mining == "semi_hard":
        nearest = jnp.where(positives, distances, jnp.inf).min(-1, keepdims=True)
        weights = negatives & (distances > nearest)
    else:
        weights = negatives
    near = mean_of_active(positives * pull, positives * (pull > 0))
    return near + mean_of_active(weights * push, weights * (push > 0))


LOSS = Loss(of_pairs(contrastive))
