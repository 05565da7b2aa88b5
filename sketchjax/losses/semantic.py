"""Semantic factorisation as a loss: what it carries from block to block, and how that changes.

The mathematics and the source are in `semantic_codes`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sketchjax.losses.loss import Loss, Memory, Setup
from sketchjax.losses.quantization import nearest_codes, quantization
from sketchjax.losses.semantic_codes import (
    decoder,
    factor_codes,
    first_codes,
    scaled,
    statistics,
)

_SEED = 0  # of the first class codes; everything else depends on the run's own seed


def first_factors(setup: Setup) -> Memory:
    """Class vectors f[l e], statistics of the first class codes, and the decoder f[e d] of these.

    The statistics are running means over about an epoch: a block's weight is its share of one.
    """
    assert setup.word_vectors is not None, "semantic factorisation needs word vectors"
    # In numpy: a run that resumes asks `jax.eval_shape` for the shapes of all this.
    vectors = scaled(setup.word_vectors, setup.width)
    codes = jnp.asarray(first_codes(vectors, setup.width, _SEED))
    own = np.flatnonzero(setup.in_training)
    gram, cross = statistics(codes[own], jnp.asarray(vectors[own]))
    return {
        "vectors": jnp.asarray(vectors),
        "gram": gram,
        "cross": cross,
        "decoder": decoder(gram, cross),
        "share": jnp.float32(setup.block_share),
    }


def refactor(
    memory: Memory, features: jax.Array, labels: jax.Array, average: Callable[[Any], Any]
) -> tuple[jax.Array, Memory]:
    """The codes of a block with the decoder fixed, then the decoder with the codes fixed.

    memory: as `first_factors` gives it.
    features: f[n d] in (0, 1).
    labels: i[n].
    average: the mean over devices.
    Returns codes f[n d] of 0 and 1, and the memory after the block.
    """
    vectors = memory["vectors"][labels]
    codes = factor_codes(features, vectors, memory["decoder"], nearest_codes(features))
    share = memory["share"]
    gram, cross = (
        (1 - share) * before + share * now
        for before, now in zip(
            (memory["gram"], memory["cross"]), average(statistics(codes, vectors)), strict=True
        )
    )
    return codes, memory | {"gram": gram, "cross": cross, "decoder": decoder(gram, cross)}


LOSS = Loss(
    lambda seen: quantization(seen.features, seen.codes),
    blank=first_factors,
    codes=lambda block, average: refactor(block.memory, block.features, block.labels, average),
)
