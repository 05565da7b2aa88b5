"""Batch normalisation compared with flax.linen.BatchNorm, with gradients and on four devices."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sketchjax.models.backbone import BatchNorm
from sketchjax.ops.batch_norm import normalised
from sketchjax.parallel import AXIS, SPLIT, WHOLE, average, over_devices, split

EPSILON = 1e-3


def arrays(count=8, side=6, channels=7):
    random = np.random.default_rng(0)
    images = 2 + 3 * random.normal(size=(count, side, side, channels))
    scale, bias = random.normal(size=(2, channels))
    weights = random.normal(size=images.shape)
    return tuple(a.astype(np.float32) for a in (images, scale, bias, weights))


def flax_norm(images, scale, bias):
    channels = images.shape[-1]
    out, changed = nn.BatchNorm(use_running_average=False, momentum=0.0, epsilon=EPSILON).apply(
        {
            "params": {"scale": scale, "bias": bias},
            "batch_stats": {"mean": jnp.zeros(channels), "var": jnp.ones(channels)},
        },
        images,
        mutable=["batch_stats"],
    )
    return out, changed["batch_stats"]


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_values_and_statistics_equal_flax(backend, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    images, scale, bias, _ = arrays()
    out, mean, variance = normalised(images, scale, bias, EPSILON, None)
    expected, statistics = flax_norm(images, scale, bias)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(mean, statistics["mean"], rtol=1e-5)
    np.testing.assert_allclose(variance, statistics["var"], rtol=1e-4)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_gradients_equal_flax(backend, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    images, scale, bias, weights = arrays()

    def gradients(norm):
        return jax.grad(lambda *a: (jnp.sin(norm(*a)[0]) * weights).sum(), (0, 1, 2))

    ours = gradients(lambda *a: normalised(*a, EPSILON, None))(images, scale, bias)
    for own, theirs in zip(ours, gradients(flax_norm)(images, scale, bias), strict=True):
        np.testing.assert_allclose(own, theirs, rtol=1e-3, atol=1e-4)


def test_long_sums_are_exact_to_float32():
    images = 100 + np.random.default_rng(2).normal(size=(40, 50, 50, 3)).astype(np.float32)
    _, mean, _ = normalised(images, np.ones(3, "f"), np.zeros(3, "f"), EPSILON, None)
    np.testing.assert_allclose(mean, images.astype(np.float64).mean((0, 1, 2)), rtol=1e-6)


def test_four_devices_are_one_batch():
    images, scale, bias, weights = arrays()

    def loss(scale, bias, images, weights, axis_name):
        out, mean, variance = normalised(images, scale, bias, EPSILON, axis_name)
        return (jnp.sin(out) * weights).sum(), (mean, variance)

    def gradients(axis_name, scale, bias, images, weights):
        found, statistics = jax.grad(loss, (0, 1, 2), has_aux=True)(
            scale, bias, images, weights, axis_name
        )
        return found, statistics

    whole, statistics = gradients(None, scale, bias, images, weights)

    def on_device(scale, bias, images, weights):
        (of_scale, of_bias, of_images), own = gradients(AXIS, scale, bias, images, weights)
        return average((of_scale, of_bias)), of_images, own

    on_four = over_devices(
        on_device, inputs=(WHOLE, WHOLE, SPLIT, SPLIT), outputs=(WHOLE, SPLIT, WHOLE)
    )
    parameters, of_images, shared = on_four(scale, bias, split(images, 4), split(weights, 4))
    for own, expected in zip(parameters, whole[:2], strict=True):
        np.testing.assert_allclose(4 * own, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(of_images.reshape(images.shape), whole[2], rtol=1e-3, atol=1e-4)
    for own, expected in zip(shared, statistics, strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-4)


def module(**settings):
    own = BatchNorm(0.9, EPSILON, **settings)
    variables = own.init(jax.random.key(0), arrays()[0], False)
    return own, variables


def test_running_statistics_move_by_the_momentum():
    images = arrays()[0]
    own, variables = module()
    _, changed = own.apply(variables, images, True, mutable=["batch_stats"])
    mean, variance = images.mean((0, 1, 2)), images.var((0, 1, 2))
    statistics = changed["batch_stats"]
    np.testing.assert_allclose(statistics["mean"], 0.1 * mean, rtol=1e-4)
    np.testing.assert_allclose(statistics["var"], 0.9 + 0.1 * variance, rtol=1e-4)
    expected = (images - statistics["mean"]) / np.sqrt(statistics["var"] + EPSILON)
    out = own.apply({**variables, **changed}, images, False)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4)


def test_frozen_statistics_stay_in_training():
    images = arrays()[0]
    own, variables = module(frozen=True)
    out, changed = own.apply(variables, images, True, mutable=["batch_stats"])
    np.testing.assert_array_equal(changed["batch_stats"]["mean"], 0)
    np.testing.assert_array_equal(out, own.apply(variables, images, False))
