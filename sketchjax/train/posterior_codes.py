"""Codewords, thresholds and temperature of a posterior head, trained by the tie-aware loss.

The classifier stays as it is. The loss is the measure that codes are scored by, and there are few
numbers to learn, so it takes a thousand steps, and no epochs of a network. A classifier is surer of
the drawings that it was fitted to than of any others, and codes that are trained on such posteriors
rank others badly. So each step drops most of the features.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from sketchjax.losses.tie_aware import tie_aware
from sketchjax.models.posterior import soft_codes
from sketchjax.train.classifier import LinearClassifier

SHARPNESS = (3.0, 10.0)  # of the bits, at first and at the end: they begin soft and end as signs
_CLASSES = 64  # most of a batch, so that each has company


class PosteriorCodes(NamedTuple):
    """What turns logits into the activations pᵀC - θ.

    codewords: C f32[l d].
    thresholds: θ f32[d].
    temperature: T f32[], by which logits are divided.
    """

    codewords: Any
    thresholds: Any
    temperature: Any

    def activations(self, logits: jax.Array) -> jax.Array:
        """Of logits f[b l]: f32[b d]; a bit is whether one is above 0."""
        return soft_codes(logits, self.codewords, self.temperature) - self.thresholds


def train_codes(
    begin: PosteriorCodes,
    classifier: LinearClassifier,
    features: np.ndarray,
    labels: np.ndarray,
    *,
    steps: int = 1500,
    dropout: float = 0.7,
    batch: int = 512,
    learning_rate: float = 0.05,
    seed: int = 0,
    check: Callable[[], None] = lambda: None,
) -> PosteriorCodes:
    """Descend from `begin` by Adam, with batches of as many sketches of each class.

    classifier: makes logits of the features.
    features: f32[n f], of training sketches.
    labels: i[n], 0 to l - 1; a class may have none.
    steps: of one batch each.
    dropout: the share of the features that each step drops; the others grow by 1 / (1 - dropout).
    batch: about this many sketches, but no more than there are.
    learning_rate: at first; it falls to 0 along a cosine.
    seed: of batches and dropout; the same seed gives the same result on one machine.
    check: called every hundred steps; it may raise.
    """
    present, counts = np.unique(labels, return_counts=True)
    if steps < 1 or len(present) < 2:  # one class has no ranking
        return begin
    by_class = np.argsort(labels, kind="stable")
    firsts = np.cumsum(counts) - counts
    batch = min(batch, len(labels))
    each = max(2, batch // min(len(present), _CLASSES))
    classes = min(len(present), max(2, batch // each))
    # The logarithm keeps the temperature above 0.
    start = begin._replace(temperature=np.log(begin.temperature))
    params = tuple(jnp.asarray(value, jnp.float32) for value in start)
    state = params, _optimizer(learning_rate, steps).init(params)
    classifier = jax.device_put(classifier)
    sharpness = np.linspace(*SHARPNESS, steps, dtype=np.float32)
    rng, key = np.random.default_rng(seed), jax.random.key(seed)

    step = partial(_step, learning_rate=learning_rate, steps=steps, dropout=dropout)
    for number in range(steps):
        if number % 100 == 0:
            check()
        own = rng.choice(len(present), classes, replace=False)
        drawn = firsts[own] + rng.integers(0, counts[own], (each, classes))
        rows = by_class[drawn.ravel()]
        one = jax.random.fold_in(key, number)
        state = step(state, classifier, features[rows], labels[rows], sharpness[number], one)
    codewords, thresholds, log_temperature = state[0]
    return jax.device_get(PosteriorCodes(codewords, thresholds, jnp.exp(log_temperature)))


@partial(jax.jit, static_argnames=("learning_rate", "steps", "dropout"))
def _step(
    state: Any,
    classifier: LinearClassifier,
    features: jax.Array,
    labels: jax.Array,
    sharpness: jax.Array,
    key: jax.Array,
    *,
    learning_rate: float,
    steps: int,
    dropout: float,
) -> Any:
    """One step of `train_codes`, compiled once for all of its calls. key: of the dropout."""
    params, moments = state
    kept = jax.random.bernoulli(key, 1 - dropout, features.shape)
    logits = classifier.logits(jnp.where(kept, features / (1 - dropout), 0))
    gradients = jax.grad(_loss)(params, logits, labels, sharpness)
    updates, moments = _optimizer(learning_rate, steps).update(gradients, moments)
    return optax.apply_updates(params, updates), moments


def _optimizer(learning_rate: float, steps: int) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(learning_rate, steps))


def _loss(params: Any, logits: jax.Array, labels: jax.Array, sharpness: jax.Array) -> jax.Array:
    codewords, thresholds, log_temperature = params
    codes = PosteriorCodes(codewords, thresholds, jnp.exp(log_temperature))
    bins = min(64, len(thresholds))
    return tie_aware(sharpness * codes.activations(logits), labels, form="simplified", bins=bins)
