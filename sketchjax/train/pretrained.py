"""The variables that a run starts from: fresh ones, or with trained parts of earlier runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orjson

from sketchjax.config import Config
from sketchjax.errors import CheckpointError, ConfigError
from sketchjax.fields import home_path
from sketchjax.models.backbone import Backbone
from sketchjax.models.card import model_file, read_model_file
from sketchjax.models.network import Network
from sketchjax.models.pretrained import pretrained_variables
from sketchjax.models.table import CLASSIFIER, HEAD
from sketchjax.models.weights import Card, load_weights
from sketchjax.parallel import digest
from sketchjax.together import agree


def first_variables(network: Network, config: Config) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Fresh variables from the seed, with the parts of `train.pretrained` in place of theirs.

    Before those, encoders whose row has a `pretrained` file or package start from it.
    Also returns the names of the parts of `train.pretrained`.
    Raises ConfigError when a file cannot be read or is of another network, and when those runs have
    no trained encoders, or those of another network.
    """
    trained: dict[str, Any] = {}
    if config.train.pretrained:
        trained = load_pretrained(config.train.pretrained, network)
    # The program runs once: with all optimisations it takes twice as long to compile, for the same
    # bits. Where jax is asked to compile with fewer still, as in the tests, it does.
    fewer = jax.config.values["jax_disable_most_optimizations"]
    options = None if fewer else {"xla_backend_optimization_level": 1}
    key = jax.random.key(config.seed)
    variables = network.initialiser.lower(key).compile(compiler_options=options)(key)
    read = read_encoders(network)
    agree(
        lambda: [trained, read],
        lambda files: {"sha256 of the pretrained weights": digest(files)},
    )
    joined = {
        name: parts | read.get(name, {}) | trained.get(name, {})
        for name, parts in variables.items()
    }
    return joined, tuple(trained.get("params", ()))


def read_encoders(network: Network) -> dict[str, Any]:
    """The parts of encoders whose row names a file or package of weights, by collection."""
    made = (*network.layers.encoders, *network.layers.photo_encoders)
    encoders = {name: make() for name, _, make in made}
    named = {
        name: encoder
        for name, encoder in encoders.items()
        if isinstance(encoder, Backbone) and encoder.pretrained
    }
    if not named:
        return {}
    shapes, found = network.shapes(), dict[str, Any]()
    for name, encoder in named.items():
        own = {collection: parts[name] for collection, parts in shapes.items()}
        for collection, parts in pretrained_variables(encoder, own).items():
            found.setdefault(collection, {})[name] = jax.tree.map(jnp.asarray, parts)
    return found


def load_pretrained(sources: str, network: Network) -> dict[str, Any]:
    """The trained parts of other runs that this network has too, by collection.

    sources: separated by commas. The workdir of a run gives its encoders, each as the stage that
      trained only this encoder left it, or all of them as the last stage left them where none
      trained only one; a model file gives all parts that were trained when it was written. If two
      sources have the same part, the later one counts.
    network: to be trained.
    Raises ConfigError when they are missing, of another network, or leave an encoder untrained.
    """
    shapes = network.shapes()
    found: dict[str, Any] = {collection: {} for collection in shapes}
    for model, names in _given(sources):
        for collection, parts in _taken(model, names, shapes).items():
            found[collection] |= parts
    for encoder in network.architecture.encoders:
        if encoder not in found["params"]:
            raise ConfigError(
                f"train.pretrained={sources} has no trained encoder {encoder}; also name a run "
                "that trained one"
            )
    return found


def check_readable(config: Config) -> None:
    """Raise ConfigError where `train.pretrained` or `train.teacher` has no readable model.

    Preparing the data may take hours, and only then is it known whether a model fits the network.
    """
    if config.train.pretrained:
        for _ in _given(config.train.pretrained):
            pass
    if config.train.teacher:
        try:
            read_model_file(model_file(home_path(config.train.teacher)))
        except CheckpointError as error:
            raise ConfigError(f"train.teacher: {error}") from error


class _Loaded(NamedTuple):
    """A model file, read."""

    path: Path
    variables: dict[str, Any]
    card: Card

    @property
    def own_parts(self) -> tuple[str, str]:
        """The parts of a stage that read one encoder."""
        return self.card.output, f"{self.card.output}_{CLASSIFIER}"


def _given(sources: str) -> Iterator[tuple[_Loaded, tuple[str, ...]]]:
    """The models that `train.pretrained` names, in order, and which parts they give."""
    for source in sources.split(","):
        path = Path(source.strip()).expanduser()
        if path.suffix == ".safetensors":
            model = _load(path)
            yield model, model.card.trained
        else:
            yield from _encoders(path)


def _encoders(workdir: Path) -> list[tuple[_Loaded, tuple[str, ...]]]:
    """The models that a run's encoders come from, in the order of its stages, and which parts."""
    names = _plan(workdir)
    files = sorted((workdir / "weights").glob("*.safetensors"))
    files.sort(key=lambda path: names.index(path.stem) if path.stem in names else -1)
    models = [_load(file) for file in files]
    if not models:
        raise ConfigError(
            f"train.pretrained: {workdir} has no model of a finished stage; give the workdir of a "
            "run that has one, or a model file"
        )
    single = [(model, model.own_parts) for model in models if model.card.output != HEAD]
    last = models[-1]
    trained = tuple(name for name in last.card.architecture.encoders if name in last.card.trained)
    return single or [(last, trained)]


def _plan(workdir: Path) -> list[str]:
    """The names of a run's stages in order; none if its config cannot be read."""
    try:
        return list(orjson.loads((workdir / "config.json").read_bytes())["plan"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _load(path: Path) -> _Loaded:
    try:
        return _Loaded(path, *load_weights(path))
    except CheckpointError as error:
        raise ConfigError(f"train.pretrained: {error}") from error


def _taken(
    model: _Loaded, names: tuple[str, ...], shapes: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Parts of a model, by collection, those that the network to be trained has too.

    names: of the parts to take.
    shapes: of that network.
    """
    taken: dict[str, dict[str, Any]] = {}
    for collection, parts in shapes.items():
        there = model.variables.get(collection, {})
        own = {name: there[name] for name in names if name in there and name in parts}
        for name, tree in own.items():
            if jax.tree.map(np.shape, tree) != jax.tree.map(np.shape, parts[name]):
                raise ConfigError(
                    f"train.pretrained: {model.path} holds another network's {name}; give a run "
                    "with the same model.encoders, drawing.size and categories, and for a file of "
                    "the whole network the same head and model.bits"
                )
        taken[collection] = jax.tree.map(jnp.asarray, own)
    return taken
