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


def variable_shapes(network: Network, config: Config) -> dict[str, Any]:
    """Shapes and types of the network's variables, at no cost."""
    initialise = partial(network.initialise, points=config.data.points)
    return jax.eval_shape(initialise, jax.random.key(0))


def first_variables(network: Network, config: Config) -> dict[str, Any]:
    """Fresh variables from the seed, with the branches of `train.pretrained` in place of theirs.

    Raises ConfigError when that run has no trained branches, or those of another model.
    """
    key = jax.random.key(config.seed)
    variables = jax.jit(network.initialise, static_argnums=1)(key, config.data.points)
    if not config.train.pretrained:
        return variables
    source = Path(config.train.pretrained) / "weights" / "rnn.safetensors"
    try:
        loaded = load_weights(source)
    except CheckpointError as error:
        raise ConfigError(
            f"train.pretrained={config.train.pretrained}: {error}; give the workdir of a run that "
            "trained its own stages cnn and rnn"
        ) from error
    taken = {
        collection: parts | _branches(loaded.get(collection, {}), parts, source)
        for collection, parts in variables.items()
    }
    return jax.tree.map(jnp.asarray, taken)


def _branches(loaded: dict[str, Any], own: dict[str, Any], source: Path) -> dict[str, Any]:
    """The branches' parts of one collection, when names and shapes are those of our own."""
    for part in BRANCH_PARTS:
        if jax.tree.map(np.shape, loaded.get(part)) != jax.tree.map(np.shape, own.get(part)):
            raise ConfigError(
                f"train.pretrained: {source} holds another model's {part}; give a run with the "
                "same model.cnn, model.rnn, drawing.size and categories"
            )
    return {part: loaded[part] for part in BRANCH_PARTS if part in own}
