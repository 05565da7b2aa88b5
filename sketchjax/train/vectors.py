"""The trained parameters as a few long vectors, which is how the optimizer sees them.

A network has some seventy arrays of parameters. Adam over each of them is a fifth of a training
step's program, and of the time that it takes to compile; over a vector for each group it is next to
nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sketchjax.models.table import CODEBOOK

# Kernels have weight decay; the parts after the encoders may have a learning rate of their own.
HEAD_KERNELS, HEAD_OTHERS = "head kernels", "head others"
KERNELS, OTHERS = "kernels", "others"


def vectors(tree: Any, head_parts: Collection[str]) -> dict[str, jax.Array]:
    """The arrays of each group, one after the other.

    tree: parameters by top-level name, or their gradients.
    head_parts: the parameters after the encoders, by top-level name.
    Returns f[n] for each group that has arrays.
    """
    return {
        group: jnp.concatenate([jnp.ravel(leaf) for leaf in leaves])
        for group, leaves in _grouped(tree, head_parts).items()
    }


def as_tree(vectors: dict[str, jax.Array], like: Any, head_parts: Collection[str]) -> Any:
    """The arrays of vectors, with the names, shapes and types of `like`.

    vectors: f[n] of each group, as `vectors` makes them of such a tree.
    like: parameters by top-level name.
    head_parts: the parameters after the encoders, by top-level name.
    """
    parts = {}
    for group, leaves in _grouped(like, head_parts).items():
        ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
        parts[group] = iter(jnp.split(vectors[group], ends))
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: (
            next(parts[_group(path, leaf, head_parts)]).reshape(leaf.shape).astype(leaf.dtype)
        ),
        like,
    )


def _grouped(tree: Any, head_parts: Collection[str]) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        groups.setdefault(_group(path, leaf, head_parts), []).append(leaf)
    return groups


def _group(path: Any, leaf: Any, head_parts: Collection[str]) -> str:
    """Biases, parameters of normalisation and codewords are no kernels."""
    kernel = leaf.ndim > 1 and path[-1].key != CODEBOOK
    if path[0].key in head_parts:
        return HEAD_KERNELS if kernel else HEAD_OTHERS
    return KERNELS if kernel else OTHERS
