"""Deep supervised hashing with triplet labels, DTSH (Wang, Shi and Kitani, ACCV 2016)."""

import jax

from sketchjax.losses.loss import Loss
from sketchjax.losses.pairs import Alike, mean_where, pairs_of, products
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

    # One anchor at a time, and computed again for the gradient: never b³ numbers in memory.
    @jax.checkpoint
    def of_anchor(row: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        likeness, same, other = row
        unlikely = jax.nn.softplus(margin - likeness[:, None] + likeness[None])
        return mean_where(unlikely, same[:, None] * other[None])

    each = jax.lax.map(of_anchor, (products(outputs), *pairs))
    has_triplets = pairs.same.any(1) & pairs.other.any(1)
    return (
        mean_where(each, has_triplets.astype(each.dtype))
        + alpha * ((outputs - signs(outputs)) ** 2).mean()
    )


LOSS = Loss(of_pairs(dtsh))
