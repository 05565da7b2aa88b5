"""Triplet loss (Schroff et al. 2015) over SNR, Euclidean or cosine distance, with mining."""

import jax
import jax.numpy as jnp

from sketchjax.losses.loss import Loss
from sketchjax.losses.mining import anchors_of, distance_weights, mean_of_active
from sketchjax.losses.pairs import Alike, sum_over_positives
from sketchjax.losses.sides import of_pairs


def triplet(
    activations: jax.Array,
    labels: Alike,
    *,
    distance: str = "snr",
    margin: float = 0.2,
    mining: str = "all",
) -> jax.Array:
    """Mean of [d(a, p) - d(a, n) + m]₊ over the triplets of the batch for which it is above 0.

    A triplet is an anchor, a positive and a negative; all of the batch are there.

    activations: f[b d].
    labels: i[b], or the pairs that are compared.
    distance: `snr`, `euclidean` or `cosine`.
    margin: m, how much farther a negative has to be than a positive.
    mining: which triplets count. `all`; `semi_hard`: those whose negative is farther than their
      positive; `distance_weighted`: all, weighted by `mining.distance_weights`, which is the
      expectation over that sampling.
    Returns f[].
    Raises ValueError when activations and labels differ in b, or b < 2.
    """
    distances, positives, negatives = anchors_of(activations, labels, distance)
    weights = jnp.asarray(negatives, jnp.float32)
    if mining == "distance_weighted":
        weights = distance_weights(activations, negatives, distance)

    def of_positives(anchors: jax.Array, others: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Sum of the weighted terms f[c], and of the weights of those above 0."""
        near, far = distances[anchors, others][:, None], distances[anchors]
        terms = jax.nn.relu(near - far + margin)
        counts = weights[anchors]
        if mining == "semi_hard":
            counts *= far > near
        return (counts * terms).sum(-1), (counts * (terms > 0)).sum(-1)

    return mean_of_active(*sum_over_positives(positives, of_positives))


LOSS = Loss(of_pairs(triplet))
