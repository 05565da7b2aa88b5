"""Depthwise convolution compared with a loop in numpy and with XLA's own, with gradients."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from sketchjax.ops.convolution import LAYOUT
from sketchjax.ops.depthwise import depthwise, depthwise_on_cpu

# Sides of the images, kernel side, stride and padding: odd and even, equal and not, and images
# smaller than the kernel.
CASES = [
    ((7, 6), 3, 1, ((1, 1), (1, 1))),
    ((7, 6), 3, 2, ((1, 1), (1, 1))),
    ((8, 8), 3, 2, ((0, 1), (0, 1))),
    ((7, 8), 3, 2, ((0, 0), (0, 0))),
    ((9, 7), 5, 2, ((2, 2), (2, 2))),
    ((8, 6), 5, 2, ((1, 2), (1, 2))),
    ((9, 8), 3, 3, ((1, 0), (0, 2))),
    ((2, 1), 5, 1, ((2, 2), (2, 2))),
    ((1, 1), 3, 2, ((1, 1), (1, 1))),
]
EACH = pytest.mark.parametrize("sides, size, stride, padding", CASES)


def arrays(sides, size, channels=5, count=3):
    random = np.random.default_rng(0)
    images = random.normal(size=(count, *sides, channels)).astype(np.float32)
    return images, random.normal(size=(size, size, 1, channels)).astype(np.float32)


def loop(images, kernel, stride, padding):
    """The definition, one output at a time, in float64."""
    images = np.pad(images.astype(np.float64), ((0, 0), *padding, (0, 0)))
    size = len(kernel)
    height, width = ((side - size) // stride + 1 for side in images.shape[1:3])
    out = np.zeros((len(images), height, width, images.shape[-1]))
    for b, y, x, c in itertools.product(*map(range, out.shape)):
        window = images[b, y * stride : y * stride + size, x * stride : x * stride + size, c]
        out[b, y, x, c] = (window * kernel[..., 0, c]).sum()
    return out


def native(images, kernel, stride, padding):
    return lax.conv_general_dilated(
        images,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=LAYOUT,
        feature_group_count=images.shape[-1],
        precision=lax.Precision.HIGHEST,
    )


@EACH
def test_it_equals_its_definition(sides, size, stride, padding):
    images, kernel = arrays(sides, size)
    ours = jax.jit(lambda *a: depthwise(*a, stride=stride, padding=padding))(images, kernel)
    expected = loop(images, kernel, stride, padding)
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


@EACH
def test_gradients_equal_those_of_xla(sides, size, stride, padding):
    images, kernel = arrays(sides, size)
    shape = jax.eval_shape(lambda *a: native(*a, stride, padding), images, kernel).shape
    gradient = np.random.default_rng(1).normal(size=shape).astype(np.float32)

    def gradients(convolve):
        def own(*arguments):
            return convolve(*arguments, stride, padding)

        return jax.jit(lambda *arguments: jax.vjp(own, *arguments)[1](gradient))

    pairs = zip(
        gradients(depthwise_on_cpu)(images, kernel), gradients(native)(images, kernel), strict=True
    )
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_many_channels_and_pictures():
    images, kernel = arrays((12, 11), 5, channels=67, count=9)
    padding = ((2, 2), (2, 2))

    def loss(convolve):
        return jax.jit(jax.grad(lambda *a: jnp.sin(convolve(*a, 1, padding)).sum(), (0, 1)))

    pairs = zip(loss(depthwise_on_cpu)(images, kernel), loss(native)(images, kernel), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


def test_gradients_are_the_same_inside_a_scan():
    images, kernel = arrays((6, 6), 3, count=4)
    images = images[:, None]

    def loss(kernel, images):
        return (depthwise(images, kernel, stride=2, padding=((0, 1), (0, 1))) ** 2).sum()

    def scanned(kernel):
        return lax.scan(lambda total, x: (total + loss(kernel, x), None), jnp.zeros(()), images)[0]

    gradient = jax.jit(jax.grad(loss))
    each = sum(np.asarray(gradient(kernel, one)) for one in images)
    np.testing.assert_allclose(jax.jit(jax.grad(scanned))(kernel), each, rtol=1e-4, atol=1e-4)


def test_the_same_gradient_twice_has_the_same_bits():
    images, kernel = arrays((20, 20), 3, channels=16)
    gradient = jax.jit(
        jax.grad(lambda k: (depthwise(images, k, padding=((1, 1), (1, 1))) ** 2).sum())
    )
    np.testing.assert_array_equal(gradient(kernel), gradient(kernel))


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_bfloat16_stays_bfloat16(backend, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    images, kernel = (jnp.asarray(a, jnp.bfloat16) for a in arrays((6, 6), 3))
    out = depthwise(images, kernel, padding=((1, 1), (1, 1)))
    gradients = jax.grad(
        lambda *a: depthwise(*a, padding=((1, 1), (1, 1))).astype(jnp.float32).sum(), (0, 1)
    )(images, kernel)
    assert {out.dtype, *(g.dtype for g in gradients)} == {jnp.dtype(jnp.bfloat16)}
    expected = native(images.astype(jnp.float32), kernel.astype(jnp.float32), 1, ((1, 1), (1, 1)))
    np.testing.assert_allclose(out.astype(jnp.float32), expected, rtol=0.05, atol=0.05)


def test_each_backend_takes_its_own_branch(monkeypatch):
    images, kernel = arrays((6, 6), 3)
    for backend, own in (("cpu", True), ("gpu", False), ("tpu", False)):
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        traced = str(jax.make_jaxpr(lambda *a: depthwise(*a))(images, kernel))
        assert ("custom_vjp" in traced) == own
