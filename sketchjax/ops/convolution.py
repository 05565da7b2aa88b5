"""2-D convolution and max pooling, arranged for the backend that runs them.

On a GPU both are XLA's own. On a CPU, XLA's gradient of a convolution is slow, and inside
`lax.scan` 150 times slower still (5x5, 48 to 128 channels, 16x16, batch 64: 19 s a step). There
the convolution is shifted slices, concatenated, times one matmul: the same sums in the same
float32, 60 to 80 % of the matmul's own speed, and no penalty inside a scan.
"""

import jax
import jax.numpy as jnp
from jax import lax

LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv2d(images: jax.Array, kernel: jax.Array, *, stride: int = 1, padding: int = 0) -> jax.Array:
    """Cross-correlate images f[b h w c] with kernel f[i j c o]; zero padding on all four sides.

    Returns f[b (h + 2 padding - i) // stride + 1, ..., o].
    """
    if jax.default_backend() != "cpu":
        return lax.conv_general_dilated(
            images, kernel, (stride, stride), [(padding, padding)] * 2, dimension_numbers=LAYOUT
        )
    return conv2d_as_matmul(images, kernel, stride=stride, padding=padding)


def conv2d_as_matmul(
    images: jax.Array, kernel: jax.Array, *, stride: int = 1, padding: int = 0
) -> jax.Array:
    """`conv2d` as shifted slices times one matmul; works on every backend."""
    images = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    if stride > 1:
        images, kernel = _space_to_depth(images, kernel, stride)
    rows, columns, channels, features = kernel.shape
    height, width = images.shape[1] - rows + 1, images.shape[2] - columns + 1
    patches = jnp.concatenate(
        [images[:, i : i + height, j : j + width] for i in range(rows) for j in range(columns)],
        axis=-1,
    )
    flat = patches.reshape(-1, rows * columns * channels)
    out = flat @ kernel.reshape(-1, features)
    return out.reshape(images.shape[0], height, width, features)


def _space_to_depth(
    images: jax.Array, kernel: jax.Array, stride: int
) -> tuple[jax.Array, jax.Array]:
    """Turn a strided convolution into one of stride 1 on stride x stride blocks as channels."""
    batch, height, width, channels = images.shape
    rows, columns, _, features = kernel.shape
    blocks = (-(-rows // stride), -(-columns // stride))
    out = ((height - rows) // stride + 1, (width - columns) // stride + 1)
    cut = [(side + block - 1) * stride for side, block in zip(out, blocks, strict=True)]
    images = jnp.pad(
        images,
        (
            (0, 0),
            (0, max(0, cut[0] - height)),
            (0, max(0, cut[1] - width)),
            (0, 0),
        ),
    )[:, : cut[0], : cut[1]]
    images = images.reshape(
        batch, cut[0] // stride, stride, cut[1] // stride, stride, channels
    ).transpose(0, 1, 3, 2, 4, 5)
    grown = (blocks[0] * stride - rows, blocks[1] * stride - columns)
    kernel = jnp.pad(kernel, ((0, grown[0]), (0, grown[1]), (0, 0), (0, 0)))
    kernel = kernel.reshape(blocks[0], stride, blocks[1], stride, channels, features).transpose(
        0, 2, 1, 3, 4, 5
    )
    return (
        images.reshape(*images.shape[:3], -1),
        kernel.reshape(*blocks, -1, features),
    )


def max_pool(images: jax.Array, *, window: int = 3, stride: int = 2) -> jax.Array:
    """Largest value of each window, no padding: f[b h w c] -> f[b h' w' c]."""
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

    Where several values of a window are the largest, each slice's share of the gradient differs
    from XLA's choice of the first; after a rectifier such ties are zeros, which pass none on.
    """
    height = (images.shape[1] - window) // stride + 1
    width = (images.shape[2] - window) // stride + 1
    rows = _largest(images, 1, height, window, stride)
    return _largest(rows, 2, width, window, stride)


def _largest(images: jax.Array, axis: int, size: int, window: int, stride: int) -> jax.Array:
    slices = [
        lax.slice_in_dim(images, i, i + (size - 1) * stride + 1, stride, axis)
        for i in range(window)
    ]
    largest = slices[0]
    for other in slices[1:]:
        largest = jnp.maximum(largest, other)
    return largest
