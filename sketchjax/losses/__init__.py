"""The losses, one pure function each, and the table of their names.

A stage's objective is a weighted sum of them; the weights come from the config.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from sketchjax.losses.center import center, first_centers
from sketchjax.losses.common_center import common_center, move_centers
from sketchjax.losses.contrastive import contrastive
from sketchjax.losses.cross_entropy import cross_entropy
from sketchjax.losses.factorization import first_factors, refactor
from sketchjax.losses.loss import Loss, LossInputs, Memory, Setup
from sketchjax.losses.quantization import nearest_codes, quantization

__all__ = [
    "LOSSES",
    "LossInputs",
    "Setup",
    "begin_memory",
    "blank_memory",
    "moved",
    "objective",
    "recoded",
]


def _no_centers(setup: Setup) -> Memory:
    return {"centers": jnp.zeros((setup.classes, setup.width))}


LOSSES = {
    # SketchMate (Xu et al. 2018), equations 2, 4 and 3.
    "cross_entropy": Loss(lambda seen: cross_entropy(seen.logits, seen.labels)),
    "center": Loss(
        lambda seen: center(seen.features, seen.memory["centers"], seen.labels),
        blank=_no_centers,
        begin=first_centers,
    ),
    "quantization": Loss(
        lambda seen: quantization(seen.features, seen.codes),
        codes=lambda memory, features, labels, average: (nearest_codes(features), memory),
    ),
    # Centre loss as it is common (Wen et al. 2016): the centres follow the batches.
    "common_center": Loss(
        lambda seen: common_center(seen.features, seen.memory["centers"], seen.labels),
        blank=_no_centers,
        move=lambda seen: {
            "centers": move_centers(seen.features, seen.memory["centers"], seen.labels)
        },
        whole_batch=True,
    ),
    # Deep Supervised Hashing (Liu et al. 2016).
    "contrastive": Loss(lambda seen: contrastive(seen.activations, seen.labels), whole_batch=True),
    # Deep Sketch Hashing (Liu et al. 2017): codes that class word vectors follow from.
    "semantic": Loss(
        lambda seen: quantization(seen.features, seen.codes),
        blank=first_factors,
        codes=refactor,
    ),
}


def objective(
    weights: Mapping[str, float],
    seen: LossInputs,
    memories: Mapping[str, Memory] | None = None,
    codes: Mapping[str, jax.Array] | None = None,
) -> tuple[jax.Array, dict]:
    """The weighted sum f[] of the named losses (SketchMate, eq. 5), and each loss unweighted.

    memories, codes: by the name of their loss.
    """
    terms = {name: LOSSES[name].value(_own(name, seen, memories, codes)) for name in weights}
    loss = sum((weights[name] * term for name, term in terms.items()), jnp.zeros(()))
    return loss, terms


def moved(seen: LossInputs, memories: Mapping[str, Memory]) -> dict[str, Memory]:
    """The memories after a step."""
    return {
        name: move(_own(name, seen, memories)) if (move := LOSSES[name].move) else memory
        for name, memory in memories.items()
    }


def recoded(
    names: Iterable[str],
    features: jax.Array,
    labels: jax.Array,
    memories: Mapping[str, Memory],
    average: Callable[[Any], Any],
) -> tuple[dict[str, jax.Array], dict[str, Memory]]:
    """The codes f[n d] of a block's features by the name of their loss, and the memories after."""
    codes, after = {}, dict(memories)
    for name in names:
        code = LOSSES[name].codes
        if code is not None:
            codes[name], memory = code(after.get(name, {}), features, labels, average)
            if name in after:
                after[name] = memory
    return codes, after


def blank_memory(names: Iterable[str], setup: Setup) -> dict[str, Memory]:
    """The memories of these losses as zeros, or as what costs nothing to know."""
    found = {name: LOSSES[name].blank for name in names}
    return {name: blank(setup) for name, blank in found.items() if blank is not None}


def begin_memory(
    names: Iterable[str], setup: Setup, earlier: Mapping[str, Memory]
) -> dict[str, Memory]:
    """The memories that a stage begins with: what a stage before it left stays."""
    memories = blank_memory(names, setup)
    for name in memories:
        begin = LOSSES[name].begin
        if name in earlier:
            memories[name] = dict(earlier[name])
        elif begin is not None:
            memories[name] = begin(setup)
    return memories


def _own(
    name: str,
    seen: LossInputs,
    memories: Mapping[str, Memory] | None = None,
    codes: Mapping[str, jax.Array] | None = None,
) -> LossInputs:
    """What a loss sees: with its own memory and codes."""
    own = (memories or {}).get(name, {}), (codes or {}).get(name)
    return seen._replace(memory=own[0], codes=own[1])
