"""Averaging of weights: a stage can end with the mean of its last weights instead of the last ones.

The mean of many steps is closer to the middle of the minimum that they circle (Polyak and Juditsky,
SIAM J. Control Optim. 1992), without a slower learning rate.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from sketchjax.train.vectors import as_tree


class _Mean(NamedTuple):
    """steps: i32[], so far. weight_mean: of the trained parameters, as `vectors`."""

    steps: Any
    weight_mean: Any


def averaged(decay: float) -> optax.GradientTransformation:
    """The last link of an optimizer's chain: keeps the exponential mean of the weights.

    decay: the share of the mean that a step keeps. It rises to that from 0.1, so that the first
      weights do not weigh on a short stage.
    """

    def init(params: Any) -> _Mean:
        # A copy: the state holds the parameters as well, and a buffer cannot be donated twice.
        return _Mean(jnp.zeros((), jnp.int32), jax.tree.map(jnp.copy, params))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        keep = jnp.minimum(decay, (1 + state.steps) / (10 + state.steps))
        after = optax.apply_updates(params, updates)
        mean = optax.incremental_update(after, state.weight_mean, 1 - keep)
        return updates, _Mean(optax.safe_increment(state.steps), mean)

    return optax.GradientTransformation(init, update)


def mean_weights(trained: dict, optimizer: Any, head_parts: Collection[str]) -> dict:
    """The trained parameters at the end of a stage: their means, if the optimizer kept them.

    trained: as the last step left them, by part.
    optimizer: the optimizer's state.
    head_parts: the parameters after the encoders, by part.
    """
    means = optax.tree.get(optimizer, "weight_mean")
    return trained if means is None else as_tree(means, trained, head_parts)
