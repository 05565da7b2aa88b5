"""Softmax cross entropy (SketchMate: Xu et al., CVPR 2018, eq. 2)."""

import jax
import jax.numpy as jnp

from sketchjax.losses.loss import Loss


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean of -log softmax(logits)_label.

    logits: f[b l]; labels: i[b].  Returns f[].
    Raises ValueError when the two differ in b.
    """
    if logits.shape[:1] != labels.shape:
        raise ValueError(f"logits {logits.shape} and labels {labels.shape} differ in b")
    log_probability = jax.nn.log_softmax(logits.astype(jnp.float32))
    return -jnp.take_along_axis(log_probability, labels[:, None], axis=1).mean()


LOSS = Loss(lambda seen: cross_entropy(seen.logits, seen.labels))
