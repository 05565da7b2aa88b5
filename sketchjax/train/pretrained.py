"""The variables that a run starts from: fresh ones, or with the parts of earlier runs."""

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sketchjax.config import Config
from sketchjax.errors import CheckpointError, ConfigError
from sketchjax.models.network import Network
from sketchjax.models.two_branch import PARTS
from sketchjax.models.weights import load_weights


def variable_shapes(network: Network, config: Config) -> Any:
    """Shapes and types of the network's variables, at no cost."""
    initialise = partial(network.initialise, points=config.data.points)
    return jax.eval_shape(initialise, jax.random.key(0))


def first_variables(network: Network, config: Config) -> dict[str, Any]:
    """Fresh variables from the seed, with the parts of `train.pretrained` in place of theirs.

    Raises ConfigError when those runs have no trained branches, or those of another model.
    """
    trained: dict[str, Any] = {}
    if config.train.pretrained:
        shapes = variable_shapes(network, config)
        trained = load_pretrained(config.train.pretrained, shapes)
    key = jax.random.key(config.seed)
    variables = jax.jit(network.initialise, static_argnums=1)(key, config.data.points)
    return {name: parts | trained.get(name, {}) for name, parts in variables.items()}


def load_pretrained(sources: str, shapes: dict[str, Any]) -> dict[str, Any]:
    """The trained parts of other runs, by collection, as far as this model has them.

    sources: separated by commas, each the workdir of a run, which gives its branches, or one of its
    files of weights, which gives what was trained when it was written.
    Raises ConfigError when they are missing, of another model, or leave a branch untrained.
    """
    found: dict[str, Any] = {collection: {} for collection in shapes}
    for source in sources.split(","):
        for path in _weights_files(Path(source.strip())):
            for collection, parts in _trained(path, shapes).items():
                found[collection] |= parts
    for branch in ("cnn", "rnn"):
        if branch in shapes["params"] and branch not in found["params"]:
            raise ConfigError(
                f"train.pretrained={sources} has no trained {branch} branch; name a run that "
                "trained one as well"
            )
    return found


def _weights_files(source: Path) -> list[Path]:
    """The files of weights that a source means: of a workdir, what its branches' stages left."""
    if source.suffix == ".safetensors":
        return [source]
    files = [source / "weights" / f"{stage}.safetensors" for stage in ("cnn", "rnn")]
    return [path for path in files if path.exists()] or files[1:]


def _trained(path: Path, shapes: dict[str, Any]) -> dict[str, Any]:
    """The parts of a file of weights that were trained when its stage ended."""
    try:
        loaded = load_weights(path)
    except CheckpointError as error:
        raise ConfigError(
            f"train.pretrained: {error}; give the workdir of a run that trained its own stages "
            "cnn and rnn, or a file of weights"
        ) from error
    # The stage of a branch leaves the other parts as it found them, fresh ones too.
    everything = tuple(dict.fromkeys(itertools.chain(*PARTS.values())))
    names = PARTS[path.stem] if path.stem in ("cnn", "rnn") else everything
    taken: dict[str, Any] = {}
    for collection, parts in shapes.items():
        there = loaded.get(collection, {})
        own = {part: there[part] for part in names if part in there and part in parts}
        for part, tree in own.items():
            if jax.tree.map(np.shape, tree) != jax.tree.map(np.shape, parts[part]):
                raise ConfigError(
                    f"train.pretrained: {path} holds another model's {part}; give a run with the "
                    "same model.cnn, model.rnn, drawing.size and categories, and for a file of the "
                    "whole network the same model.bits and model.recognition_features"
                )
        taken[collection] = jax.tree.map(jnp.asarray, own)
    return taken
