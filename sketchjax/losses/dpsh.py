"""Deep pairwise-supervised hashing, DPSH (Li, Wang and Kang, IJCAI 2016)."""

import jax

from sketchjax.losses.loss import Loss
from sketchjax.losses.pairs import Alike, mean_where, pairs_of, products
from sketchjax.losses.sides import of_pairs
from sketchjax.ops.signs import signs


def dpsh(activations: jax.Array, labels: Alike, *, alpha: float = 0.1) -> jax.Array:
    """Negative log likelihood of the pairs and a pull to the signs; Θ_ij = ½ u_i·u_j:

        mean over pairs of log(1 + exp Θ_ij) - [y_i = y_j] Θ_ij
        + α · mean over sketches and bits of (u - sign u)².

    The publication has sums, which grow with the batch and the bits.

    activations: u f[b d].
    labels: y i[b], or the pairs that are compared.
    alpha: η of the publication; 0.1 by default, as in DeepHash-pytorch, which has these means.
    Returns f[].
    Raises ValueError when the two differ in b, or b < 2.
    """
    outputs, pairs = pairs_of(activations, labels)
    likeness = 0.5 * products(outputs)
    unlikely = jax.nn.softplus(likeness) - pairs.same * likeness
    return (
        mean_where(unlikely, pairs.same + pairs.other)
        + alpha * ((outputs - signs(outputs)) ** 2).mean()
    )


LOSS = Loss(of_pairs(dpsh))
