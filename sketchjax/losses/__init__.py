"""The losses of SketchMate, one pure function each, and the table of their names.

A stage's objective is a weighted sum of them; the weights come from the config.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from sketchjax.losses.center import center
from sketchjax.losses.cross_entropy import cross_entropy
from sketchjax.losses.quantization import quantization

__all__ = ["LOSSES", "LossInputs", "center", "cross_entropy", "objective", "quantization"]


class LossInputs(NamedTuple):
    """What a loss can see of a batch.

    logits: f[b l]; labels: i[b]; features: f[b d] in (0, 1), None while one branch trains alone;
    codes: f[b d] of 0 and 1, fixed; centers: f[l d], fixed.
    """

    logits: jax.Array
    labels: jax.Array
    features: jax.Array | None
    codes: jax.Array | None
    centers: jax.Array


LOSSES = {
    "cross_entropy": lambda seen: cross_entropy(seen.logits, seen.labels),
    "center": lambda seen: center(seen.features, seen.centers, seen.labels),
    "quantization": lambda seen: quantization(seen.features, seen.codes),
}


def objective(weights: dict[str, float], seen: LossInputs) -> tuple[jax.Array, dict]:
    """The weighted sum f[] of the named losses (SketchMate, eq. 5), and each loss unweighted."""
    terms = {name: LOSSES[name](seen) for name in weights}
    loss = sum((weights[name] * term for name, term in terms.items()), jnp.zeros(()))
    return loss, terms
