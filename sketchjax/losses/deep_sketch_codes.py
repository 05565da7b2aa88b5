"""The objective of Deep Sketch Hashing over codes, and its descent (Liu et al., CVPR 2017).

The formulas are those of a third party's code, Jiangtong-Li/ZS-SBIR; the paper's text was not
available. Let s and p be the codes of sketches and photos in {-1, 1}^d, f an item's features, φ the
word vector of its class and D f[e d] a decoder. The sum of

    (d W_ij - s_i·p_j)² over all sketches i and photos j, W_ij = 1 for one class and -1 for two,
    λ ‖φ - D b‖² and γ ‖f - b‖² over all items of both sides, b their codes,

is minimised over D in closed form, over the codes of one side bit by bit with the other side fixed,
and over the networks by the gradient of the last term with the codes fixed.

The n × n matrix W is never made. All that an item needs of the other side are the sums of codes and
of their products in each class, `Statistics`; they are means over the side, so that they can be
averaged over blocks and devices.

With W as written, pairs of two classes outnumber those of one by L - 1 to 1, and the objective is
lowest where all photos have one code and all sketches its opposite: docs/sketch-photo-losses.md. So
`balanced` weights count a pair of two classes 1 / (L - 1), and each term is a mean.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from sketchjax.losses.bit_descent import descend

_DEAD = 1 - 1e-3  # of a mean of codes of -1 and 1: beyond, a bit is the same in nearly all of them


class Statistics(NamedTuple):
    """What the codes b of one side are to the other.

    sums: f[l d], the sum of b in each class, over the number of all items.
    grams: f[l d d], likewise of b bᵀ.
    """

    sums: jax.Array
    grams: jax.Array


class Weights(NamedTuple):
    """Of the objective's terms, for the items of one side.

    pairs: f[], of the mean over pairs.
    different: f[], of a pair of two classes; one of one class counts 1.
    semantic: f[], of the mean of ‖φ - D b‖².
    network: f[], of the mean of ‖f - b‖².
    """

    pairs: jax.Array
    different: jax.Array
    semantic: jax.Array
    network: jax.Array


def statistics(codes: jax.Array, labels: jax.Array, classes: int) -> Statistics:
    """Of codes f[n d] of -1 and 1 with labels i[n], n at least 1.

    classes: l.
    Raises ValueError when the two differ in n.
    """
    if codes.shape[:1] != labels.shape:
        raise ValueError(f"codes {codes.shape} and labels {labels.shape} differ in n")

    def total(values: jax.Array) -> jax.Array:
        return jax.ops.segment_sum(values, labels, classes) / len(labels)

    # Bit by bit: n × d² products at once would be 170 MB for 2,560 codes of 128 bits.
    rows = jax.lax.map(lambda bit: total(codes * bit[:, None]), codes.T)
    return Statistics(total(codes), jnp.swapaxes(rows, 0, 1))


def weights(kind: str, counts: jax.Array, bits: int, *, semantic: float, network: float) -> Weights:
    """The weights of both sides, the sketches first: a `Weights` of f[2].

    kind: `as_written`: sums over all pairs and items, here over the number of pairs; `balanced`:
      means, in which a pair of two classes counts 1 / (l - 1) and pairs count 1 / d.
    counts: f[2 l], the items of each class.
    bits: d.
    semantic: λ.
    network: γ.
    """
    sizes, both = counts.sum(1), jnp.ones(2)
    if kind == "as_written":
        other = sizes[::-1]
        return Weights(both, both, semantic / other, network / other)
    shares = counts / sizes[:, None]
    same, different = (shares[0] * shares[1]).sum(), 1 / max(counts.shape[1] - 1, 1)
    pairs = 1 / (bits * (same + different * (1 - same)))
    return Weights(pairs * both, different * both, semantic * both, network * both)


def improve(
    codes: jax.Array,
    features: jax.Array,
    labels: jax.Array,
    other: Statistics,
    semantics: tuple[jax.Array, jax.Array],
    own: Weights,
    *,
    sweeps: int = 1,
) -> jax.Array:
    """The codes of one side, improved with the other side and the decoder fixed.

    Bit k of an item becomes the sign of r_k - Σ_{j≠k} G_kj b_j, and stays as it is in a tie, with

        r = α d Σ ω W b' + λ Dᵀφ + γ f,  G = α Σ ω b' b'ᵀ + λ DᵀD,

    the sums over the codes b' of the other side, α of pairs and ω of one pair.

    codes: b f[n d] of -1 and 1, to start from.
    features: f f[n d].
    labels: i[n].
    other: of the other side.
    semantics: the class vectors φ f[l e] and the decoder D f[e d].
    own: of this side, f[] each.
    sweeps: how often each bit is visited.
    Returns f[n d] of -1 and 1. The objective of no item rises.
    Raises ValueError when the shapes do not fit together.
    """
    bits = codes.shape[1]
    if features.shape != codes.shape or labels.shape != codes.shape[:1]:
        raise ValueError(
            f"codes {codes.shape}, features {features.shape} and labels {labels.shape} must be "
            "[n d], [n d] and [n]"
        )
    vectors, decoder = semantics
    apart = own.different
    towards = (1 + apart) * other.sums - apart * other.sums.sum(0)
    read = jnp.matmul(vectors, decoder, precision="highest")
    by_class = own.pairs * bits * towards + own.semantic * read
    pulls = by_class[labels] + own.network * features
    grams = own.pairs * ((1 - apart) * other.grams + apart * other.grams.sum(0))
    grams += own.semantic * jnp.matmul(decoder.T, decoder, precision="highest")
    grams *= 1 - jnp.eye(bits)

    def pull(codes: jax.Array, bit: jax.Array) -> jax.Array:
        return pulls[:, bit] - (grams[:, bit][labels] * codes).sum(-1)

    return descend(codes, pull, sweeps)


def gram_and_cross(
    sides: tuple[Statistics, Statistics], vectors: jax.Array, both: Weights
) -> tuple[jax.Array, jax.Array]:
    """What `semantic_codes.decoder` needs of both sides, in the shares of their semantic terms.

    Returns the weighted means of b bᵀ f[d d] and φ bᵀ f[e d].
    """
    total = both.semantic.sum()
    shares = jnp.where(total > 0, both.semantic / jnp.where(total > 0, total, 1), 0.5)
    sums, grams = (jnp.tensordot(shares, jnp.stack(each), 1) for each in zip(*sides, strict=True))
    return grams.sum(0), jnp.matmul(vectors.T, sums, precision="highest")


def pair_term(
    sketches: Statistics, photos: Statistics, shares: jax.Array, different: jax.Array
) -> jax.Array:
    """The mean over all sketches and photos of ω (d W - s·p)², f[], without the pairs.

    shares: f[2 l], the share of each class in the sketches and in the photos.
    different: ω of a pair of two classes.
    """
    bits = sketches.sums.shape[1]

    def squares(sign: int, constant: jax.Array, sums: jax.Array, grams: jax.Array) -> jax.Array:
        """Σ (d + sign · s·p)² = d² n + 2 sign d Σ s·p + Σ (s·p)²."""
        return bits**2 * constant + 2 * sign * bits * sums + grams

    of_class = (
        (shares[0] * shares[1]).sum(),
        (sketches.sums * photos.sums).sum(),
        (sketches.grams * photos.grams).sum(),
    )
    of_all = (
        shares[0].sum() * shares[1].sum(),
        (sketches.sums.sum(0) * photos.sums.sum(0)).sum(),
        (sketches.grams.sum(0) * photos.grams.sum(0)).sum(),
    )
    return squares(-1, *of_class) + different * (squares(1, *of_all) - squares(1, *of_class))


def item_terms(
    codes: jax.Array,
    features: jax.Array,
    labels: jax.Array,
    semantics: tuple[jax.Array, jax.Array],
    own: Weights,
) -> jax.Array:
    """λ · mean ‖φ - D b‖² + γ · mean ‖f - b‖² of one side, f[]; arguments as of `improve`."""
    vectors, decoder = semantics
    read = jnp.matmul(codes, decoder.T, precision="highest")
    semantic = ((vectors[labels] - read) ** 2).sum(-1).mean()
    return own.semantic * semantic + own.network * ((features - codes) ** 2).sum(-1).mean()


def dead_bits(sums: jax.Array) -> jax.Array:
    """How many bits are the same in nearly all codes of a side, i[]; sums: f[l d]."""
    return (jnp.abs(sums.sum(0)) > _DEAD).sum()
