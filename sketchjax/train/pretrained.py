"""The variables that a run starts from: fresh ones, or with trained parts of earlier runs."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sketchjax.config import Config
from sketchjax.errors import CheckpointError, ConfigError
from sketchjax.models.network import Network
from sketchjax.models.table import HEAD
from sketchjax.models.weights import Card, load_weights


def first_variables(network: Network, config: Config) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Fresh variables from the seed, with the parts of `train.pretrained` in place of theirs.

    Also the names of those parts.
    Raises ConfigError when those runs have no trained encoders, or those of another model.
    """
    trained: dict[str, Any] = {}
    if config.train.pretrained:
        trained = load_pretrained(config.train.pretrained, network)
    variables = jax.jit(network.initialise)(jax.random.key(config.seed))
    joined = {name: parts | trained.get(name, {}) for name, parts in variables.items()}
    return joined, tuple(trained.get("params", ()))


def load_pretrained(sources: str, network: Network) -> dict[str, Any]:
    """The trained parts of other runs, by collection, those that this network has.

    sources: separated by commas, each the workdir of a run, which gives its encoders as the stages
      that trained them by themselves left them, or a model file, which gives all parts that were
      trained when it was written.
    Raises ConfigError when they are missing, of another model, or leave an encoder untrained.
    """
    shapes = network.shapes()
    found: dict[str, Any] = {collection: {} for collection in shapes}
    for source in sources.split(","):
        for path in _model_files(Path(source.strip()).expanduser()):
            for collection, parts in _trained(path, shapes).items():
                found[collection] |= parts
    for encoder in network.architecture.encoders:
        if encoder not in found["params"]:
            raise ConfigError(
                f"train.pretrained={sources} has no trained encoder {encoder}; also name a run "
                "that trained one"
            )
    return found


def _model_files(source: Path) -> list[Path]:
    """The model files that a source means: of a workdir, those of stages that read one encoder."""
    if source.suffix == ".safetensors":
        return [source]
    files = sorted((source / "weights").glob("*.safetensors"))
    own = [path for path in files if _load(path)[1].output != HEAD]
    if not own:
        raise ConfigError(
            f"train.pretrained: {source} has no model of a stage that trained one encoder by "
            "itself; give the workdir of a run with such stages, or a model file"
        )
    return own


def _load(path: Path) -> tuple[Any, Card]:
    try:
        return load_weights(path)
    except CheckpointError as error:
        raise ConfigError(
            f"train.pretrained: {error}; give the workdir of a run that trained its encoders by "
            "themselves, or a model file"
        ) from error


def _trained(path: Path, shapes: dict[str, Any]) -> dict[str, Any]:
    """The parts of a model file that were trained when its stage ended."""
    loaded, card = _load(path)
    taken: dict[str, Any] = {}
    for collection, parts in shapes.items():
        there = loaded.get(collection, {})
        own = {part: there[part] for part in card.trained if part in there and part in parts}
        for part, tree in own.items():
            if jax.tree.map(np.shape, tree) != jax.tree.map(np.shape, parts[part]):
                raise ConfigError(
                    f"train.pretrained: {path} holds another model's {part}; give a run with the "
                    "same model.encoders, drawing.size and categories, and for a file of the whole "
                    "network the same head and model.bits"
                )
        taken[collection] = jax.tree.map(jnp.asarray, own)
    return taken
