"""2-D convolution and max pooling, chosen by the backend that runs them.

On a GPU both are XLA's own. On a CPU, XLA's gradient of a convolution is slow, and inside
`lax.scan` it is another 150 times slower (5x5, 48 to 128 channels, 16x16, batch 64: 19 s per step).
XLA's forward pass is fast in both cases. So on a CPU the gradient with respect to the images is a
forward pass with the flipped kernel, and the gradient with respect to the kernel is a sum of
matmuls over shifted slices. The first layer of most networks, a wide kernel over one to three
channels, would make those matmuls thin and the slices costly: there, one product is for several
neighbouring places, see `_wide_kernel_gradient`.

Alternatives that were slower, measured on a whole training step of AlexNet (64 px, batch 64, two
cores; 375 sketches/s with this file):

  - All slices side by side and one matmul, forward and backward: 300 sketches/s. The same only for
    kernels below 5x5: 330.
  - XLA's own gradient of the pooling, as of any strided slice: 40 ms of a step's 190.

XLA's forward pass has one slow case, the first layer of many photo encoders: an odd number of
channels above 1 to 17 to 32 features (3 to 24, 11x11, 64 px, batch 64: 168 ms; 3 to 16 takes 30 and
3 to 64 takes 28). One channel of zeros added makes it 16 ms.

Two kinds of convolution become one matmul on a CPU; a ResNet at small sizes has many of both. A 1x1
convolution then takes two thirds of XLA's time. A kernel larger than the image is where XLA breaks
down (3x3, 256 to 256 channels, 2x2, batch 64, forward and backward: 128 ms, as a matmul 4.6 ms).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

LAYOUT = ("NHWC", "HWIO", "NHWC")

# Up to this many kernel columns, one matmul handles a whole kernel row. Beyond it each kernel
# position has its own, because the slices side by side no longer fit the cache.
NARROW = 3
# From this many kernel columns on, and with fewer channels than columns, neighbouring places share
# one product, as many as give it about this number of columns: fewer make it thin, and of more,
# most lies under no place. 11x11 to 24 features, 64 px, batch 64, two cores: 84 ms to 29 for 3
# channels, 12 to 9 for one; 5x5 gains nothing.
WIDE = 7
PRODUCT_COLUMNS = 256


def conv2d(images: jax.Array, kernel: jax.Array, *, stride: int = 1, padding: int = 0) -> jax.Array:
    """Cross-correlate images with a kernel: f[b (h + 2 padding - i) // stride + 1, ..., o].

    images: f[b h w c].
    kernel: f[i j c o].
    stride: of both axes, by default 1.
    padding: zeros added on each of the four sides, by default none.
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
    """`conv2d` with a 1x1 kernel, as one matmul over all positions."""
    images = images[:, ::stride, ::stride]
    flat = images.reshape(-1, images.shape[-1]) @ kernel[0, 0]
    return flat.reshape(*images.shape[:3], -1)


def between_places(
    images: jax.Array, kernel: jax.Array, stride: int = 1, padding: int = 0
) -> jax.Array:
    """`conv2d` as a dense layer from all positions of the image to all of the result.

    Arguments are those of `conv2d`, with a padding smaller than the sides of the kernel.
    """
    height, width, channels = images.shape[1:]
    rows, columns = (
        (size + 2 * padding - own) // stride + 1
        for size, own in zip((height, width), kernel.shape[:2], strict=True)
    )
    # For each position of the result: the part of the kernel that covers the image, else zeros.
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
    """XLA's convolution with a gradient that is fast on a CPU; works on every backend."""
    return _forward(images, kernel, stride, padding)[0]


def _forward(images, kernel, stride, padding):
    residuals = images, kernel
    channels, features = kernel.shape[2:]
    if channels > 1 and channels % 2 and 16 < features <= 32:
        images = jnp.pad(images, ((0, 0), (0, 0), (0, 0), (0, 1)))
        kernel = jnp.pad(kernel, ((0, 0), (0, 0), (0, 1), (0, 0)))
    return _native(images, kernel, stride, padding), residuals


def _backward(stride, padding, residuals, gradient):
    images, kernel = residuals
    return (
        _images_gradient(gradient, kernel, images.shape, stride, padding).astype(images.dtype),
        _kernel_gradient(images, gradient, kernel.shape, stride, padding).astype(kernel.dtype),
    )


conv2d_on_cpu.defvjp(_forward, _backward)


def _images_gradient(gradient, kernel, shape, stride, padding):
    """Gradient of the images: the incoming gradient, spread by `stride`, under the flipped kernel.

    gradient: f[b h' w' o]; shape: of the images, [b h w c].
    """
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    edges = []
    for size, places, own in zip(shape[1:3], gradient.shape[1:3], kernel.shape[:2], strict=True):
        before = own - 1 - padding
        edges.append((before, size - ((places - 1) * stride + 1 + before - own + 1)))
    return lax.conv_general_dilated(
        gradient, turned, (1, 1), edges, lhs_dilation=(stride, stride), dimension_numbers=LAYOUT
    )


def _kernel_gradient(images, gradient, shape, stride, padding):
    """Gradient of the kernel: at each of its positions, the pixels under it times the gradient."""
    rows, columns, channels, features = shape
    images = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    if columns >= WIDE and channels < columns:
        return _wide_kernel_gradient(images, gradient, shape, stride)
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


def _wide_kernel_gradient(images, gradient, shape, stride):
    """`_kernel_gradient` of a wide kernel over few channels, without strided slices of columns.

    Several neighbouring places share a span of pixels. The span times the gradients of all of them
    is one matmul, in which each place has the part of the kernel's row that lies under it.

    images: f[b h w c], padded; gradient: f[b h' w' o]; shape: of the kernel, [i j c o].
    """
    rows, columns, channels, features = shape
    height, width = gradient.shape[1:3]
    spans = -(-width // max(2, PRODUCT_COLUMNS // features))
    places = -(-width // spans)
    step, span = stride * places, stride * (places - 1) + columns
    # Zeros after the last place: of the pixels they are worth nothing, of the gradient they add 0.
    rest = step * (spans - 1) + span - images.shape[2]  # negative where pixels are under no place
    edges = [(0, 0, 0)] * 4
    edges[2] = (0, rest, 0)
    images = lax.pad(images, jnp.zeros((), images.dtype), edges)
    images = jnp.stack([images[:, :, k * step : k * step + span] for k in range(spans)], axis=2)
    images = images.reshape(*images.shape[:3], span * channels)
    gradient = jnp.pad(gradient, ((0, 0), (0, 0), (0, spans * places - width), (0, 0)))
    gradient = gradient.reshape(-1, places * features)
    result = []
    for row in range(rows):
        under = images[:, row : row + stride * (height - 1) + 1 : stride]
        product = under.reshape(-1, span * channels).T @ gradient
        product = product.reshape(span, channels, places, features)
        own = [product[k * stride : k * stride + columns, :, k] for k in range(places)]
        result.append(jnp.stack(own).sum(0))
    return jnp.stack(result)


def max_pool(images: jax.Array, *, window: int = 3, stride: int = 2, padding: int = 0) -> jax.Array:
    """Largest value of each window: f[b h w c] -> f[b h' w' c].

    images: f[b h w c].
    window: side of the window, by default 3.
    stride: between windows, by default 2.
    padding: positions added on each side, below every value; smaller than the window.
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
    """`max_pool` as a maximum of shifted slices, because XLA's gradient is slow on a CPU.

    It reduces rows first, then columns. Where several values tie for the largest, the first in that
    order gets the gradient.
    """
    return _largest(_largest(images, 1, window, stride), 2, window, stride)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _largest(images: jax.Array, axis: int, window: int, stride: int) -> jax.Array:
    """The largest value of each window along one axis."""
    return _largest_forward(images, axis, window, stride)[0]


def _slices(images, axis, window, stride):
    """For each position in a window, the values that all windows have there."""
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
    """Add up the gradients of positions that share a remainder by `stride`, then interleave them.

    Padding between the positions, as XLA's gradient of a slice does, takes ten times as long.
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
    edges[axis] = (0, rest, 0)  # rest: positions that no window reaches; negative cuts the surplus
    return (lax.pad(joined, jnp.zeros((), joined.dtype), edges),)


_largest.defvjp(_largest_forward, _largest_backward)
