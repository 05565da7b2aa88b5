"""Common centre loss and its moving centres (Wen, Zhang, Li and Qiao, ECCV 2016)."""

import jax
import jax.numpy as jnp

from sketchjax.losses.center import center, no_centers
from sketchjax.losses.loss import Loss, LossInputs, Memory


def common_center(features: jax.Array, centers: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean of ½‖f - c_y‖²: half the sketch centre loss, with centres that move.

    features: f[b d].
    centers: f[l d]; `move_centers` moves them, not a gradient.
    labels: i[b].
    Returns f[].
    Raises ValueError when features and centers differ in d, or features and labels in b.
    """
    return 0.5 * center(features, centers, labels)


def move_centers(
    features: jax.Array, centers: jax.Array, labels: jax.Array, *, rate: float = 0.5
) -> jax.Array:
    """The centres after a batch: c_j - rate · Σ_{i: y_i = j} (c_j - f_i) / (1 + n_j).

    features: f[b d].
    centers: f[l d].
    labels: i[b], n_j of them j.
    rate: how far a centre moves; 0.5 by default, as published.
    Returns f[l d]; the centre of a class that the batch lacks stays where it is.
    Raises ValueError when features and centers differ in d, or features and labels in b.
    """
    if features.shape[1:] != centers.shape[1:]:
        raise ValueError(f"features {features.shape} and centers {centers.shape} differ in d")
    if features.shape[:1] != labels.shape:
        raise ValueError(f"features {features.shape} and labels {labels.shape} differ in b")
    classes = centers.shape[0]
    away = jax.ops.segment_sum(centers[labels] - features, labels, num_segments=classes)
    counts = jax.ops.segment_sum(jnp.ones(labels.shape, centers.dtype), labels, classes)
    return centers - rate * away / (1 + counts)[:, None]


def _moved(seen: LossInputs) -> Memory:
    centers = move_centers(seen.features, seen.memory["centers"], seen.labels, **seen.settings)
    return {"centers": centers}


LOSS = Loss(
    lambda seen: common_center(seen.features, seen.memory["centers"], seen.labels),
    blank=no_centers,
    move=_moved,
)
