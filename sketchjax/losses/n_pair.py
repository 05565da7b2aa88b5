"""N-pair loss (Sohn, NeurIPS 2016) over SNR, Euclidean or cosine distance."""

import jax
import jax.numpy as jnp

from sketchjax.losses.loss import Loss
from sketchjax.losses.mining import NEVER, anchors_of
from sketchjax.losses.pairs import Alike, mean_where
from sketchjax.losses.sides import of_pairs


def n_pair(
    activations: jax.Array, labels: Alike, *, distance: str = "snr", temperature: float = 1.0
) -> jax.Array:
    """Mean over positive pairs (i, p) of log(1 + Σ_n exp((d(i, p) - d(i, n)) / τ)).

    The published loss has the inner product for a similarity; here it is -d, so no penalty on the
    length of the features is needed. Its batches have two sketches of each class, of which one is
    a negative of the other classes; here n is over all sketches of other classes.

    activations: f[b d].
    labels: i[b], or the pairs that are compared.
    distance: `snr`, `euclidean` or `cosine`.
    temperature: τ; the lower it is, the more do the nearest negatives count.
    Returns f[]; 0 for a batch without a positive pair, or of one class.
    Raises ValueError when activations and labels differ in b, or b < 2.
    """
    distances, positives, negatives = anchors_of(activations, labels, distance)
    distances /= temperature
    push = jax.nn.logsumexp(jnp.where(negatives, -distances, NEVER), axis=-1, keepdims=True)
    return mean_where(jax.nn.softplus(distances + push), positives)


LOSS = Loss(of_pairs(n_pair))
