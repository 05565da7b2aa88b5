"""GreedyHash: a classifier that reads the codes themselves (Su, Zhang, Han and Tian, NeurIPS 2018).

The head `sign_hash` gives its classifier the signs of the activations, with the gradient that the
activations would have; this loss is the objective around it.
"""

import jax
import jax.numpy as jnp

from sketchjax.losses.class_pairs import check_batch
from sketchjax.losses.cross_entropy import cross_entropy
from sketchjax.losses.loss import Loss


def greedy_hash(
    logits: jax.Array, activations: jax.Array, labels: jax.Array, *, alpha: float = 0.1
) -> jax.Array:
    """Cross entropy of the logits plus α · mean over sketches and bits of ||u| - 1|³.

    logits: f[b l], of the signs of the activations.
    activations: u f[b d].
    labels: i[b].
    alpha: 0.1 by default, as published for CIFAR-10; 1 for ImageNet.
    Returns f[].
    Raises ValueError when they differ in b.
    """
    check_batch(activations, labels)
    away = jnp.abs(jnp.abs(activations.astype(jnp.float32)) - 1)
    return cross_entropy(logits, labels) + alpha * (away**3).mean()


LOSS = Loss(lambda seen: greedy_hash(seen.logits, seen.activations, seen.labels, **seen.settings))
