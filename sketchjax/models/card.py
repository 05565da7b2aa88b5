"""A model file as it lies on the disk: arrays by path, and what it says about them. No jax here.

What runs models without jax reads them here; `models.weights` makes a network's variables of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from sketchjax.errors import CheckpointError
from sketchjax.models.architecture import Architecture
from sketchjax.tensors import digest, load_tensors

FORMAT = "sketchjax model 1"
FILE = "model.safetensors"


class Card(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model file says about its variables. Files that lack a field have its default.

    architecture: of the network.
    stage: the stage of training that ended with them.
    output: what that stage read, `head` or an encoder's name.
    trained: all parts trained so far, by top-level name; the others are as initialised.
    data: sha256 of the manifest of the training data.
    versions: of the packages that made it.
    unseen: the categories that were kept out of training, though they have labels.
    """

    architecture: Architecture
    stage: str = ""
    output: str = ""
    trained: tuple[str, ...] = ()
    data: str = ""
    versions: dict[str, str] = {}
    unseen: tuple[str, ...] = ()


def model_file(path: Path) -> Path:
    """The model file of a finished run's workdir or of an exported folder; a file is returned.

    Raises CheckpointError where a folder has none.
    """
    if not path.is_dir():
        return path
    if (path / FILE).exists():
        return path / FILE
    if (path / "model" / FILE).exists():  # of an index, see `index.store`
        reason = f"it is an index, and its model is {path / 'model'}"
    elif (path / "config.json").exists():
        reason = (
            "a run writes it when it finishes; the models of finished stages are in its folder "
            "weights"
        )
    else:
        reason = (
            "give the workdir of a finished run, a model file, or a folder that `sketchjax export` "
            "wrote"
        )
    raise CheckpointError(f"{path} has no {FILE}: {reason}")


def read_model_file(path: Path) -> tuple[dict[str, np.ndarray], Card]:
    """The arrays of a model file, by a path such as params/hash/kernel, and its card.

    An array may be float16, which is a way to store it: a model computes with `widened` arrays.
    Raises CheckpointError when the file is missing, damaged, not a model of sketchjax or needs a
    newer version of it.
    """
    arrays, card = load_tensors(
        path,
        Card,
        format=FORMAT,
        noun="model file",
        error=CheckpointError,
        remedy="copy it again, or give a file that a run or Model.save wrote",
    )
    if unknown := card.architecture.unknown():
        raise CheckpointError(
            f"{path} needs what this version of sketchjax does not have: {'; '.join(unknown)}; "
            "use the version that wrote it, or a newer one"
        )
    return arrays, card


def widened(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays that a model computes with: what is stored as float16 is float32."""
    return {
        name: array.astype(np.float32) if array.dtype == np.float16 else array
        for name, array in arrays.items()
    }


def fingerprint(arrays: Mapping[str, np.ndarray], architecture: Architecture) -> str:
    """The sha256 that identifies a model by its codes: of all arrays and the architecture.

    arrays: by path; how they are stored makes no difference.
    architecture: of the network.
    """
    return digest(architecture, widened(arrays))
