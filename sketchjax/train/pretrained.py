"""The variables that a run starts from: fresh ones, or with the branches of an earlier run."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sketchjax.config import Config
from sketchjax.errors import CheckpointError, ConfigError
from sketchjax.models.network import Network
from sketchjax.models.weights import load_weights

# What stages 1 and 2 train; none of it depends on the number of bits.
BRANCH_PARTS = ("cnn", "cnn_classifier", "rnn", "rnn_classifier")


def variable_shapes(network: Network, config: Config) -> Any:
    """Shapes and types of the network's variables, at no cost."""
    initialise = partial(network.initialise, points=config.data.points)
    return jax.eval_shape(initialise, jax.random.key(0))


def first_variables(network: Network, config: Config) -> dict[str, Any]:
    """Fresh variables from the seed, with the branches of `train.pretrained` in place of theirs.

    Raises ConfigError when that run has no trained branches, or those of another model.
    """
    branches: dict[str, Any] = {}
    if config.train.pretrained:
        shapes = variable_shapes(network, config)
        branches = load_branches(Path(config.train.pretrained), shapes)
    key = jax.random.key(config.seed)
    variables = jax.jit(network.initialise, static_argnums=1)(key, config.data.points)
    return {name: parts | branches.get(name, {}) for name, parts in variables.items()}


def load_branches(workdir: Path, shapes: dict[str, Any]) -> dict[str, Any]:
    """The trained branches of another run, by collection, when they have these shapes.

    Raises ConfigError when they are missing or of another model.
    """
    path = workdir / "weights" / "rnn.safetensors"
    try:
        loaded = load_weights(path)
    except CheckpointError as error:
        raise ConfigError(
            f"train.pretrained={workdir}: {error}; give the workdir of a run that trained its own "
            "stages cnn and rnn"
        ) from error
    branches: dict[str, Any] = {}
    for collection, parts in shapes.items():
        there = loaded.get(collection, {})
        for part in BRANCH_PARTS:
            if jax.tree.map(np.shape, there.get(part)) != jax.tree.map(np.shape, parts.get(part)):
                raise ConfigError(
                    f"train.pretrained: {path} holds another model's {part}; give a run with the "
                    "same model.cnn, model.rnn, drawing.size and categories"
                )
        own = {part: there[part] for part in BRANCH_PARTS if part in parts}
        branches[collection] = jax.tree.map(jnp.asarray, own)
    return branches
