"""Semantic factorisation: codes from which the word vectors of the classes can be read.

Deep Sketch Hashing (Liu, Shen, Shen, Liu and Shao, CVPR 2017), reconstructed from its abstract,
which names the semantic correlations between categories; its formulas were not available. Let φ(y)
f[e] be the word vector of a sketch's class, f f[d] its feature in (0, 1), b in {-1, 1}^d its code
and D f[e d] the decoder. The mean over the sketches of

    λ ‖φ(y) - D b‖² + ‖2f - 1 - b‖²

is minimised over each in turn: over D in closed form (`statistics`, `decoder`), over b bit by bit
(`factor_codes`), and over the network, with b fixed, by the gradient of the second term. With codes
of 0 and 1 that term is four times `sketchjax.losses.quantization`, which is used for it.

`scaled` and `first_codes` compute the starting point, once and in numpy.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from sketchjax.losses.bit_descent import descend


def factor_codes(
    features: jax.Array,
    vectors: jax.Array,
    decoder: jax.Array,
    codes: jax.Array,
    *,
    weight: float = 1.0,
    sweeps: int = 3,
) -> jax.Array:
    """Improve codes with D fixed, by discrete cyclic coordinate descent.

    Each bit in turn takes its best value given all other bits, and stays as it is in a tie:

        b_k = sign(λ (d_kᵀφ - Σ_{j≠k} (DᵀD)_kj b_j) + 2 f_k - 1).

    features: f[n d] in (0, 1).
    vectors: f[n e], each sketch's class vector.
    decoder: f[e d].
    codes: f[n d] of 0 and 1, to start from.
    weight: λ; 1 by default.
    sweeps: how often each bit is visited; 3 by default.
    Returns f[n d] of 0 and 1. The objective of no sketch rises.
    Raises ValueError when the shapes do not fit together.
    """
    _check_codes(codes, vectors)
    bits = codes.shape[1]
    if features.shape != codes.shape:
        raise ValueError(f"features {features.shape} and codes {codes.shape} differ in shape")
    if decoder.shape != (vectors.shape[1], bits):
        raise ValueError(
            f"decoder {decoder.shape} must be (e, d) = {(vectors.shape[1], bits)} for vectors "
            f"{vectors.shape} and codes {codes.shape}"
        )
    # The part that does not depend on other bits, f[n d], and the pull of bit j on bit k, f[d d].
    own = weight * jnp.matmul(vectors, decoder, precision="highest") + 2 * features - 1
    between = weight * jnp.matmul(decoder.T, decoder, precision="highest")
    between = between * (1 - jnp.eye(bits))

    def pull(signs: jax.Array, bit: jax.Array) -> jax.Array:
        return own[:, bit] - jnp.matmul(signs, between[:, bit], precision="highest")

    return (descend(_signs(codes, own.dtype), pull, sweeps) + 1) / 2


def statistics(codes: jax.Array, vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What the decoder depends on, as means over sketches, so that blocks can be averaged.

    codes: f[n d] of 0 and 1; vectors: f[n e], each sketch's class vector.
    Returns the means of b bᵀ f[d d] and of φ bᵀ f[e d], b in {-1, 1}^d.
    Raises ValueError when the two differ in n.
    """
    _check_codes(codes, vectors)
    signs = _signs(codes, vectors.dtype)
    gram = jnp.matmul(signs.T, signs, precision="highest") / len(signs)
    return gram, jnp.matmul(vectors.T, signs, precision="highest") / len(signs)


def decoder(gram: jax.Array, cross: jax.Array, *, ridge: float = 1e-3) -> jax.Array:
    """The D that minimises the mean of ‖φ - D b‖² plus ridge ‖D‖²: cross (gram + ridge I)⁻¹.

    gram: f[d d], as `statistics` gives it, with ones on its diagonal.
    cross: f[e d], likewise.
    ridge: small against 1; without it, bits that always agree could get large weights of opposite
      sign.
    Returns f[e d].
    Raises ValueError when the shapes do not fit together.
    """
    bits = cross.shape[-1]
    if gram.shape != (bits, bits):
        raise ValueError(f"gram {gram.shape} and cross {cross.shape} differ in d")
    regular = gram + ridge * jnp.eye(bits, dtype=gram.dtype)
    return jax.scipy.linalg.solve(regular, cross.T, assume_a="pos").T


def scaled(vectors: np.ndarray, bits: int) -> np.ndarray:
    """Class vectors minus their mean, scaled to the norm of a code, √bits: both terms weigh alike.

    vectors: f[l e].  Returns f32[l e]; a vector that equals the mean becomes zero.
    """
    centered = _centered(vectors)
    norms = np.linalg.norm(centered, axis=1, keepdims=True)
    # A smaller difference from the mean is only rounding of f32, and has no direction.
    least = 1e-6 * np.linalg.norm(vectors, axis=1).max(initial=0)
    known = norms > least
    return (centered / np.where(known, norms, 1) * known * np.sqrt(bits)).astype(np.float32)


def first_codes(vectors: np.ndarray, bits: int, seed: int) -> np.ndarray:
    """A first code for each class, near for near vectors: signs of random projections.

    The centred vectors are projected onto Gaussian directions and cut at the median of each, so
    that each bit halves the classes. A class whose code is taken flips the bits nearest to their
    threshold until its code is free, as long as there are 2^bits codes for all classes.

    vectors: f[l e].
    bits: d.
    seed: of the directions.
    Returns f32[l d] of 0 and 1.
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
    """The code, or a free one that differs in few bits; the code itself if all are taken.

    bits: in the order in which they may flip.
    All flips differ, so at most one code more is tried than are taken.
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
