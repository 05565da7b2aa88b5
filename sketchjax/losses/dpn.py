"""Polarisation loss of deep polarized networks (Fan, Ng, Ju, Zhang and Chan, IJCAI 2020)."""

import jax
import jax.numpy as jnp

from sketchjax.losses.class_pairs import check_batch
from sketchjax.losses.loss import Loss
from sketchjax.losses.targets import with_targets


def dpn(
    activations: jax.Array,
    labels: jax.Array,
    targets: jax.Array,
    *,
    margin: float = 1.0,
    alpha: float = 0.0,
) -> jax.Array:
    """Mean over sketches and bits of [m - u t_y]₊ + α u².

    activations: u f[b d].
    labels: y i[b].
    targets: t of -1 and 1, [l d].
    margin: m, beyond which a bit is right enough; 1 by default, as published.
    alpha: keeps activations small; 0 by default, as published; CISiP-FIRe has 0.1.
    Returns f[].
    Raises ValueError when activations and labels differ in b.
    """
    check_batch(activations, labels)
    outputs = activations.astype(jnp.float32)
    wanted = jnp.asarray(targets, jnp.float32)[labels]
    return (jax.nn.relu(margin - outputs * wanted) + alpha * outputs**2).mean()


LOSS = Loss(lambda seen: dpn(seen.activations, seen.labels, **with_targets(seen)))
