"""What the metric losses share: the distances of a batch, mining, and the mean that counts.

An anchor's positives are the other sketches of its class in the whole batch, its negatives those of
all other classes. An anchor is never paired with itself.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from sketchjax.losses.pairs import Alike, pairs_of
from sketchjax.ops.distances import DISTANCES, unit_length

# Leaves an item out of a sum of exponentials, as -∞ would, but with finite gradients.
NEVER = -1e9

# Of distance-weighted mining, as in the authors' code: distances on the unit sphere below the first
# count as this one, and negatives beyond the second are left out.
_NEAREST, _FARTHEST = 0.5, 1.4


class Anchors(NamedTuple):
    """All ordered pairs of a batch, row i with the anchor i.

    distances: f32[b b].
    positives: bool[b b], of one class, the diagonal left out.
    negatives: bool[b b], of two classes.
    """

    distances: jax.Array
    positives: jax.Array
    negatives: jax.Array


def anchors_of(activations: jax.Array, labels: Alike, distance: str) -> Anchors:
    """The pairs of a batch with their distances.

    activations: f[b d].
    labels: i[b], or the pairs that are compared.
    distance: of `ops.distances.DISTANCES`.
    Raises ValueError when the two differ in b, or b < 2.
    """
    _, pairs = pairs_of(activations, labels)
    return Anchors(DISTANCES[distance](activations), pairs.same > 0, pairs.other > 0)


def distance_weights(activations: jax.Array, negatives: jax.Array, distance: str) -> jax.Array:
    """How likely distance-weighted sampling picks each negative of an anchor (Wu et al. 2017).

    A negative at a distance r on the unit sphere has the weight 1 / q(r), where q is the density of
    distances between uniform points: log q = (d - 2) log r + (d - 3)/2 log(1 - r²/4). Negatives at
    all distances are then equally likely. For SNR distance the features are centred first, which
    leaves d - 1 dimensions.

    activations: f[b d].
    negatives: bool[b b].
    distance: of `ops.distances.DISTANCES`.
    Returns f32[b b] without gradient; each row adds up to 1, or to 0 where all negatives of the
      anchor are farther than 1.4.
    """
    features = jax.lax.stop_gradient(activations).astype(jnp.float32)
    dimensions = features.shape[-1]
    if distance == "snr":
        features, dimensions = features - features.mean(-1, keepdims=True), dimensions - 1
    units = unit_length(features)
    cosines = jnp.matmul(units, units.T, precision="highest")
    apart = jnp.sqrt(jax.nn.relu(2 - 2 * cosines))
    radii = jnp.clip(apart, _NEAREST, _FARTHEST)
    density = (dimensions - 2) * jnp.log(radii)
    density += (dimensions - 3) / 2 * jnp.log(1 - radii**2 / 4)
    kept = negatives & (apart < _FARTHEST)
    return jax.nn.softmax(jnp.where(kept, -density, NEVER), axis=-1) * kept


def mean_of_active(totals: jax.Array, active: jax.Array) -> jax.Array:
    """The mean over terms above 0, f[], from any parts of their weighted sum.

    totals: weights times terms, and active: weights of the terms above 0, both of any shape.
    Returns 0 where no term is above 0.
    """
    return totals.sum() / jnp.maximum(active.sum(), 1e-12)
