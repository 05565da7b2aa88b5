"""A model as one safetensors file: its variables, and in the metadata all that encoding needs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import jax
import msgspec
import numpy as np
from flax import traverse_util
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sketchjax.errors import CheckpointError
from sketchjax.files import write_whole
from sketchjax.models.architecture import Architecture

FORMAT = "sketchjax model 1"
# One key holds everything: safetensors writes several in a random order, and the same model is to
# give the same bytes.
_KEY = "sketchjax"


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


class _Description(msgspec.Struct, frozen=True):
    """The metadata of a model file. sha256: of the model and all arrays."""

    format: str
    sha256: str
    model: Card


def save_weights(path: Path, variables: Any, card: Card) -> None:
    """Write a model file, whole or not at all. The same model always gives the same bytes.

    variables: of the network, by collection.
    card: what the file says about them.
    """
    arrays = _flat(jax.device_get(variables))
    description = _Description(FORMAT, _digest(card, arrays), card)
    write_whole(path, save(arrays, {_KEY: msgspec.json.encode(description).decode()}))


def load_weights(path: Path) -> tuple[Any, Card]:
    """The variables and the card of a model file.

    Raises CheckpointError when the file is missing, damaged or not a model of sketchjax.
    """
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError(f"there is no model file {path}") from None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is not a readable model file ({error}); copy it again, or give a file that a "
            "run or Model.save wrote"
        ) from error
    try:
        description = msgspec.json.decode(metadata.get(_KEY, "null"), type=_Description)
        if description.format != FORMAT:
            raise ValueError(f"its format is {description.format!r}")
    except ValueError as error:
        raise CheckpointError(
            f"{path} is not a model of this version of sketchjax ({error}); give a file that a run "
            "or Model.save wrote"
        ) from error
    if _digest(description.model, arrays) != description.sha256:
        raise CheckpointError(
            f"{path} is damaged: it is not what was written (its sha256 differs); copy it again "
            "from where it came from"
        )
    return traverse_util.unflatten_dict(arrays, sep="/"), description.model


def fingerprint(variables: Any, architecture: Architecture) -> str:
    """The sha256 that identifies a model by its codes: of all arrays and the architecture.

    variables: of the network, by collection.
    architecture: of the network.
    """
    return _digest(architecture, _flat(variables))


def _flat(variables: Any) -> dict[str, np.ndarray]:
    """The arrays by their path, such as params/head/kernel, sorted."""
    flat = traverse_util.flatten_dict(variables, sep="/")
    return {name: np.asarray(array, order="C") for name, array in sorted(flat.items())}


def _digest(about: msgspec.Struct, arrays: dict[str, np.ndarray]) -> str:
    # In the order of the fields: that of the encoders is the order in which the head reads them.
    digest = hashlib.sha256(msgspec.json.encode(about))
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).tobytes())
    return digest.hexdigest()
