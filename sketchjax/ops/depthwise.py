"""Depthwise 2-D convolution, where each channel has a kernel of its own, chosen by the backend.

On a GPU it is XLA's own. On a CPU, XLA's takes 50 times as long as a sum of shifted images, each
times one number per channel, which XLA turns into one loop. The gradient of the images is such a
sum too. That of the kernel needs a sum over all positions for each of its places: XLA makes one
pass over all images for each, a kernel of our own (`ops.host`) one pass for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from sketchjax.compiled import kernel as compiled
from sketchjax.ops.convolution import LAYOUT
from sketchjax.ops.host import sum_of_two

# Zeros before and after the rows, and the columns.
Padding = tuple[tuple[int, int], tuple[int, int]]


def depthwise(
    images: jax.Array, kernel: jax.Array, *, stride: int = 1, padding: Padding = ((0, 0), (0, 0))
) -> jax.Array:
    """Cross-correlate each channel with its own kernel: f[b h' w' c].

    images: f[b h w c].
    kernel: f[i j 1 c].
    stride: of both axes, by default 1.
    padding: zeros (before, after) the rows and the columns, by default none.
    """
    if jax.default_backend() == "cpu":
        return depthwise_on_cpu(images, kernel, stride, padding)
    return lax.conv_general_dilated(
        images,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=LAYOUT,
        feature_group_count=images.shape[-1],
    )


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise_on_cpu(
    images: jax.Array, kernel: jax.Array, stride: int, padding: Padding
) -> jax.Array:
    """`depthwise` as a sum of shifted images, with a gradient that is fast on a CPU."""
    return _shifted_sum(_padded(images, padding), kernel, stride)


def _forward(images, kernel, stride, padding):
    return depthwise_on_cpu(images, kernel, stride, padding), (images, kernel)


def _backward(stride, padding, residuals, gradient):
    images, kernel = residuals
    under = _padded(images, padding)
    own = _kernel_gradient(under, gradient, kernel.shape, stride)
    (top, _), (left, _) = padding
    wide = _images_gradient(gradient, kernel, under.shape, stride)
    wide = wide[:, top : top + images.shape[1], left : left + images.shape[2]]
    return wide.astype(images.dtype), own[:, :, None].astype(kernel.dtype)


depthwise_on_cpu.defvjp(_forward, _backward)


def _padded(images: jax.Array, padding: Padding) -> jax.Array:
    return jnp.pad(images, ((0, 0), *padding, (0, 0)))


def _shifted_sum(images: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """The convolution without padding."""
    rows, columns = (
        (size - own) // stride * stride + 1
        for size, own in zip(images.shape[1:3], kernel.shape[:2], strict=True)
    )
    total = jnp.zeros((), images.dtype)
    for i, j in _places(kernel):
        total += images[:, i : i + rows : stride, j : j + columns : stride] * kernel[i, j, 0]
    return total


def _places(kernel: jax.Array) -> Iterator[tuple[int, int]]:
    return ((i, j) for i in range(kernel.shape[0]) for j in range(kernel.shape[1]))


def _images_gradient(gradient, kernel, shape, stride):
    """Gradient of the padded images, of this shape.

    The pixels that share a remainder by the stride, in both axes, are one image of their own: the
    incoming gradient under every stride-th number of the flipped kernel. Then they are interleaved.
    """
    sides = [-(-size // stride) for size in shape[1:3]]
    parts = [
        [_part_of_gradient(gradient, kernel[y::stride, x::stride], sides) for x in range(stride)]
        for y in range(stride)
    ]
    if stride == 1:
        return parts[0][0]
    wide = jnp.stack([jnp.stack(row, 3) for row in parts], 2)  # f[b h y w x c]
    wide = wide.reshape(len(gradient), sides[0] * stride, sides[1] * stride, -1)
    return wide[:, : shape[1], : shape[2]]


def _part_of_gradient(gradient, kernel, sides):
    """The gradient under the flipped kernel, in an image of these sides."""
    if not kernel.size:
        return jnp.zeros((len(gradient), *sides, gradient.shape[-1]), gradient.dtype)
    edges = tuple(
        (own - 1, size - places)
        for own, size, places in zip(kernel.shape[:2], sides, gradient.shape[1:3], strict=True)
    )
    # lax.pad, as an edge may be negative: the kernel reaches beyond the image.
    lowest_first = [(0, 0, 0), *((*edge, 0) for edge in edges), (0, 0, 0)]
    wide = lax.pad(gradient, jnp.zeros((), gradient.dtype), lowest_first)
    return _shifted_sum(wide, kernel[::-1, ::-1], 1)


@compiled
def _products(images, gradient, total):
    """Fill total f[i j c]: at each place, the pixels under it times the gradient, summed.

    images: f[b h w c], padded, without rows and columns that the kernel never reaches, so that the
    shapes say what the stride is.
    gradient: f[b h' w' c].
    """
    rows, columns, channels = total.shape
    stride_y = (images.shape[1] - rows) // max(gradient.shape[1] - 1, 1)
    stride_x = (images.shape[2] - columns) // max(gradient.shape[2] - 1, 1)
    total[:] = 0
    one = np.empty(total.shape, np.float32)  # of one picture: shorter sums, smaller errors
    for b in range(gradient.shape[0]):
        one[:] = 0
        for y in range(gradient.shape[1]):
            for x in range(gradient.shape[2]):
                incoming = gradient[b, y, x]
                for i in range(rows):
                    for j in range(columns):
                        pixel = images[b, y * stride_y + i, x * stride_x + j]
                        place = one[i, j]
                        for c in range(channels):
                            place[c] += pixel[c] * incoming[c]
        total += one


_sum_products = sum_of_two("sketchjax_depthwise_products", _products, (4, 4, 3))


def _kernel_gradient(images, gradient, shape, stride):
    """Gradient of a kernel of this shape, f32[i j c]. images: padded."""
    rows, columns, _, channels = shape
    height, width = (stride * (places - 1) for places in gradient.shape[1:3])
    reached = images[:, : height + rows, : width + columns]
    return _sum_products(reached, gradient, (rows, columns, channels))
