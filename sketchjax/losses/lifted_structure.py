"""Lifted structure loss (Oh Song et al., CVPR 2016) over SNR, Euclidean or cosine distance."""

import jax
import jax.numpy as jnp

from sketchjax.losses.loss import Loss
from sketchjax.losses.mining import NEVER, anchors_of
from sketchjax.losses.pairs import Alike, mean_where
from sketchjax.losses.sides import of_pairs


def lifted_structure(
    activations: jax.Array,
    labels: Alike,
    *,
    distance: str = "snr",
    margin: float = 1.0,
    temperature: float = 1.0,
) -> jax.Array:
    """Mean over positive pairs (i, j) of ½ [J]₊², with

        J = d(i, j) + τ log(Σ_k exp((m - d(i, k)) / τ) + Σ_l exp((m - d(j, l)) / τ)),

    k over the negatives of i and l over those of j: a soft maximum, so all negatives of a batch
    take part and none is mined. Pairs are ordered, as SNR distance is not symmetric.

    activations: f[b d].
    labels: i[b], or the pairs that are compared.
    distance: `snr`, `euclidean` or `cosine`.
    margin: m.
    temperature: τ; the lower it is, the more do the nearest negatives count.
    Returns f[]; 0 for a batch without a positive pair, or of one class.
    Raises ValueError when activations and labels differ in b, or b < 2.
    """
    distances, positives, negatives = anchors_of(activations, labels, distance)
    near = (margin - distances) / temperature
    push = jax.nn.logsumexp(jnp.where(negatives, near, NEVER), axis=-1)
    pushed = temperature * jnp.logaddexp(push[:, None], push[None])
    lifted = jax.nn.relu(distances + pushed)
    return mean_where(0.5 * lifted**2, positives)


LOSS = Loss(of_pairs(lifted_structure))
