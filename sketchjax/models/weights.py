"""Weights of a model as one safetensors file, readable without jax."""

import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from sketchjax.errors import CheckpointError


def save_weights(path: Path, variables: dict[str, Any]) -> None:
    """Write all arrays under their names joined by `/`; whole or not at all."""
    flat = traverse_util.flatten_dict(jax.device_get(variables), sep="/")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file({name: np.ascontiguousarray(array) for name, array in flat.items()}, partial)
    os.replace(partial, path)


def load_weights(path: Path) -> dict[str, Any]:
    """The variables that `save_weights` wrote.

    Raises CheckpointError when the file is missing, cannot be read or is not such a file.
    """
    try:
        return traverse_util.unflatten_dict(load_file(path), sep="/")
    except FileNotFoundError:
        raise CheckpointError(
            f"{path} is not there; a run writes it when the stage of that name is done"
        ) from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is no file of weights: {error}") from error
