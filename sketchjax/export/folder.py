"""A model as a folder that others read, in the layout of model hubs: written whole or not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np

from sketchjax.errors import CheckpointError, ConfigError, DataError, on_disk
from sketchjax.export import description
from sketchjax.export.card import model_card, read_figures
from sketchjax.export.description import Description
from sketchjax.files import sha256, sync_folder, write_whole
from sketchjax.models.card import FILE, FORMAT, model_file, read_model_file
from sketchjax.tensors import save_tensors

GRAPH, CONFIG, README = "encoder.onnx", "config.json", "README.md"


def export(
    source: Path,
    folder: Path,
    *,
    half: bool = False,
    batches: Sequence[int] = (),
    licence: str | None = None,
) -> Description:
    """Write the folder of a model, whole or not at all.

    source: a model file, the workdir of a finished run, or another such folder.
    folder: that is not there yet.
    half: store kernels as float16. The codes are then those of the rounded kernels, in jax as in
      ONNX, and a few of them differ from those of the source.
    batches: sizes for each of which a program of `jax.export` is written.
    licence: of the weights, for the model card.
    Raises DataError where the folder is there or the model has no graph; ConfigError for a batch
    below 1; CheckpointError for a source that cannot be read.
    """
    from sketchjax.export.onnx_graph import check_exportable, encoder_graph

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} is there already; name another folder, or delete it")
    if wrong := [batch for batch in batches if batch < 1]:
        raise ConfigError(f"--jax-batch {wrong[0]}: must be at least 1")
    arrays, card = read_model_file(model_file(source))
    check_exportable(card)
    arrays = halved(arrays) if half else arrays
    found = Description.of(card, arrays)
    written_card = model_card(folder.resolve().name, found, read_figures(source), licence)
    metadata = {"sketchjax": msgspec.json.encode(found).decode()}
    graph = encoder_graph(arrays, card, metadata)
    with on_disk(f"{folder} cannot be written"), _whole(folder) as partial:
        save_tensors(partial / FILE, arrays, card, format=FORMAT)
        write_whole(partial / GRAPH, graph)
        write_whole(partial / README, written_card.encode())
        for batch in batches:
            write_whole(partial / f"encoder-{batch}.jax", _program(partial, batch))
        files = {path.name: sha256(path) for path in sorted(partial.iterdir())}
        found = msgspec.structs.replace(found, files=files)
        text = msgspec.json.format(msgspec.json.encode(found), indent=2)
        write_whole(partial / CONFIG, text + b"\n")
    return found


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A folder to write to, which gets its name when all is written."""
    partial = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        os.replace(partial, folder)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _program(folder: Path, batch: int) -> bytes:
    from sketchjax.export.stablehlo import program
    from sketchjax.retrieval.model import load

    return program(load(folder), batch)


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


def is_exported(path: Path) -> bool:
    """Whether a path is a folder that `export` wrote."""
    return (path / GRAPH).exists()


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
    if found.format != description.FORMAT:
        raise CheckpointError(
            f"{folder} has the format {found.format!r}, not {description.FORMAT!r}; export again"
        )
    if sha256(folder / GRAPH) != found.files.get(GRAPH):
        raise CheckpointError(f"{folder / GRAPH} is not what config.json describes; export again")
    return graph, found
