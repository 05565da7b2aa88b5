"""A model as one safetensors file: its variables, and all that encoding needs in the metadata."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import jax
import msgspec
import numpy as np
from flax import traverse_util
from safetensors import SafetensorError
from safetensors.numpy import load, save

from sketchjax.errors import CheckpointError
from sketchjax.files import safetensors_metadata, write_whole
from sketchjax.models.architecture import Architecture

FORMAT = "sketchjax model 1"


class Card(msgspec.Struct, frozen=True):
    """What a model file says of its variables.

    stage: the stage of training that ended with them; output: what that stage read.
    trained: all parts trained so far, by top-level name; the others are as they were initialised.
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
    """Write a model file, whole or not at all. The same model always gives the same bytes."""
    flat = traverse_util.flatten_dict(jax.device_get(variables), sep="/")
    arrays = {name: np.ascontiguousarray(array) for name, array in sorted(flat.items())}
    metadata = {"format": FORMAT, "model": msgspec.json.encode(card).decode()}
    write_whole(path, save(arrays, metadata))


def load_weights(path: Path) -> tuple[Any, Card]:
    """The variables and the card of a model file.

    Raises CheckpointError when the file is missing, damaged or not a model of sketchjax.
    """
    try:
        content = path.read_bytes()
        arrays = load(content)
    except FileNotFoundError:
        raise CheckpointError(f"there is no model file {path}") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is not a readable model file: {error}") from error
    metadata = safetensors_metadata(content)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is a safetensors file without sketchjax's description of the model; give a "
            "file that a run or Model.save wrote"
        )
    try:
        card = msgspec.json.decode(metadata["model"], type=Card)
    except (msgspec.DecodeError, KeyError) as error:
        raise CheckpointError(f"{path}: its description is damaged: {error}") from error
    return traverse_util.unflatten_dict(arrays, sep="/"), card


def fingerprint(variables: Any, architecture: Architecture) -> str:
    """A sha256 by which the codes of a model are known: of all arrays and the architecture."""
    digest = hashlib.sha256(msgspec.json.encode(architecture, order="sorted"))
    for name, array in sorted(traverse_util.flatten_dict(variables, sep="/").items()):
        array = np.ascontiguousarray(array)
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
