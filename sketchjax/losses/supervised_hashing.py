"""Deep Supervised Hashing (Liu, Wang, Shan and Chen, CVPR 2016): a loss over pairs of codes."""

import jax
import jax.numpy as jnp

from sketchjax.losses.loss import Loss
from sketchjax.losses.pairs import Alike, pairs_of, products
from sketchjax.losses.sides import of_pairs


def supervised_hashing(
    activations: jax.Array,
    labels: Alike,
    *,
    margin: float = 0.0,
    alpha: float = 0.01,
) -> jax.Array:
    """Mean over the unordered pairs of the batch of

        ½ (1 - s) ‖u_i - u_j‖² + ½ s [m - ‖u_i - u_j‖²]₊ + α (‖|u_i| - 1‖₁ + ‖|u_j| - 1‖₁),

    where s is 1 for a pair of different classes and 0 for a pair of one class. The paper has the
    sum over the pairs, which grows with the square of the batch; the mean does not.

    activations: f[b d], the outputs u before any sigmoid, which are to lie near -1 and 1.
    labels: i[b], or the pairs that are compared.
    margin: m, in squared distance; 0, the default, means 2 d: d / 2 different bits of 4 each.
    alpha: weight of the pull towards -1 and 1; 0.01 by default.
    Returns f[].
    Raises ValueError when the two differ in b, or b < 2.
    """
    outputs, pairs = pairs_of(activations, labels)
    if not margin:
        margin = 2.0 * outputs.shape[1]
    # A matmul saves the memory of f[b b d] differences. No square roots: their gradient is infinite
    # at equal rows.
    lengths = (outputs**2).sum(-1)
    distances = lengths[:, None] + lengths[None] - 2 * products(outputs)
    pulled_or_pushed = jnp.where(pairs.other > 0, jax.nn.relu(margin - distances), distances)
    counted = pairs.same + pairs.other
    # The diagonal, the distance of a sketch to itself, is zero.
    within = jnp.where((counted > 0) | jnp.eye(len(outputs), dtype=bool), pulled_or_pushed, 0)
    between = 0.5 * within.sum() / jnp.maximum(counted.sum(), 1)
    # Each sketch is in equally many pairs, and each pair has two sketches.
    return between + 2 * alpha * jnp.abs(jnp.abs(outputs) - 1).sum(-1).mean()


LOSS = Loss(of_pairs(supervised_hashing))
