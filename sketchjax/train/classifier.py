"""A linear classifier fitted to features that do not change: seconds, not epochs of a network."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax


class LinearClassifier(NamedTuple):
    """What turns features into logits.

    kernel: f32[f l].
    bias: f32[l].
    """

    kernel: Any
    bias: Any

    def logits(self, features: Any) -> jax.Array:
        """Of features f[b f]: f32[b l]."""
        return jnp.matmul(features, self.kernel, precision="highest") + self.bias


def fit_classifier(
    features: np.ndarray,
    labels: np.ndarray,
    classes: int,
    *,
    epochs: int = 30,
    batch: int = 256,
    learning_rate: float = 1e-3,
    seed: int = 0,
) -> LinearClassifier:
    """Softmax regression by Adam, with half of the inputs dropped in each step.

    features: f32[n f], of which the device holds all.
    labels: i[n], 0 to l - 1.
    classes: l.
    epochs: passes over the features.
    batch: b, rows of a step; fewer rows than that are one step.
    learning_rate: at first; it falls to 0 along a cosine.
    seed: of the order and the dropped inputs; the same seed gives the same result on one machine.
    """
    batch = min(batch, len(features))
    steps = len(features) // batch
    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, epochs * steps))
    params = LinearClassifier(jnp.zeros((features.shape[1], classes)), jnp.zeros(classes))
    state = (params, optimizer.init(params))
    held = jnp.asarray(features), jnp.asarray(labels, jnp.int32)
    rng, key = np.random.default_rng(seed), jax.random.key(seed)
    epoch = jax.jit(partial(_epoch, optimizer), donate_argnums=0)
    for number in range(epochs):
        order = rng.permutation(len(features))[: steps * batch].reshape(steps, batch)
        state = epoch(state, held, order, jax.random.fold_in(key, number))
    return LinearClassifier(*(np.asarray(part) for part in state[0]))


def _epoch(
    optimizer: optax.GradientTransformation, state: Any, held: Any, order: Any, key: jax.Array
) -> Any:
    """One pass: order i[k b] has the rows of each step."""
    features, labels = held

    def step(state, rows):
        (params, moments), number = state
        kept = _half(jax.random.fold_in(key, number), (len(rows), features.shape[1]))
        inputs = jnp.where(kept, 2 * features[rows], 0)

        def loss(params):
            logits = inputs @ params.kernel + params.bias
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels[rows]).mean()

        updates, moments = optimizer.update(jax.grad(loss)(params), moments)
        return ((optax.apply_updates(params, updates), moments), number + 1), None

    (state, _), _ = jax.lax.scan(step, (state, 0), order)
    return state


def _half(key: jax.Array, shape: tuple[int, int]) -> jax.Array:
    """Fair coins bool[b f]: 32 from each random number, as drawing them is most of the work."""
    words = jax.random.bits(key, (shape[0], -(-shape[1] // 32)))
    coins = words[:, :, None] >> jnp.arange(32, dtype=jnp.uint32) & 1
    return coins.reshape(shape[0], -1)[:, : shape[1]].astype(bool)
