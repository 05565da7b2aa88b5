"""One step of a GRU and its gradient, on f32 states and the projected input of the step.

Gate order in all fused arrays: reset r, update z, candidate n, with the reset gate applied after
the recurrent matmul (the form of cuDNN, PyTorch and flax).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class GRUWeights(NamedTuple):
    """Weights of one direction, the three gates side by side.

    input_kernel: f[i 3h]; input_bias: f[3h]; recurrent_kernel: f[h 3h];
    candidate_bias: f[h], the bias inside the reset gate's product.
    """

    input_kernel: jax.Array
    input_bias: jax.Array
    recurrent_kernel: jax.Array
    candidate_bias: jax.Array


class Gates(NamedTuple):
    """What the gradient of a step needs of its forward pass, each f[b h].

    inner: the candidate's recurrent product with its bias, before the reset gate.
    """

    reset: jax.Array
    update: jax.Array
    new: jax.Array
    inner: jax.Array


def matmul(state: jax.Array, kernel: jax.Array) -> jax.Array:
    """f[b h] x f[h g] -> f32[b g], accumulated in float32 whatever the kernel's type."""
    return jnp.dot(state.astype(kernel.dtype), kernel, preferred_element_type=jnp.float32)


def cell(
    state: jax.Array, projected: jax.Array, kernel: jax.Array, bias: jax.Array
) -> tuple[jax.Array, Gates]:
    """One step: state f32[b h], projected f[b 3h], kernel f[h 3h], bias f[h] -> state, gates."""
    hidden = kernel.shape[0]
    projected = projected.astype(jnp.float32)
    product = matmul(state, kernel)
    reset = jax.nn.sigmoid(projected[:, :hidden] + product[:, :hidden])
    update = jax.nn.sigmoid(projected[:, hidden : 2 * hidden] + product[:, hidden : 2 * hidden])
    inner = product[:, 2 * hidden :] + bias.astype(jnp.float32)[None]
    new = jnp.tanh(projected[:, 2 * hidden :] + reset * inner)
    return new + update * (state - new), Gates(reset, update, new, inner)


def cell_gradient(
    gradient: jax.Array, previous: jax.Array, gates: Gates, kernel: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The step backwards: gradient f32[b h] of the new state, previous f[b h].

    Returns the gradients of the previous state f32[b h], of the recurrent product f32[b 3h], and
    of the candidate's input f32[b h] (those of the other gates' inputs are the product's).
    """
    reset, update, new, inner = (gate.astype(jnp.float32) for gate in gates)
    into_new = gradient * (1 - update) * (1 - new * new)
    into_update = gradient * (previous.astype(jnp.float32) - new) * update * (1 - update)
    into_reset = into_new * inner * reset * (1 - reset)
    product = jnp.concatenate([into_reset, into_update, into_new * reset], -1)
    return gradient * update + matmul(product, kernel.T), product, into_new
