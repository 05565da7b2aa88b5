"""OrthoHash: one loss for deep hashing (Hoe, Ng, Zhang, Chan, Song and Xiang, NeurIPS 2021)."""

import jax
import jax.numpy as jnp

from sketchjax.losses.cross_entropy import cross_entropy
from sketchjax.losses.loss import Loss
from sketchjax.losses.pairs import check_batch
from sketchjax.losses.targets import with_targets
from sketchjax.ops.distances import unit_length


def orthohash(
    activations: jax.Array,
    labels: jax.Array,
    targets: jax.Array,
    *,
    kind: str = "cos",
    scale: float = 0.0,
    margin: float = 0.2,
) -> jax.Array:
    """Cross entropy of the cosines with all targets, that with the own target less a margin:

        -log softmax_c(s · cos(u, t_c) - s · m [c = y])_y               for `cos`,
        -log softmax_c(s · cos(θ(u, t_c) + m [c = y]))_y                for `arc`.

    activations: u f[b d].
    labels: y i[b].
    targets: t of -1 and 1, [l d].
    kind: `cos` or `arc`, where the margin is an angle in radians.
    scale: s; 0, the default, means √d, as published.
    margin: m; 0.2 by default, as published.
    Returns f[].
    Raises ValueError when activations and labels differ in b.
    """
    check_batch(activations, labels)
    bits = activations.shape[1]
    rows = unit_length(activations.astype(jnp.float32))
    cosines = jnp.matmul(rows, jnp.asarray(targets, jnp.float32).T, precision="highest") / bits**0.5
    own = labels[:, None] == jnp.arange(len(targets))
    if kind == "cos":
        moved = cosines - margin
    else:
        # The slope of the angle is infinite at 0 and π; the authors clip here as well.
        moved = jnp.cos(jnp.arccos(jnp.clip(cosines, -0.99999, 0.99999)) + margin)
    return cross_entropy((scale or bits**0.5) * jnp.where(own, moved, cosines), labels)


LOSS = Loss(lambda seen: orthohash(seen.activations, seen.labels, **with_targets(seen)))
