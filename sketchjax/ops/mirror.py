"""Mirror images, left to right."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sketchjax.data.inputs import Strokes


def mirrored(inputs: Any) -> Any:
    """The mirror images of b drawings or pictures.

    inputs: `Strokes`, whose mirror images have their points as f32; or `Pictures`.
    """
    if isinstance(inputs, Strokes):
        points, length, center = inputs
        return Strokes(
            points * np.array([-1, 1, 1], np.float32),
            length,
            center * np.array([-1, 1], np.float32),
        )
    return jax.tree.map(lambda pixels: pixels[:, :, ::-1], inputs)


def with_mirror_images(inputs: Any) -> Any:
    """The same items, and after them their mirror images: 2 b of them.

    inputs: `Strokes` or `Pictures` of b items.
    """
    return jax.tree.map(lambda *each: jnp.concatenate(each), inputs, mirrored(inputs))


def mean_of_mirror_images(values: jax.Array) -> jax.Array:
    """The mean over an item and its mirror image: f[2b ...], in that order, gives f[b ...]."""
    return values.reshape(2, -1, *values.shape[1:]).mean(0)
