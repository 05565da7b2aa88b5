"""Pairwise contrastive loss (Deep Supervised Hashing: Liu, Wang, Shan and Chen, CVPR 2016)."""

import jax
import jax.numpy as jnp

from sketchjax.losses.loss import Loss


def contrastive(
    activations: jax.Array,
    labels: jax.Array,
    *,
    margin: float = 0.0,
    alpha: float = 0.01,
) -> jax.Array:
    """Mean over all unordered pairs of the batch of

        ½ (1 - s) ‖u_i - u_j‖² + ½ s [m - ‖u_i - u_j‖²]₊ + α (‖|u_i| - 1‖₁ + ‖|u_j| - 1‖₁),

    s = 1 for a pair of two classes, 0 for a pair of one. The paper prints the sum over the pairs;
    that grows with the square of the batch, and its mean does not.

    activations: f[b d], real outputs u before any sigmoid, to lie near -1 and 1; labels: i[b].
    margin: m, in squared distance; 0, the default, means 2 d: d / 2 different bits of 4 each.
    alpha: weight of the pull towards -1 and 1, by default 0.01.
    Returns f[].
    Raises ValueError when the two differ in b, or b < 2.
    """
    if activations.shape[:1] != labels.shape:
        raise ValueError(f"activations {activations.shape} and labels {labels.shape} differ in b")
    count, bits = activations.shape
    if count < 2:
        raise ValueError("a batch of one sketch has no pairs; take at least two")
    if not margin:
        margin = 2.0 * bits
    outputs = activations.astype(jnp.float32)
    # By a matmul, not from f[b b d] differences; without square roots, whose gradient is infinite
    # at equal rows. Highest, as the TF32 of GPUs keeps three digits of what is subtracted here.
    lengths = (outputs**2).sum(-1)
    products = jnp.matmul(outputs, outputs.T, precision="highest")
    distances = lengths[:, None] + lengths[None] - 2 * products
    same = labels[:, None] == labels[None]
    pulled_or_pushed = jnp.where(same, distances, jax.nn.relu(margin - distances))
    # The sum over i ≠ j: on the diagonal is the distance of a sketch to itself, zero.
    pairs = 0.5 * pulled_or_pushed.sum() / (count * (count - 1))
    # Each sketch is in as many pairs as any other, and a pair has two.
    return pairs + 2 * alpha * jnp.abs(jnp.abs(outputs) - 1).sum(-1).mean()


LOSS = Loss(lambda seen: contrastive(seen.activations, seen.labels, **seen.settings))
