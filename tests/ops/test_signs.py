"""Signs as codes, exact in the forward pass and passed by in the backward one."""

import jax
import jax.numpy as jnp
import numpy as np

from sketchjax.ops.signs import signs, straight_through


def test_signs_are_cut_above_zero():
    assert signs(jnp.array([-2.0, -0.0, 0.0, 1e-30, 3.0])).tolist() == [-1, -1, -1, 1, 1]
    assert jax.grad(lambda x: signs(x).sum())(jnp.ones(3)).tolist() == [0, 0, 0]


def test_codes_pass_exactly_and_gradients_go_to_the_values():
    values = jnp.array([0.1, -50.0, 1e-8, 3e7], jnp.float32)
    codes = signs(values)
    np.testing.assert_array_equal(straight_through(codes, values), codes)
    slopes = jnp.arange(4.0)
    found = jax.grad(lambda x: (slopes * straight_through(signs(x), x) ** 2).sum())(values)
    np.testing.assert_array_equal(found, 2 * slopes * codes)
