"""Parameters as vectors for the optimizer, and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sketchjax.train.vectors import as_tree, vectors

HEAD = ("hash", "posterior")
PARAMETERS = {
    "cnn": {"conv": {"kernel": np.arange(12.0, dtype=np.float32).reshape(2, 2, 3)}},
    "hash": {"bias": np.array([20, 21], np.float32), "kernel": np.full((1, 2), 30, np.float32)},
    "posterior": {"codebook": np.full((2, 2), 40, np.float32), "temperature": np.float32(50)},
    "rnn": {"bias": np.array([60, 61, 62], np.float32), "kernel": np.ones((2, 1), np.float32)},
}


def test_each_group_has_its_arrays_one_after_the_other():
    """Kernels are what has more than one axis, but for a codebook; the head has its own groups."""
    found = {name: np.asarray(each).tolist() for name, each in vectors(PARAMETERS, HEAD).items()}
    assert found == {
        "kernels": [*range(12), 1, 1],
        "others": [60, 61, 62],
        "head kernels": [30, 30],
        "head others": [20, 21, 40, 40, 40, 40, 50],
    }


@pytest.mark.parametrize("head_parts", [(), HEAD, tuple(PARAMETERS)])
def test_vectors_become_the_same_tree(head_parts):
    made = as_tree(vectors(PARAMETERS, head_parts), PARAMETERS, head_parts)
    assert jax.tree.structure(made) == jax.tree.structure(PARAMETERS)
    for ours, theirs in zip(jax.tree.leaves(made), jax.tree.leaves(PARAMETERS), strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        np.testing.assert_array_equal(ours, theirs)


def test_half_precision_comes_back_as_it_was():
    scale = np.full(3, 1 + 2**-20, np.float32)
    mixed = {"cnn": {"bias": jnp.ones(2, jnp.bfloat16), "scale": scale}}
    made = as_tree(vectors(mixed, ()), mixed, ())
    assert made["cnn"]["bias"].dtype == jnp.bfloat16
    np.testing.assert_array_equal(made["cnn"]["scale"], scale)
