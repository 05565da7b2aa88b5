"""Hash centres of a least distance, MDS (Wang, Pan, Liu, Lai, Yin and Liu, CVPR 2023).

The publication finds its centres by an optimisation under the Gilbert-Varshamov bound; here they
are the `codebook` of `losses.targets`, whose least distance is at least as large.
"""

import jax
import jax.numpy as jnp

from sketchjax.losses.loss import Loss, LossInputs
from sketchjax.losses.pairs import Pairs, mean_where, pairs_of, products
from sketchjax.losses.sides import pairs_and_settings
from sketchjax.losses.targets import with_targets
from sketchjax.ops.distances import unit_length


def mds(
    activations: jax.Array,
    labels: jax.Array,
    targets: jax.Array,
    pairs: Pairs | None = None,
    *,
    scale: float = 0.0,
    alpha: float = 1e-4,
    beta: float = 1.0,
) -> jax.Array:
    """Likelihood of the own centre and against all others, of pairs, and a pull to -1 and 1.

    With p = softmax_c(s · cos(u, t_c)), the sum of

        mean over sketches and classes of -[c = y] log p_c - [c ≠ y] log(1 - p_c),
        β · mean over the pairs of one class of log(1 + exp(½ (1 - cos(u_i, u_j)))),
        α · mean over sketches and bits of (|u| - 1)².

    The authors compare a batch with the last activations of all training sketches, from the tenth
    epoch; here the pairs are those of the batch, from the start.

    activations: u f[b d].
    labels: y i[b].
    targets: t of -1 and 1, [l d].
    pairs: f[b b], those that the second term is over; by default all of the batch.
    scale: s; 0, the default, means √d, as in the authors' code.
    alpha: λ; 1e-4 by default, as in the authors' code.
    beta: of the pairs; 1 by default, as in the authors' code.
    Returns f[].
    Raises ValueError when activations and labels differ in b, or b < 2.
    """
    outputs, pairs = pairs_of(activations, labels if pairs is None else pairs)
    bits = outputs.shape[1]
    rows = unit_length(outputs)
    cosines = jnp.matmul(rows, jnp.asarray(targets, jnp.float32).T, precision="highest") / bits**0.5
    is_own, is_not = log_chances((scale or bits**0.5) * cosines)
    own = labels[:, None] == jnp.arange(len(targets))
    centers = -jnp.where(own, is_own, is_not).mean()
    together = mean_where(jax.nn.softplus(0.5 * (1 - products(rows))), pairs.same)
    return centers + beta * together + alpha * ((jnp.abs(outputs) - 1) ** 2).mean()


def log_chances(logits: jax.Array) -> tuple[jax.Array, jax.Array]:
    """log p and log(1 - p) of p = softmax(logits) f[b l], finite also where p rounds to 1."""
    log_chance = jax.nn.log_softmax(logits)
    # Only the largest p can be near 1; there 1 - p is the sum of all others.
    largest = jax.nn.one_hot(logits.argmax(-1), logits.shape[-1], dtype=bool)
    chance = jnp.where(largest, 0.0, jnp.exp(log_chance))
    others = jnp.maximum(chance.sum(-1, keepdims=True), jnp.finfo(jnp.float32).tiny)
    return log_chance, jnp.where(largest, jnp.log(others), jnp.log1p(-chance))


def _of_batch(seen: LossInputs) -> jax.Array:
    pairs, settings = pairs_and_settings(seen)
    targets = with_targets(seen._replace(settings=settings))
    return mds(seen.activations, seen.labels, pairs=pairs, **targets)


LOSS = Loss(_of_batch)
