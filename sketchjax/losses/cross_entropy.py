"""Softmax cross entropy (SketchMate: Xu et al., CVPR 2018, eq. 2), with labels smoothed or not."""

import jax
import jax.numpy as jnp

from sketchjax.losses.loss import Loss


def cross_entropy(logits: jax.Array, labels: jax.Array, smoothing: float = 0.0) -> jax.Array:
    """Mean of -log softmax(logits)_label.

    logits: f[b l].
    labels: i[b].
    smoothing: the share of each label that is spread evenly over all classes (label smoothing:
      Szegedy et al., CVPR 2016, section 7).

    Returns f[].
    Raises ValueError when the two differ in b.
    """
    if logits.shape[:1] != labels.shape:
        raise ValueError(f"logits {logits.shape} and labels {labels.shape} differ in b")
    log_probability = jax.nn.log_softmax(logits.astype(jnp.float32))
    hard = -jnp.take_along_axis(log_probability, labels[:, None], axis=1).mean()
    if not smoothing:
        return hard
    return (1 - smoothing) * hard - smoothing * log_probability.mean()


LOSS = Loss(lambda seen: cross_entropy(seen.logits, seen.labels, seen.settings["smoothing"]))
