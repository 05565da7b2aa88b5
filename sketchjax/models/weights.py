"""The variables of a network as a model file: safetensors with all that encoding needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from sketchjax.models import card as cards
from sketchjax.models.architecture import Architecture
from sketchjax.models.card import FORMAT, Card, read_model_file, widened
from sketchjax.tensors import save_tensors

__all__ = ["FORMAT", "Card", "fingerprint", "load_weights", "save_weights"]


def save_weights(path: Path, variables: Any, card: Card) -> None:
    """Write a model file, whole or not at all. The same model always gives the same bytes.

    variables: of the network, by collection.
    card: what the file says about them.
    """
    save_tensors(path, _flat(jax.device_get(variables)), card, format=FORMAT)


def load_weights(path: Path) -> tuple[Any, Card]:
    """The variables and the card of a model file.

    Raises CheckpointError when the file is missing, damaged, not a model of sketchjax or needs a
    newer version of it.
    """
    arrays, card = read_model_file(path)
    return traverse_util.unflatten_dict(widened(arrays), sep="/"), card


def fingerprint(variables: Any, architecture: Architecture) -> str:
    """The sha256 that identifies a model by its codes: of all arrays and the architecture.

    variables: of the network, by collection.
    architecture: of the network.
    """
    return cards.fingerprint(_flat(variables), architecture)


def _flat(variables: Any) -> dict[str, np.ndarray]:
    """The arrays by their path, such as params/head/kernel."""
    flat = traverse_util.flatten_dict(variables, sep="/")
    return {name: np.asarray(array) for name, array in flat.items()}
