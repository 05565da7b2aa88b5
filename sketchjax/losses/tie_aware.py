"""Tie-aware ranking loss (He, Cakir, Bargal and Sclaroff, CVPR 2018): the measure of our results.

A ranking by Hamming distance is mostly ties, and its average precision, the expectation over random
orders inside them, depends on two histograms of distances only: of all codes, and of the relevant
ones. Soft histograms of soft codes make it differentiable.
"""

import jax
import jax.numpy as jnp

from sketchjax.losses.loss import Loss
from sketchjax.losses.pairs import Alike, mean_where, pairs_of, products
from sketchjax.losses.sides import of_pairs


def tie_aware(
    activations: jax.Array,
    labels: Alike,
    *,
    form: str = "expected",
    sharpness: float = 1.0,
    bins: float = 0.0,
) -> jax.Array:
    """1 minus the mean average precision of the batch, in which each sketch ranks all others.

    Codes are tanh(γ u), distances ½ (d - c_i·c_j), and each distance counts for the two nearest
    bins of a histogram, for the nearer one more. Sketches without another of their class are no
    queries.

    activations: u f[b d].
    labels: i[b], or the pairs that are compared.
    form: `expected`, whose value for codes of -1 and 1 is the expected average precision itself;
      `simplified`, which the authors train with: the precision in the middle of each tie.
    sharpness: γ; 1 by default, as in the authors' code.
    bins: steps of the histogram between the distances 0 and d; 0, the default, means d.
    Returns f[], 0 for a perfect ranking.
    Raises ValueError when the two differ in b, or b < 2.
    """
    outputs, pairs = pairs_of(activations, labels)
    bits = outputs.shape[1]
    distances = 0.5 * (bits - products(jnp.tanh(sharpness * outputs)))
    relevant, other = (histogram(distances, mask, bits, int(bins) or bits) for mask in pairs)
    found = FORMS[form](relevant, relevant + other).sum(1)
    wanted = pairs.same.sum(1)
    precision = found / jnp.maximum(wanted, 1)
    return mean_where(1 - precision, (wanted > 0).astype(precision.dtype))


def histogram(distances: jax.Array, where: jax.Array, bits: int, bins: int) -> jax.Array:
    """Soft counts f[q bins+1] of distances f[q n] around 0, d / bins, ..., d.

    distances: within 0 and d.
    where: f[q n], 1 for those that count, 0 for others.
    bits: d.
    bins: how many steps.
    """
    # Each row adds up to the number of distances that count. A bin at a time, and once more for
    # the gradients: q × n × bins numbers at once would pass through memory several times.
    places = distances * (bins / bits)

    @jax.checkpoint
    def count(bin: jax.Array) -> jax.Array:
        return (jax.nn.relu(1 - jnp.abs(places - bin)) * where).sum(1)

    return jax.lax.map(count, jnp.arange(bins + 1.0)).T


def expected(relevant: jax.Array, every: jax.Array) -> jax.Array:
    """The sum over each bin's relevant items of their expected precision, f[q n].

    In a tie of n items, n⁺ of them relevant, after N items, N⁺ of them relevant, that is

        n⁺ / n · Σ_{t=1..n} (N⁺ + 1 + (t - 1) (n⁺ - 1) / (n - 1)) / (N + t).

    With the harmonic sum h(x, n) = Σ_{t=0..n-1} 1 / (x + t), x = N + 1, this is

        n⁺ ((N⁺ + 1) h / n + (n⁺ - 1) (1 - x h / n) / (n - 1)),

    and h, which is a difference of digamma functions, has values for soft counts too. If all items
    are relevant it is n for any counts: nothing is gained by distances between two bins.

    relevant: n⁺ f[q n] of each bin, in rising order of the distance.
    every: n f[q n], of all items.
    """
    before = jnp.cumsum(relevant, 1) - relevant
    # Sums of rounded counts could fall below 0, where h has poles.
    first = jnp.maximum(jnp.cumsum(every, 1) - every, 0) + 1
    mean = mean_harmonic(first, every)
    # (1 - x h(x, n) / n) / (n - 1) = (1 - x h(x + 1, n - 1) / (n - 1)) / n: neither has a pole,
    # and each side is used where its denominator is not small.
    many = every >= 0.5
    few_less = jnp.where(many, -1.0, every - 1)
    less = jnp.where(many, every - 1, 0.0)
    rest = jnp.where(
        many,
        (1 - first * mean_harmonic(first + 1, less)) / jnp.where(many, every, 1.0),
        (1 - first * mean) / few_less,
    )
    return relevant * ((before + 1) * mean + (relevant - 1) * rest)


def simplified(relevant: jax.Array, every: jax.Array) -> jax.Array:
    """Each bin's relevant items times the precision in the middle of its tie, f[q n].

    relevant, every: as in `expected`.
    """
    found, seen = jnp.cumsum(relevant, 1), jnp.cumsum(every, 1)
    return relevant * (2 * found - relevant + 1) / (2 * seen - every + 1)


def mean_harmonic(first: jax.Array, count: jax.Array) -> jax.Array:
    """(ψ(x + n) - ψ(x)) / n, the mean of 1 / x, ..., 1 / (x + n - 1) where n is a whole number.

    first: x f[...] of at least 1.
    count: n f[...] with x + n at least 1; the value at 0 is that of the derivative.

    No difference of large numbers is taken: six steps of ψ(x) = ψ(x + 1) - 1 / x, then the
    asymptotic series of ψ, whose next term is below 3e-8 from 7 on.
    """
    steps = sum(1 / ((first + k) * (first + count + k)) for k in range(6))
    low, high = first + 6, first + count + 6
    ratio = count / low
    small = jnp.abs(ratio) < 1e-3
    log = jnp.where(
        small, 1 - ratio * (0.5 - ratio / 3), jnp.log1p(ratio) / jnp.where(small, 1.0, ratio)
    )
    product = low * high
    series = 0.5 + (low + high) / (12 * product) * (1 - (low**2 + high**2) / (10 * product**2))
    return steps + log / low + series / product


FORMS = {"expected": expected, "simplified": simplified}

LOSS = Loss(of_pairs(tie_aware))
