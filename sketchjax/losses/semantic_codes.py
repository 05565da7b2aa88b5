"""Semantic factorisation: codes from which the word vectors of the classes can be read.

Deep Sketch Hashing (Liu, Shen, Shen, Liu and Shao, CVPR 2017), reconstructed: its abstract names
the semantic correlations between categories, its formulas were not at hand. With φ(y) f[e] the word
vector of a sketch's class, f f[d] its feature in (0, 1), b in {-1, 1}^d its code and D f[e d] the
decoder, the mean over the sketches of

    λ ‖φ(y) - D b‖² + ‖2f - 1 - b‖²

is made small by turns: D in closed form (`statistics`, `decoder`), b bit by bit (`factor_codes`),
and the network, with b fixed, by the gradient of the second term. With codes as 0 and 1 that term
is four times `sketchjax.losses.quantization`, which serves.

`scaled` and `first_codes` make what this begins with, once and in numpy.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np


def factor_codes(
    features: jax.Array,
    vectors: jax.Array,
    decoder: jax.Array,
    codes: jax.Array,
    *,
    weight: float = 1.0,
    sweeps: int = 3,
) -> jax.Array:
    """Codes of a smaller objective with D fixed, by discrete cyclic coordinate descent.

    Each bit in turn takes the value that is best while the others stay, of ± equal ones its own:

        b_k = sign(λ (d_kᵀφ - Σ_{j≠k} (DᵀD)_kj b_j) + 2 f_k - 1).

    features: f[n d] in (0, 1); vectors: f[n e], each sketch's class vector; decoder: f[e d];
    codes: f[n d] of 0 and 1 to begin with; weight: λ; sweeps: times that all bits are visited.
    Returns f[n d] of 0 and 1. The objective of no sketch rises.
    Raises ValueError when the shapes do not belong together.
    """
    _check_codes(codes, vectors)
    bits = codes.shape[1]
    if features.shape != codes.shape:
        raise ValueError(f"features {features.shape} and codes {codes.shape} differ in shape")
    if decoder.shape != (vectors.shape[1], bits):
        raise ValueError(
            f"decoder {decoder.shape} has to be (e, d) = {(vectors.shape[1], bits)}, of vectors "
            f"{vectors.shape} and codes {codes.shape}"
        )
    # All that does not depend on the other bits, f[n d], and the pull of bit j on bit k, f[d d].
    alone = weight * jnp.matmul(vectors, decoder, precision="highest") + 2 * features - 1
    between = weight * jnp.matmul(decoder.T, decoder, precision="highest")
    between = between * (1 - jnp.eye(bits))

    def visit(step: jax.Array, signs: jax.Array) -> jax.Array:
        bit = step % bits
        pull = alone[:, bit] - jnp.matmul(signs, between[:, bit], precision="highest")
        return signs.at[:, bit].set(jnp.where(pull == 0, signs[:, bit], jnp.sign(pull)))

    signs = jax.lax.fori_loop(0, sweeps * bits, visit, _signs(codes, alone.dtype))
    return (signs + 1) / 2


def statistics(codes: jax.Array, vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What the decoder needs to know of some sketches: means, which blocks of sketches can add up.

    codes: f[n d] of 0 and 1; vectors: f[n e], each sketch's class vector.
    Returns the means of b bᵀ f[d d] and of φ bᵀ f[e d], b in {-1, 1}^d.
    Raises ValueError when the two differ in n.
    """
    _check_codes(codes, vectors)
    signs = _signs(codes, vectors.dtype)
    gram = jnp.matmul(signs.T, signs, precision="highest") / len(signs)
    return gram, jnp.matmul(vectors.T, signs, precision="highest") / len(signs)


def decoder(gram: jax.Array, cross: jax.Array, *, ridge: float = 1e-3) -> jax.Array:
    """The D that makes the mean of ‖φ - D b‖² plus ridge ‖D‖² smallest: cross (gram + ridge I)⁻¹.

    gram: f[d d] and cross: f[e d], as `statistics` gives them; ridge: beside ones on the diagonal
    of gram, it keeps bits that always agree from large weights of opposite sign.  Returns f[e d].
    Raises ValueError when the shapes do not belong together.
    """
    bits = cross.shape[-1]
    if gram.shape != (bits, bits):
        raise ValueError(f"gram {gram.shape} and cross {cross.shape} differ in d")
    regular = gram + ridge * jnp.eye(bits, dtype=gram.dtype)
    return jax.scipy.linalg.solve(regular, cross.T, assume_a="pos").T


def scaled(vectors: np.ndarray, bits: int) -> np.ndarray:
    """Class vectors about their mean, each of norm √bits, as a code has: both terms weigh alike.

    vectors: f[l e].  Returns f32[l e]; a vector that is the mean itself stays zero.
    """
    centered = _centered(vectors)
    norms = np.linalg.norm(centered, axis=1, keepdims=True)
    # Below this a difference from the mean is rounding of f32, and has no direction.
    least = 1e-6 * np.linalg.norm(vectors, axis=1).max(initial=0)
    known = norms > least
    return (centered / np.where(known, norms, 1) * known * np.sqrt(bits)).astype(np.float32)


def first_codes(vectors: np.ndarray, bits: int, seed: int) -> np.ndarray:
    """A code for each class to begin with, near for near vectors: signs of random projections.

    The centred vectors are projected on Gaussian directions and cut at the median of each, so that
    half the classes are on either side of a bit. A class whose code is taken flips the bits nearest
    to their threshold until it has one of its own, where 2^bits are enough for all.

    vectors: f[l e]; seed: of the directions.  Returns f32[l bits] of 0 and 1.
    """
    centered = _centered(vectors)
    directions = np.random.default_rng(seed).standard_normal((centered.shape[1], bits))
    projections = centered @ directions
    heights = projections - np.median(projections, axis=0)
    codes = heights > 0
    taken: set[bytes] = set()
    for label in range(len(codes)):
        codes[label] = _free(codes[label], np.argsort(np.abs(heights[label]), kind="stable"), taken)
        taken.add(codes[label].tobytes())
    return codes.astype(np.float32)


def _free(code: np.ndarray, bits: np.ndarray, taken: set[bytes]) -> np.ndarray:
    """The code, or one not taken that differs in few of the first bits; itself if all are taken.

    No more codes are tried than are taken, plus one: the flips are all different.
    """
    for count in range(len(bits) + 1):
        for flips in itertools.combinations(bits, count):
            other = code.copy()
            other[list(flips)] ^= True
            if other.tobytes() not in taken:
                return other
    return code


def _centered(vectors: np.ndarray) -> np.ndarray:
    wide = np.asarray(vectors, np.float64)
    return wide - wide.mean(axis=0)


def _signs(codes: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """0 and 1 as -1 and 1."""
    return 2 * codes.astype(dtype) - 1


def _check_codes(codes: jax.Array, vectors: jax.Array) -> None:
    if codes.ndim != 2 or codes.shape[:1] != vectors.shape[:1]:
        raise ValueError(f"codes {codes.shape} and vectors {vectors.shape} differ in n")
