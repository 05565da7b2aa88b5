"""A model as a folder that others read, in the layout of model hubs: written whole or not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from sketchjax.errors import CheckpointError, DataError, on_disk
from sketchjax.export.card import model_card
from sketchjax.export.description import FORMAT, Description
from sketchjax.files import sha256, sync_folder, write_whole
from sketchjax.models import card as cards
from sketchjax.models.card import read_model_file
from sketchjax.tensors import save_tensors

WEIGHTS, GRAPH, CONFIG, README = "model.safetensors", "encoder.onnx", "config.json", "README.md"


def export(source: Path, folder: Path, *, half: bool = False) -> Description:
    """Write the folder of a model, whole or not at all.

    source: a model file, the workdir of a finished run, or another such folder.
    folder: that is not there yet.
    half: store kernels as float16. The codes are then those of the rounded kernels, in jax as in
      ONNX, and differ from those of the source.
    Raises DataError where the folder is there or the model has no graph; CheckpointError for a
    source that cannot be read.
    """
    from sketchjax.export.onnx_graph import check_exportable, encoder_graph

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} is there already; name another folder, or delete it")
    arrays, card = read_model_file(model_file(source))
    check_exportable(card)
    if half:
        arrays = halved(arrays)
    is_half = any(array.dtype == np.float16 for array in arrays.values())
    found = Description.of(
        card, cards.fingerprint(arrays, card.architecture), "float16" if is_half else "float32"
    )
    partial = folder.with_name(f".{folder.name}.part")
    with on_disk(f"{folder} cannot be written"):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            save_tensors(partial / WEIGHTS, arrays, card, format=cards.FORMAT)
            metadata = {"sketchjax": msgspec.json.encode(found).decode()}
            write_whole(partial / GRAPH, encoder_graph(arrays, card, metadata))
            write_whole(partial / README, model_card(found, source).encode())
            files = {path.name: sha256(path) for path in sorted(partial.iterdir())}
            found = msgspec.structs.replace(found, files=files)
            text = msgspec.json.format(msgspec.json.encode(found), indent=2)
            write_whole(partial / CONFIG, text + b"\n")
            os.replace(partial, folder)
            sync_folder(folder.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return found


def model_file(source: Path) -> Path:
    """The model file of a folder, or the file itself."""
    return source / WEIGHTS if source.is_dir() else source


def halved(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays with kernels as float16: all that have two axes or more.

    Biases, statistics and thresholds are few, and their rounding would shift whole channels.
    Raises DataError where a kernel has a number that float16 cannot hold.
    """
    found = {}
    for name, array in arrays.items():
        with np.errstate(over="ignore"):
            found[name] = array.astype(np.float16) if array.ndim > 1 else array
        if not np.isfinite(found[name]).all():
            raise DataError(f"{name} has numbers beyond 65,504, which float16 cannot hold")
    return found


def read_folder(folder: Path) -> tuple[bytes, Description]:
    """The graph of a folder that `export` wrote, and what config.json says.

    Raises CheckpointError when a file is missing, damaged or of another version.
    """
    try:
        content = (folder / CONFIG).read_bytes()
        graph = (folder / GRAPH).read_bytes()
        found = msgspec.json.decode(content, type=Description)
    except (OSError, msgspec.DecodeError) as error:
        raise CheckpointError(
            f"{folder} is not a folder that sketchjax export wrote ({error})"
        ) from error
    if found.format != FORMAT:
        raise CheckpointError(f"{folder} has the format {found.format!r}, not {FORMAT!r}")
    if sha256(folder / GRAPH) != found.files.get(GRAPH):
        raise CheckpointError(f"{folder / GRAPH} is not what config.json describes; export again")
    return graph, found
