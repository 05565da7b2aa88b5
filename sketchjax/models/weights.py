"""A model as one safetensors file: its variables, and in the metadata all that encoding needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import msgspec
import numpy as np
from flax import traverse_util

from sketchjax.errors import CheckpointError
from sketchjax.models.architecture import Architecture
from sketchjax.tensors import digest, load_tensors, save_tensors

FORMAT = "sketchjax model 1"


class Card(msgspec.Struct, frozen=True):
    """What a model file says about its variables.

    architecture: of the network.
    stage: the stage of training that ended with them.
    output: what that stage read, `head` or an encoder's name.
    trained: all parts trained so far, by top-level name; the others are as initialised.
    data: sha256 of the manifest of the training data.
    versions: of the packages that made it.
    """

    architecture: Architecture
    stage: str = ""
    output: str = ""
    trained: tuple[str, ...] = ()
    data: str = ""
    versions: dict[str, str] = {}


def save_weights(path: Path, variables: Any, card: Card) -> None:
    """Write a model file, whole or not at all. The same model always gives the same bytes.

    variables: of the network, by collection.
    card: what the file says about them.
    """
    save_tensors(path, _flat(jax.device_get(variables)), card, format=FORMAT)


def load_weights(path: Path) -> tuple[Any, Card]:
    """The variables and the card of a model file.

    Raises CheckpointError when the file is missing, damaged or not a model of sketchjax.
    """
    arrays, card = load_tensors(
        path,
        Card,
        format=FORMAT,
        noun="model file",
        error=CheckpointError,
        remedy="copy it again, or give a file that a run or Model.save wrote",
    )
    return traverse_util.unflatten_dict(arrays, sep="/"), card


def fingerprint(variables: Any, architecture: Architecture) -> str:
    """The sha256 that identifies a model by its codes: of all arrays and the architecture.

    variables: of the network, by collection.
    architecture: of the network.
    """
    return digest(architecture, _flat(variables))


def _flat(variables: Any) -> dict[str, np.ndarray]:
    """The arrays by their path, such as params/head/kernel."""
    flat = traverse_util.flatten_dict(variables, sep="/")
    return {name: np.asarray(array) for name, array in flat.items()}
