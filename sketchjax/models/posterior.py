"""The head of posterior codes: bits from what a classifier believes.

With C the ±1 codewords of the classes, p the posterior and θ a threshold for each bit, the features
are pᵀC - θ and a bit is their sign. With θ = 0, all sketches that the classifier is sure of share
one code. Thresholds that differ from bit to bit turn its sureness into Hamming distance: with them
spread over (-a, a), the expected distance of two sketches is the L1 distance of their pᵀC, over 2a.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from sketchjax.models.table import CODEBOOK
from sketchjax.ops.codebook import codebook

SPREAD = 0.8  # of the thresholds, in units of a codeword's bits


class Posterior(nn.Module):
    """pᵀC - θ, with p the softmax of logits / T.

    bits: d.
    Its parameters are the codebook f32[l d], thresholds f32[d] and the temperature f32[]: at first
    the best known codebook, thresholds spread over (-0.8, 0.8), and 1.
    """

    bits: int

    @nn.compact
    def __call__(self, logits: jax.Array) -> jax.Array:
        """logits: f[b l].  Returns f32[b d], each between -1 - θ and 1 - θ."""
        codewords = self.param(
            CODEBOOK,
            lambda key, shape: jnp.asarray(codebook(*shape), jnp.float32),
            (logits.shape[-1], self.bits),
        )
        thresholds = self.param(
            "thresholds", lambda key, bits: jnp.asarray(dither(bits, SPREAD)), self.bits
        )
        temperature = self.param("temperature", nn.initializers.ones, ())
        return soft_codes(logits, codewords, temperature) - thresholds


def soft_codes(logits: jax.Array, codewords: jax.Array, temperature: jax.Array) -> jax.Array:
    """The mean codeword under the posterior, pᵀC.

    logits: f[b l]; codewords: f[l d] of ±1; temperature: f[], above 0.  Returns f32[b d].
    """
    posterior = nn.softmax(logits.astype(jnp.float32) / temperature)
    return jnp.matmul(posterior, codewords, precision="highest")


def dither(bits: int, spread: float, seed: int = 0) -> np.ndarray:
    """Thresholds at even distances over (-spread, spread), in an order drawn with the seed: f32[d].

    In a random order, as neighbouring bits of a codebook may belong together.
    """
    even = (2 * np.arange(bits) + 1) / bits - 1
    return (spread * np.random.default_rng(seed).permutation(even)).astype(np.float32)
