"""Deep Supervised Hashing (Liu, Wang, Shan and Chen, CVPR 2016): a loss over pairs of codes."""

import jax
import jax.numpy as jnp

from sketchjax.losses.loss import Loss


def supervised_hashing(
    activations: jax.Array,
    labels: jax.Array,
    *,
    margin: float = 0.0,
    alpha: float = 0.01,
) -> jax.Array:
    """Mean over all unordered pairs of the batch of

        ½ (1 - s) ‖u_i - u_j‖² + ½ s [m - ‖u_i - u_j‖²]₊ + α (‖|u_i| - 1‖₁ + ‖|u_j| - 1‖₁),

    where s is 1 for a pair of different classes and 0 for a pair of one class. The paper has the
    sum over the pairs, which grows with the square of the batch; the mean does not.

    activations: f[b d], the outputs u before any sigmoid, which are to lie near -1 and 1.
    labels: i[b].
    margin: m, in squared distance; 0, the default, means 2 d: d / 2 different bits of 4 each.
    alpha: weight of the pull towards -1 and 1; 0.01 by default.
    Returns f[].
    Raises ValueError when the two differ in b, or b < 2.
    """
    if activations.shape[:1] != labels.shape:
        raise ValueError(f"activations {activations.shape} and labels {labels.shape} differ in b")
    count, bits = activations.shape
    if count < 2:
        raise ValueError("a batch of one sketch has no pairs; use at least two")
    if not margin:
        margin = 2.0 * bits
    outputs = activations.astype(jnp.float32)
    # A matmul saves the memory of f[b b d] differences. No square roots: their gradient is infinite
    # at equal rows. Highest precision, as a GPU's TF32 keeps three digits of what is subtracted.
    lengths = (outputs**2).sum(-1)
    products = jnp.matmul(outputs, outputs.T, precision="highest")
    distances = lengths[:, None] + lengths[None] - 2 * products
    same = labels[:, None] == labels[None]
    pulled_or_pushed = jnp.where(same, distances, jax.nn.relu(margin - distances))
    # The sum over i ≠ j: the diagonal, the distance of a sketch to itself, is zero.
    pairs = 0.5 * pulled_or_pushed.sum() / (count * (count - 1))
    # Each sketch is in equally many pairs, and each pair has two sketches.
    return pairs + 2 * alpha * jnp.abs(jnp.abs(outputs) - 1).sum(-1).mean()


LOSS = Loss(lambda seen: supervised_hashing(seen.activations, seen.labels, **seen.settings))
