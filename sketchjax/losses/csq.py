"""Central similarity quantisation (Yuan, Wang, Zhang, Tay, Jie, Liu and Feng, CVPR 2020)."""

import jax
import jax.numpy as jnp

from sketchjax.losses.class_pairs import check_batch
from sketchjax.losses.loss import Loss
from sketchjax.losses.targets import with_targets


def csq(
    activations: jax.Array, labels: jax.Array, targets: jax.Array, *, alpha: float = 1e-4
) -> jax.Array:
    """Binary cross entropy of each bit with that of the own target, and a pull to -1 and 1:

        mean over sketches and bits of -log ½(1 + t_y tanh u) + α (|tanh u| - 1)².

    activations: u f[b d].
    labels: y i[b].
    targets: t of -1 and 1, [l d].
    alpha: λ of the publication; 1e-4 by default, as in the authors' code.
    Returns f[].
    Raises ValueError when activations and labels differ in b.
    """
    check_batch(activations, labels)
    outputs = activations.astype(jnp.float32)
    wanted = jnp.asarray(targets, jnp.float32)[labels]
    # ½(1 + tanh u) is the sigmoid of 2u, whose logarithm is finite at any u.
    centers = jax.nn.softplus(-2 * wanted * outputs)
    return (centers + alpha * (jnp.abs(jnp.tanh(outputs)) - 1) ** 2).mean()


LOSS = Loss(lambda seen: csq(seen.activations, seen.labels, **with_targets(seen)))
