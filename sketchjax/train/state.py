"""What training changes, and what a checkpoint holds."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax
from flax import struct

from sketchjax.losses.loss import Memory
from sketchjax.train.stages import Stage
from sketchjax.train.vectors import vectors


class State(struct.PyTreeNode):
    """The state of a stage; it has no device axis.

    step: i32[], steps done in this stage.
    skipped: i32[], how many steps in a row were skipped up to now, as their loss or gradient was
      not finite.
    params: of all parts of the network.
    batch_stats: batch statistics of all parts of the network.
    optimizer: its state for the parts that the stage trains, which it sees as `vectors`.
    memories: what losses remember, by the name of the loss.
    """

    step: jax.Array
    skipped: jax.Array
    params: dict
    batch_stats: dict
    optimizer: optax.OptState
    memories: dict[str, Memory]

    @property
    def variables(self) -> dict:
        """What `Network.apply` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats}


def trained_params(params: dict, stage: Stage) -> dict:
    """The parameters that this stage changes."""
    return {part: params[part] for part in stage.parts if part in params}


def start(
    optimizer: optax.GradientTransformation,
    stage: Stage,
    variables: dict,
    memories: Mapping[str, Memory],
) -> State:
    """The state before the first step of a stage.

    optimizer: of the stage.
    stage: that begins.
    variables: of the network, as the previous stage left them.
    memories: what its losses remember, by the name of the loss.
    """
    params = variables["params"]

    @jax.jit  # one program, not one for each shape of an array
    def begun(trained: dict) -> optax.OptState:
        return optimizer.init(vectors(trained, stage.head_parts))

    return State(
        step=jnp.zeros((), jnp.int32),
        skipped=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        optimizer=begun(trained_params(params, stage)),
        memories=jax.tree.map(jnp.asarray, dict(memories)),
    )
