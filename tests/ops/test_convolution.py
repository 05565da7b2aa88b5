"""Convolution and pooling compared with loops in numpy and with XLA's own, with gradients."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from jax import lax

from sketchjax.ops.convolution import (
    LAYOUT,
    between_places,
    conv2d,
    conv2d_on_cpu,
    max_pool,
    max_pool_as_slices,
    pointwise,
)

# Each example compiles: shrinking a failing one would take minutes.
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)


def native_conv(images, kernel, stride, padding):
    """XLA's convolution, summed in full float32."""
    return lax.conv_general_dilated(
        images,
        kernel,
        (stride, stride),
        [(padding, padding)] * 2,
        dimension_numbers=LAYOUT,
        precision=lax.Precision.HIGHEST,
    )


def native_pool(images, window, stride):
    """XLA's max pooling."""
    return lax.reduce_window(
        images, -jnp.inf, lax.max, (1, window, window, 1), (1, stride, stride, 1), "VALID"
    )


def loop_conv(images, kernel, stride, padding):
    """The definition, one output at a time, in float64."""
    images = np.pad(images.astype(np.float64), ((0, 0), (padding,) * 2, (padding,) * 2, (0, 0)))
    rows, columns, _, features = kernel.shape
    height = (images.shape[1] - rows) // stride + 1
    width = (images.shape[2] - columns) // stride + 1
    out = np.zeros((len(images), height, width, features))
    for b, y, x, o in itertools.product(*map(range, out.shape)):
        window = images[b, y * stride : y * stride + rows, x * stride : x * stride + columns]
        out[b, y, x, o] = (window * kernel[..., o]).sum()
    return out


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Take the branch for accelerators, which XLA's CPU backend can also run."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "kernel_shape, padding",
    [((3, 3, 2, 3), 0), ((5, 2, 2, 3), 2), ((1, 4, 2, 3), 1), ((3, 3, 3, 17), 1)],
)
def test_convolution_equals_its_definition(stride, padding, kernel_shape):
    random = np.random.default_rng(0)
    images = random.normal(size=(2, 9, 8, kernel_shape[2])).astype(np.float32)
    kernel = random.normal(size=kernel_shape).astype(np.float32)
    ours = conv2d(images, kernel, stride=stride, padding=padding)
    expected = loop_conv(images, kernel, stride, padding)
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 4]),
    st.integers(0, 3),
    st.tuples(st.integers(1, 6), st.integers(6, 13), st.integers(6, 13)),
    st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3)),
)
@settings(deadline=None, max_examples=6, phases=NO_SHRINKING)
def test_convolution_and_gradients_equal_those_of_xla(seed, stride, padding, sides, sizes):
    (size, height, width), (batch, channels, features) = sides, sizes
    random = np.random.default_rng(seed)
    images = random.normal(size=(batch, height, width, channels)).astype(np.float32)
    kernel = random.normal(size=(size, size, channels, features)).astype(np.float32)

    def ours(images, kernel):
        return conv2d_on_cpu(images, kernel, stride, padding)

    def theirs(images, kernel):
        return native_conv(images, kernel, stride, padding)

    @jax.jit
    def value_and_gradients(images, kernel, gradient):
        results = []
        for convolution in (ours, theirs):
            value, pull = jax.vjp(convolution, images, kernel)
            results.append((value, *pull(gradient)))
        return results

    out = jax.eval_shape(theirs, images, kernel).shape
    gradient = random.normal(size=out).astype(np.float32)
    for a, b in zip(*value_and_gradients(images, kernel, gradient), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "size, side, stride, padding, channels, features",
    [
        (11, 64, 2, 5, 3, 24),  # several places share a product, the last of which is not full
        (11, 64, 4, 2, 1, 200),  # two at least
        (15, 40, 3, 0, 1, 64),
        (7, 23, 2, 3, 3, 5),  # all places in one product
        (9, 9, 1, 0, 2, 3),  # one place
        (8, 13, 5, 1, 7, 4),  # the last pixels are under no place
        (3, 9, 2, 1, 3, 20),  # a channel of zeros in the forward pass
    ],
)
def test_gradient_of_the_kernels_of_first_layers(size, side, stride, padding, channels, features):
    random = np.random.default_rng(8)
    images = random.normal(size=(2, side + 1, side, channels))
    kernel = np.zeros((size, size, channels, features))
    height, width = ((n + 2 * padding - size) // stride + 1 for n in images.shape[1:3])
    gradient = random.normal(size=(2, height, width, features))
    padded = np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    for row, column in itertools.product(range(height), range(width)):
        top, left = row * stride, column * stride
        under = padded[:, top : top + size, left : left + size]
        kernel += np.einsum("bijc,bo->ijco", under, gradient[:, row, column])

    @jax.jit  # one program, not one for each product of a few places
    def pulled(images, gradient):
        none = jnp.zeros(kernel.shape, jnp.float32)
        return jax.vjp(lambda own: conv2d_on_cpu(images, own, stride, padding), none)[1](gradient)

    (ours,) = pulled(images.astype(np.float32), gradient.astype(np.float32))
    np.testing.assert_allclose(ours, kernel, rtol=1e-4, atol=1e-4)


# Kernel, image, stride, padding, and the function that a CPU uses for them.
ONE_MATMUL = [
    ((1, 1), (5, 4), 1, 0, pointwise),
    ((1, 1), (5, 4), 2, 0, pointwise),
    ((1, 1), (4, 7), 3, 0, pointwise),
    ((3, 3), (2, 2), 1, 1, between_places),
    ((3, 3), (1, 2), 1, 1, between_places),
    ((3, 3), (2, 1), 2, 1, between_places),
    ((5, 4), (3, 3), 1, 2, between_places),
    ((7, 7), (5, 5), 2, 3, between_places),
]


@pytest.mark.parametrize("kernel_sides, sides, stride, padding, way", ONE_MATMUL)
def test_some_convolutions_become_one_matmul(kernel_sides, sides, stride, padding, way):
    random = np.random.default_rng(6)
    images = random.normal(size=(2, *sides, 2)).astype(np.float32)
    kernel = random.normal(size=(*kernel_sides, 2, 3)).astype(np.float32)
    expected = loop_conv(images, kernel, stride, padding)
    ours = conv2d(images, kernel, stride=stride, padding=padding)
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)
    taken, general = (
        str(jax.make_jaxpr(lambda *a, f=f: f(*a, stride=stride, padding=padding))(images, kernel))
        for f in (conv2d, lambda *a, **k: conv2d_on_cpu(*a, **k))
    )
    assert "conv_general_dilated" not in taken
    assert "conv_general_dilated" in general
    gradient = random.normal(size=expected.shape).astype(np.float32)
    arguments = (stride,) if way is pointwise else (stride, padding)

    @jax.jit
    def pulled(images, kernel, gradient):
        _, pull = jax.vjp(lambda *a: way(*a, *arguments), images, kernel)
        _, pull_theirs = jax.vjp(lambda *a: native_conv(*a, stride, padding), images, kernel)
        return pull(gradient), pull_theirs(gradient)

    for a, b in zip(*pulled(images, kernel, gradient), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_padding_may_exceed_the_kernel():
    images, kernel = np.ones((1, 1, 1, 1), np.float32), np.ones((2, 2, 1, 1), np.float32)
    for padding in (2, 3):
        expected = loop_conv(images, kernel, 1, padding)
        np.testing.assert_array_equal(conv2d(images, kernel, padding=padding), expected)
    images, kernel = images[:, :, :1], np.ones((1, 1, 1, 1), np.float32)
    np.testing.assert_array_equal(
        conv2d(images, kernel, padding=1), loop_conv(images, kernel, 1, 1)
    )


def test_the_published_stem_at_224_px():
    images = np.random.default_rng(1).random((1, 224, 224, 1), np.float32)
    kernel = np.random.default_rng(2).normal(size=(11, 11, 1, 4)).astype(np.float32)
    ours = conv2d(images, kernel, stride=4, padding=2)
    assert ours.shape == (1, 55, 55, 4)
    np.testing.assert_allclose(ours, native_conv(images, kernel, 4, 2), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_both_branches_convolve_alike(dtype, as_on_a_gpu):
    random = np.random.default_rng(3)
    images = jnp.asarray(random.normal(size=(2, 12, 11, 3)), dtype)
    kernel = jnp.asarray(random.normal(size=(5, 5, 3, 4)), dtype)
    native = conv2d(images, kernel, stride=2, padding=1)
    ours = conv2d_on_cpu(images, kernel, 2, 1)
    assert native.shape == ours.shape
    assert native.dtype == ours.dtype == dtype
    tolerance = 1e-4 if dtype == jnp.float32 else 0.05
    np.testing.assert_allclose(
        native.astype(jnp.float32), ours.astype(jnp.float32), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("branch", [conv2d, max_pool])
def test_each_backend_takes_its_own_branch(branch, monkeypatch):
    arguments = (jnp.ones((1, 7, 7, 1)),) + ((jnp.ones((3, 3, 1, 1)),) if branch is conv2d else ())
    for backend, own_gradient in (("cpu", True), ("gpu", False), ("tpu", False)):
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        traced = str(jax.make_jaxpr(lambda *a: branch(*a))(*arguments))
        assert ("custom_vjp" in traced) == own_gradient


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 3), st.integers(3, 12),
    st.integers(3, 12),
)  # fmt: skip
@settings(deadline=None, max_examples=6, phases=NO_SHRINKING)
def test_pooling_and_gradient_without_ties_equal_xla(seed, window, stride, height, width):
    random = np.random.default_rng(seed)
    # Distinct values, some negative, so that no window has two largest ones.
    images = random.permutation(2 * height * width * 2).astype(np.float32) - height * width
    images = images.reshape(2, height, width, 2)

    def ours(images):
        return max_pool_as_slices(images, window=window, stride=stride)

    def theirs(images):
        return native_pool(images, window, stride)

    @jax.jit
    def value_and_gradient(images, gradient):
        results = []
        for pool in (ours, theirs):
            value, pull = jax.vjp(pool, images)
            results.append((value, *pull(gradient)))
        return results

    out = jax.eval_shape(theirs, images).shape
    gradient = random.integers(-4, 5, out).astype(np.float32)
    for a, b in zip(*value_and_gradient(images, gradient), strict=True):
        np.testing.assert_array_equal(a, b)


def test_pooling_by_hand():
    images = np.arange(25, dtype=np.float32).reshape(1, 5, 5, 1)
    assert max_pool(images)[0, :, :, 0].tolist() == [[12, 14], [22, 24]]
    assert max_pool(-images)[0, :, :, 0].tolist() == [[0, -2], [-10, -12]]
    # With a side of 6, windows start only at 0 and 2, so the last row and column are left out.
    assert max_pool(np.pad(images, ((0, 0), (0, 1), (0, 1), (0, 0)))).shape == (1, 2, 2, 1)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_padding_is_never_the_largest(backend, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    images = -np.arange(1, 26, dtype=np.float32).reshape(1, 5, 5, 1)  # zeros would be larger
    assert max_pool(images, padding=1)[0, :, :, 0].tolist() == [
        [-1, -2, -4], [-6, -7, -9], [-16, -17, -19],
    ]  # fmt: skip
    gradient = jax.jit(jax.grad(lambda x: max_pool(x, padding=1).sum()))(images)
    wanted = np.zeros(25)
    wanted[[0, 1, 3, 5, 6, 8, 15, 16, 18]] = 1
    np.testing.assert_array_equal(gradient.ravel(), wanted)


def test_the_first_of_equal_values_gets_the_gradient():
    images, factors = np.ones((1, 5, 5, 1), np.float32), np.arange(1.0, 5).reshape(2, 2, 1)
    gradient = jax.jit(jax.grad(lambda x: (max_pool_as_slices(x) * factors).sum()))
    wanted = np.zeros((5, 5))
    wanted[0, 0], wanted[0, 2], wanted[2, 0], wanted[2, 2] = 1, 2, 3, 4
    np.testing.assert_array_equal(gradient(images)[0, :, :, 0], wanted)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_both_branches_pool_alike(dtype, as_on_a_gpu):
    images = jnp.asarray(np.random.default_rng(4).permutation(2 * 9 * 8).reshape(1, 9, 8, 2), dtype)
    native = max_pool(images)
    assert native.dtype == dtype
    np.testing.assert_array_equal(
        native.astype(jnp.float32), max_pool_as_slices(images).astype(jnp.float32)
    )
    gradient = jax.grad(lambda x: max_pool(x).astype(jnp.float32).sum())(images)
    assert float(gradient.astype(jnp.float32).sum()) == native.size


def test_gradients_are_the_same_inside_a_scan():
    random = np.random.default_rng(5)
    images = random.normal(size=(3, 2, 9, 9, 2)).astype(np.float32)
    kernel = random.normal(size=(3, 3, 2, 4)).astype(np.float32)

    def loss(kernel, images):
        return (max_pool(conv2d(images, kernel, stride=2, padding=1)) ** 2).sum()

    def scanned(kernel):
        total, _ = lax.scan(lambda sum, x: (sum + loss(kernel, x), None), jnp.zeros(()), images)
        return total

    together = jax.jit(jax.grad(scanned))(kernel)
    gradient = jax.jit(jax.grad(loss))
    alone = sum(np.asarray(gradient(kernel, one)) for one in images)
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4)
