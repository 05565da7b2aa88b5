"""Deep supervised hashing with triplet labels, DTSH (Wang, Shi and Kitani, ACCV 2016)."""

import jax
import jax.numpy as jnp

from sketchjax.losses.loss import Loss
from sketchjax.losses.pairs import Alike, pairs_of, products, sum_over_positives
from sketchjax.losses.sides import of_pairs
from sketchjax.ops.signs import signs


def dtsh(
    activations: jax.Array, labels: Alike, *, margin: float = 5.0, alpha: float = 1.0
) -> jax.Array:
    """Negative log likelihood of all triplets of a batch, and a pull to the signs:

        mean over sketches q, and over the triplets (q, p, n) of each, of
        log(1 + exp(m - u_q·u_p + u_q·u_n)) + α · mean over sketches and bits of (u - sign u)²,

    where p is of the class of q and n is not. A sketch without triplets does not count. Inner
    products are whole and losses are means, as in DeepHash-pytorch; the publication halves the
    former and sums the latter.

    activations: u f[b d].
    labels: i[b], or the pairs that are compared.
    margin: m; 5 by default, as in DeepHash-pytorch.
    alpha: λ of the publication; 1 by default, as in DeepHash-pytorch.
    Returns f[].
    Raises ValueError when the two differ in b, or b < 2.
    """
    outputs, pairs = pairs_of(activations, labels)

    likeness = products(outputs)
    per_anchor = pairs.same.sum(1) * pairs.other.sum(1)
    anchors_with_triplets = jnp.maximum((per_anchor > 0).sum(), 1)
    share = 1 / jnp.maximum(per_anchor * anchors_with_triplets, 1)

    def of_positives(anchors: jax.Array, others: jax.Array) -> tuple[jax.Array]:
        near, far = likeness[anchors, others][:, None], likeness[anchors]
        unlikely = jax.nn.softplus(margin - near + far)
        return ((share[anchors] * (pairs.other[anchors] * unlikely).sum(-1)),)

    (unlikely,) = sum_over_positives(pairs.same > 0, of_positives)
    return unlikely + alpha * ((outputs - signs(outputs)) ** 2).mean()


LOSS = Loss(of_pairs(dtsh))
