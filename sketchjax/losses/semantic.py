"""What semantic factorisation remembers between blocks: the class vectors and the decoder."""

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

_SEED = 0  # of the class codes to begin with; the run's own seed moves all else


def first_factors(setup: Setup) -> Memory:
    """Class vectors f[l e], the statistics of first class codes, and the decoder f[e d] of these.

    The statistics are means over a window of an epoch: each block has the weight of its share.
    """
    assert setup.word_vectors is not None, "semantic factorisation needs word vectors"
    # In numpy: a run that goes on asks `jax.eval_shape` for the shapes of all this.
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
    """The codes f[n d] of a block with the decoder fixed, then the decoder with the codes fixed."""
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
    codes=refactor,
)
