"""2-D convolution and max pooling, arranged for the backend that runs them.

On a GPU both are XLA's own. On a CPU, XLA's gradient of a convolution is slow, and inside
`lax.scan` 150 times slower still (5x5, 48 to 128 channels, 16x16, batch 64: 19 s a step); its
forward pass is fast in both. So there the gradient of the pictures is a forward pass too, with the
kernel turned round, and that of the kernel is matmuls of shifted slices. Tried and slower, in a
whole training step of AlexNet (64 px, batch 64, two cores, 375 sketches/s as it is): all slices
side by side times one matmul, forward and backward, 300; that below 5x5 alone, 330; XLA's own
gradient of the pooling, as of any slice with steps, 40 ms of 190.

Two kinds of convolution, of a ResNet at small sizes above all, are one matmul on a CPU: those of
1x1 (two thirds of XLA's time), and those whose kernel is larger than the picture, for which XLA's
way breaks down (3x3, 256 to 256 channels, 2x2, batch 64, forward and backward: 128 ms, so 4.6).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

LAYOUT = ("NHWC", "HWIO", "NHWC")

# Up to this many columns of a kernel, a row of its places is one matmul; beyond, each place has its
# own: the slices side by side no longer fit the cache.
NARROW = 3


def conv2d(images: jax.Array, kernel: jax.Array, *, stride: int = 1, padding: int = 0) -> jax.Array:
    """Cross-correlate images f[b h w c] with kernel f[i j c o]; zero padding on all four sides.

    Returns f[b (h + 2 padding - i) // stride + 1, ..., o].
    """
    if jax.default_backend() != "cpu":
        return _native(images, kernel, stride, padding)
    (height, width), (rows, columns) = images.shape[1:3], kernel.shape[:2]
    if rows == columns == 1 and not padding:
        return pointwise(images, kernel, stride)
    if height < rows and width < columns and padding < min(rows, columns):
        return between_places(images, kernel, stride, padding)
    return conv2d_on_cpu(images, kernel, stride, padding)


def pointwise(images: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """`conv2d` with a kernel of 1x1, as one matmul of all places."""
    images = images[:, ::stride, ::stride]
    flat = images.reshape(-1, images.shape[-1]) @ kernel[0, 0]
    return flat.reshape(*images.shape[:3], -1)


def between_places(
    images: jax.Array, kernel: jax.Array, stride: int = 1, padding: int = 0
) -> jax.Array:
    """`conv2d` as a dense layer from all places of the picture to all of the result.

    padding: less than the kernel's sides.
    """
    height, width, channels = images.shape[1:]
    rows, columns = (
        (size + 2 * padding - own) // stride + 1
        for size, own in zip((height, width), kernel.shape[:2], strict=True)
    )
    # For each place of the result: what of the kernel lies on the picture, zeros elsewhere.
    wide = jnp.pad(kernel, ((height, height), (width, width), (0, 0), (0, 0)))
    to_each = [
        wide[top : top + height, left : left + width]
        for top in range(height + padding, height + padding - stride * rows, -stride)
        for left in range(width + padding, width + padding - stride * columns, -stride)
    ]
    matrix = jnp.stack(to_each, 3).reshape(height * width * channels, -1)
    flat = images.reshape(len(images), -1) @ matrix
    return flat.reshape(-1, rows, columns, kernel.shape[-1])


def _native(images: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    return lax.conv_general_dilated(
        images, kernel, (stride, stride), [(padding, padding)] * 2, dimension_numbers=LAYOUT
    )


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def conv2d_on_cpu(
    images: jax.Array, kernel: jax.Array, stride: int = 1, padding: int = 0
) -> jax.Array:
    """`conv2d` as XLA has it, with a gradient that is fast on a CPU too; works on every backend."""
    return _native(images, kernel, stride, padding)


def _forward(images, kernel, stride, padding):
    return _native(images, kernel, stride, padding), (images, kernel)


def _backward(stride, padding, residuals, gradient):
    images, kernel = residuals
    return (
        _images_gradient(gradient, kernel, images.shape, stride, padding).astype(images.dtype),
        _kernel_gradient(images, gradient, kernel.shape, stride, padding).astype(kernel.dtype),
    )


conv2d_on_cpu.defvjp(_forward, _backward)


def _images_gradient(gradient, kernel, shape, stride, padding):
    """The convolution turned round: gradient f[b h' w' o], its places `stride` apart."""
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    edges = []
    for size, places, own in zip(shape[1:3], gradient.shape[1:3], kernel.shape[:2], strict=True):
        before = own - 1 - padding
        edges.append((before, size - ((places - 1) * stride + 1 + before - own + 1)))
    return lax.conv_general_dilated(
        gradient, turned, (1, 1), edges, lhs_dilation=(stride, stride), dimension_numbers=LAYOUT
    )


def _kernel_gradient(images, gradient, shape, stride, padding):
    """For each place in the kernel, what lay under it in all pictures, times the gradient."""
    rows, columns, channels, features = shape
    images = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    height, width = (stride * (places - 1) + 1 for places in gradient.shape[1:3])
    flat = gradient.reshape(-1, features)
    if columns <= NARROW or channels < columns:  # one channel would make thin matmuls
        images = jnp.concatenate(
            [images[:, :, j : j + width : stride] for j in range(columns)], axis=-1
        )
        under = [images[:, i : i + height : stride] for i in range(rows)]
    else:
        under = [
            images[:, i : i + height : stride, j : j + width : stride]
            for i in range(rows)
            for j in range(columns)
        ]
    products = [one.reshape(-1, one.shape[-1]).T @ flat for one in under]
    return jnp.stack(products).reshape(shape)


def max_pool(images: jax.Array, *, window: int = 3, stride: int = 2, padding: int = 0) -> jax.Array:
    """Largest value of each window: f[b h w c] -> f[b h' w' c].

    padding: places on all four sides that are never the largest; less than the window.
    """
    if padding:
        sides = (padding, padding)
        images = jnp.pad(images, ((0, 0), sides, sides, (0, 0)), constant_values=-jnp.inf)
    if jax.default_backend() != "cpu":
        return lax.reduce_window(
            images,
            -jnp.inf,
            lax.max,
            (1, window, window, 1),
            (1, stride, stride, 1),
            "VALID",
        )
    return max_pool_as_slices(images, window=window, stride=stride)


def max_pool_as_slices(images: jax.Array, *, window: int = 3, stride: int = 2) -> jax.Array:
    """`max_pool` as the largest of shifted slices: XLA's own gradient is slow on a CPU.

    Rows first, then columns: of several values that are the largest of a window, the gradient goes
    to the first in that order.
    """
    return _largest(_largest(images, 1, window, stride), 2, window, stride)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _largest(images: jax.Array, axis: int, window: int, stride: int) -> jax.Array:
    """The largest value of each window along one axis."""
    return _largest_forward(images, axis, window, stride)[0]


def _slices(images, axis, window, stride):
    """For each place in a window, what the windows have there."""
    size = (images.shape[axis] - window) // stride + 1
    return [
        lax.slice_in_dim(images, i, i + (size - 1) * stride + 1, stride, axis)
        for i in range(window)
    ]


def _largest_forward(images, axis, window, stride):
    largest, *others = _slices(images, axis, window, stride)
    for other in others:
        largest = jnp.maximum(largest, other)
    return largest, (images, largest)


def _largest_backward(axis, window, stride, residuals, gradient):
    """Places that are `stride` apart belong together: their gradients are added up, and then laid
    side by side. Padding between them, as XLA's gradient of a slice does, takes ten times as long.
    """
    images, largest = residuals
    size, taken = gradient.shape[axis], jnp.zeros(gradient.shape, bool)
    turns = size + (window - 1) // stride
    sums: list[jax.Array | float] = [0.0] * stride
    for i, values in enumerate(_slices(images, axis, window, stride)):
        here = (values == largest) & ~taken
        taken |= here
        edges = [(0, 0)] * images.ndim
        edges[axis] = (i // stride, turns - size - i // stride)
        sums[i % stride] += jnp.pad(jnp.where(here, gradient, 0), edges)
    shape = (*gradient.shape[:axis], turns, *gradient.shape[axis + 1 :])
    parts = [jnp.broadcast_to(one, shape).astype(gradient.dtype) for one in sums]
    joined = jnp.stack(parts, axis + 1)
    joined = joined.reshape(*shape[:axis], turns * stride, *shape[axis + 1 :])
    rest = images.shape[axis] - turns * stride
    edges = [(0, 0, 0)] * images.ndim
    edges[axis] = (0, rest, 0)  # places that no window reaches, or more than there are
    return (lax.pad(joined, jnp.zeros((), joined.dtype), edges),)


_largest.defvjp(_largest_forward, _largest_backward)
