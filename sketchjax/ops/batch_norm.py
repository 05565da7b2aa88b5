"""Batch normalisation with the statistics of the batch, and a gradient that is fast on a CPU.

The gradient needs two sums per channel, and so do the statistics: XLA makes each of them a pass of
its own, with the products written to memory. On a CPU, one kernel (`ops.host`) makes both in one.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from sketchjax.compiled import kernel as compiled
from sketchjax.ops.host import sum_of_two

_BLOCK = 256  # rows summed together: short sums have small errors


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def normalised(
    images: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float, axis_name: str | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(images - mean) / sqrt(variance + epsilon) * scale + bias, per channel; also mean, variance.

    images: f[b h w c].
    scale, bias: f32[c].
    epsilon: added to the variance.
    axis_name: the devices' axis, over which the statistics are taken; None for one device.
    Returns f[b h w c], f32[c] and f32[c]; the statistics have no gradient of their own.
    """
    return _forward(images, scale, bias, epsilon, axis_name)[0]


def _forward(images, scale, bias, epsilon, axis_name):
    mean, square = _means(images, images, axis_name)
    # Rounding can make it negative.
    variance = jnp.maximum(square - mean**2, 0)
    inverse = lax.rsqrt(variance + epsilon)
    factor = (inverse * scale).astype(images.dtype)
    out = (images - mean.astype(images.dtype)) * factor + bias.astype(images.dtype)
    return (out, mean, variance), (images, scale, mean, inverse)


def _backward(epsilon, axis_name, residuals, gradients):
    images, scale, mean, inverse = residuals
    gradient = gradients[0]
    count = images.size // images.shape[-1]
    own = _sums(gradient, images)
    # Of the gradient, and of its products with the normalised images.
    straight, turned = own[0], (own[1] - mean * own[0]) * inverse
    every = own / count if axis_name is None else lax.pmean(own / count, axis_name)
    level, slope = every[0], (every[1] - mean * every[0]) * inverse
    kind = images.dtype
    away = (images - mean.astype(kind)) * (inverse * slope).astype(kind) + level.astype(kind)
    return (gradient - away) * (scale * inverse).astype(kind), turned, straight


normalised.defvjp(_forward, _backward)


def _means(first, second, axis_name):
    means = _sums(first, second) / (first.size // first.shape[-1])
    return means if axis_name is None else lax.pmean(means, axis_name)


def _sums(first: jax.Array, second: jax.Array) -> jax.Array:
    """Sums over all but the last axis of `first`, and of its products with `second`: f32[2 c]."""
    channels = first.shape[-1]
    first, second = first.reshape(-1, channels), second.reshape(-1, channels)
    if jax.default_backend() == "cpu":
        return _host_sums(first, second, (2, channels))
    first, second = first.astype(jnp.float32), second.astype(jnp.float32)
    return jnp.stack([first.sum(0), (first * second).sum(0)])


@compiled
def _fill(first, second, total):
    """Fill total f[2 c] with the sums of first f[n c] and of its products with second f[n c]."""
    total[:] = 0
    block = np.empty(total.shape, np.float32)
    for begin in range(0, first.shape[0], _BLOCK):
        block[:] = 0
        for n in range(begin, min(begin + _BLOCK, first.shape[0])):
            for c in range(first.shape[1]):
                block[0, c] += first[n, c]
                block[1, c] += first[n, c] * second[n, c]
        total += block


_host_sums = sum_of_two("sketchjax_batch_norm_sums", _fill, (2, 2, 2))
