"""Deep Sketch Hashing as a loss: what it carries from block to block, and how that changes.

The mathematics and the sources are in `deep_sketch_codes`. Codes of single items are not kept: what
one side needs of the other are sums over its classes, which are running means over about an epoch,
and a block's codes start from the majority of their class.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sketchjax.losses.deep_sketch_codes import (
    Statistics,
    Weights,
    dead_bits,
    gram_and_cross,
    improve,
    statistics,
    weights,
)
from sketchjax.losses.loss import Loss, LossInputs, Memory, Setup
from sketchjax.losses.semantic_codes import decoder, scaled
from sketchjax.losses.targets import class_targets
from sketchjax.ops.signs import signs

_SWEEPS = 3  # over the bits of a block's codes


def deep_sketch_hashing(features: jax.Array, codes: jax.Array) -> jax.Array:
    """Mean over items and bits of (f - b)², b = 2c - 1: the one term that networks see.

    features: f f[b d]; codes: c f[b d] of 0 and 1.  Returns f[].
    Raises ValueError when the two differ in shape.
    """
    if features.shape != codes.shape:
        raise ValueError(f"features {features.shape} and codes {codes.shape} differ in shape")
    return ((features - (2 * codes - 1)) ** 2).mean()


def first_memory(setup: Setup) -> Memory:
    """What is remembered, with a code for each class, the same for sketches and photos.

    vectors: f32[l e], scaled.
    counts: f32[2 l], the items of each class, sketches first.
    sums: f32[2 l d]; grams: f32[2 l d d], the statistics of the two sides.
    share: f32[], a block's share of an epoch.
    """
    assert setup.word_vectors is not None, "the semantic term needs word vectors"
    assert setup.counts is not None, "Deep Sketch Hashing needs sketches and photos"
    # In numpy: a run that resumes asks `jax.eval_shape` for the shapes of all this.
    targets = class_targets(setup.classes, setup.width, "codebook").astype(np.float32)
    counts = setup.counts.astype(np.float32)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    products = targets[:, :, None] * targets[:, None]
    return {
        "vectors": jnp.asarray(scaled(setup.word_vectors, setup.width)),
        "counts": jnp.asarray(counts),
        "sums": jnp.asarray(shares[..., None] * targets),
        "grams": jnp.asarray(shares[..., None, None] * products),
        "share": jnp.float32(setup.block_share),
    }


def recode(block: LossInputs, average: Callable[[Any], Any]) -> tuple[jax.Array, Memory]:
    """The codes of a block and the memory after it.

    The decoder comes first, in closed form; then the photos' codes with the sketches fixed, and the
    sketches' codes with the photos fixed.

    block: features f[n d], labels i[n], the sketches first; memory as of `first_memory`; settings.
    average: the mean over devices.
    Returns codes f[n d] of 0 and 1, and the memory.
    Raises ValueError for a block of one side.
    """
    memory, settings = block.memory, dict(block.settings)
    kind = settings.pop("pairs", "balanced")
    classes, bits = memory["sums"].shape[1:]
    if block.sketches is None:
        raise ValueError("Deep Sketch Hashing needs blocks of sketches and photos")
    if kind == "tied":
        targets = jnp.asarray(class_targets(classes, bits, "codebook"), jnp.float32)
        return (targets[block.labels] + 1) / 2, memory
    weight = _weights(kind, memory["counts"], bits, **settings)
    both = [Statistics(memory["sums"][side], memory["grams"][side]) for side in (0, 1)]
    reader = decoder(*gram_and_cross((both[0], both[1]), memory["vectors"], weight))
    rows = slice(None, block.sketches), slice(block.sketches, None)
    codes: list[Any] = [None, None]
    for side in (1, 0):
        features, labels = block.features[rows[side]], block.labels[rows[side]]
        majority = both[side].sums[labels]
        codes[side] = improve(
            jnp.where(majority == 0, signs(features), jnp.sign(majority)),
            features,
            labels,
            both[1 - side],
            (memory["vectors"], reader),
            Weights(*(each[side] for each in weight)),
            sweeps=_SWEEPS,
        )
        now = average(statistics(codes[side], labels, classes))
        both[side] = jax.tree.map(
            lambda before, now: before + memory["share"] * (now - before), both[side], now
        )
    sums, grams = (jnp.stack(each) for each in zip(*both, strict=True))
    return (jnp.concatenate(codes) + 1) / 2, memory | {"sums": sums, "grams": grams}


def _weights(
    kind: str, counts: jax.Array, bits: int, *, semantic: float = 0.1, network: float = 0.1
) -> Weights:
    return weights(kind, counts, bits, semantic=semantic, network=network)


LOSS = Loss(
    lambda seen: deep_sketch_hashing(seen.features, seen.codes),
    blank=first_memory,
    codes=recode,
    figures=lambda memory: {
        f"dead_bits_{side}": dead_bits(sums).astype(jnp.float32)
        for side, sums in zip(("sketch", "photo"), memory["sums"], strict=True)
    },
)
