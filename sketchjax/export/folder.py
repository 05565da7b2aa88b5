"""A model as a folder that others read, in the layout of model hubs: written whole or not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from sketchjax.errors import ConfigError, DataError
from sketchjax.export.card import model_card, read_figures
from sketchjax.export.description import CONFIG, GRAPH, Description
from sketchjax.files import check_absent, sha256, whole_folder, write_whole
from sketchjax.models.card import FILE, FORMAT, model_file, read_model_file
from sketchjax.tensors import save_tensors

README = "README.md"


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
    folder: that is not there yet, or is empty.
    half: store kernels as float16. The codes are then those of the rounded kernels, in jax as in
      ONNX, and a few of them differ from those of the source.
    batches: sizes for each of which a program of `jax.export` is written.
    licence: of the weights, for the model card.
    Raises DataError where the folder is there or the model has no graph; ConfigError for a batch
    below 1; CheckpointError for a source that cannot be read; InUseError where another process
    writes the folder; DiskError.
    """
    from sketchjax.export.onnx_graph import check_exportable, encoder_graph

    check_absent(folder)
    if wrong := [batch for batch in batches if batch < 1]:
        raise ConfigError(f"--jax-batch {wrong[0]}: must be at least 1")
    arrays, card = read_model_file(model_file(source))
    check_exportable(card)
    arrays = halved(arrays) if half else arrays
    found = Description.of(card, arrays)
    written_card = model_card(folder.resolve().name, found, read_figures(source), licence)
    metadata = {"sketchjax": msgspec.json.encode(found).decode()}
    graph = encoder_graph(arrays, card, metadata)
    with whole_folder(folder) as partial:
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
