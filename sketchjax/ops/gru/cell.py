"""One step of a GRU and its gradient, on f32 states and the projected input of the step.

The gate order in all fused arrays is reset r, update z, candidate n. The reset gate applies after
the recurrent matmul, as in cuDNN, PyTorch and flax.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class GRUWeights(NamedTuple):
    """Weights of one direction, the three gates side by side.

    input_kernel: f[i 3h].
    input_bias: f[3h].
    recurrent_kernel: f[h 3h].
    candidate_bias: f[h], the bias that the reset gate multiplies.
    """

    input_kernel: jax.Array
    input_bias: jax.Array
    recurrent_kernel: jax.Array
    candidate_bias: jax.Array


class Gates(NamedTuple):
    """What the gradient of a step needs from the forward pass, each f[... b h].

    inner: the candidate's recurrent product plus its bias, before the reset gate.
    """

    reset: jax.Array
    update: jax.Array
    new: jax.Array
    inner: jax.Array


def matmul(state: jax.Array, kernel: jax.Array) -> jax.Array:
    """f[... b h] x f[... h g] -> f32[... b g], accumulated in float32 for kernels of any type."""
    return jnp.matmul(state.astype(kernel.dtype), kernel, preferred_element_type=jnp.float32)


def cell(
    state: jax.Array, projected: jax.Array, kernel: jax.Array, bias: jax.Array
) -> tuple[jax.Array, Gates]:
    """One step: the new state f32[b h] and the gates, of one direction or of several.

    state: f32[... b h].
    projected: f[... b 3h], the projected input of the step.
    kernel: f[... h 3h], the recurrent kernel.
    bias: f[... h], the candidate's bias.
    """
    hidden = kernel.shape[-2]
    projected = projected.astype(jnp.float32)
    product = matmul(state, kernel)
    reset, update, candidate = (
        projected[..., start : start + hidden] for start in range(0, 3 * hidden, hidden)
    )
    reset = jax.nn.sigmoid(reset + product[..., :hidden])
    update = jax.nn.sigmoid(update + product[..., hidden : 2 * hidden])
    inner = product[..., 2 * hidden :] + bias.astype(jnp.float32)[..., None, :]
    new = jnp.tanh(candidate + reset * inner)
    return new + update * (state - new), Gates(reset, update, new, inner)


def cell_gradient(
    gradient: jax.Array, previous: jax.Array, gates: Gates, kernel: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The gradient of one step, of one direction or of several.

    gradient: f32[... b h], of the new state.
    previous: f[... b h], the state before the step.
    gates: of the forward pass.
    kernel: f[... h 3h], the recurrent kernel.

    Returns the gradients of the previous state f32[... b h], of the recurrent product f32[... b 3h]
    and of the candidate's input f32[... b h]. For the other two gates the input has the product's
    gradient.
    """
    reset, update, new, inner = (gate.astype(jnp.float32) for gate in gates)
    into_new = gradient * (1 - update) * (1 - new * new)
    into_update = gradient * (previous.astype(jnp.float32) - new) * update * (1 - update)
    into_reset = into_new * inner * reset * (1 - reset)
    product = jnp.concatenate([into_reset, into_update, into_new * reset], -1)
    return gradient * update + matmul(product, kernel.mT), product, into_new
