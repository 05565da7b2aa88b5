"""Whether onnxruntime or jax runs a model. No jax here: a server may start without it."""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from sketchjax.errors import ConfigError, DataError
from sketchjax.export.description import is_exported, read_description
from sketchjax.models.architecture import Architecture
from sketchjax.models.card import model_file, read_model_file


def reason_for_jax(path: Path, *, wanted: bool = False, photos: bool = False) -> str | None:
    """Why jax has to run a model, in words; None where onnxruntime does.

    path: a model file, the workdir of a run, or a folder of `sketchjax export`.
    wanted: whether onnxruntime was asked for, and not only the default.
    photos: whether the photos of a model that has some are encoded too.
    Raises ConfigError or DataError instead of giving a reason where it was asked for;
    CheckpointError for what cannot be read.
    """
    try:
        own = _runnable(path)
    except (ConfigError, DataError) as error:
        if wanted:
            raise
        return str(error)
    if wanted:
        return None
    if photos and own.photo_encoders:
        return "the model reads photos too, and its graph only sketches"
    return "there may be an accelerator" if _has_accelerator() else None


def _runnable(path: Path) -> Architecture:
    """The architecture of a model; raises what keeps onnxruntime from running it."""
    for name in ("onnxruntime", "onnx"):
        if find_spec(name) is None:
            raise ConfigError(f"{name} is not installed: pip install 'sketchjax[export]'")
    if is_exported(path):
        return read_description(path).architecture
    from sketchjax.export.onnx_graph import check_exportable

    card = read_model_file(model_file(path))[1]
    check_exportable(card)
    return card.architecture


def _has_accelerator() -> bool:
    """Whether jax has a plugin for one, and was not asked to leave it alone."""
    if os.environ.get("JAX_PLATFORMS", "").lower() == "cpu":
        return False
    plugins = find_spec("jax_plugins") or find_spec("libtpu") or entry_points(group="jax_plugins")
    return bool(plugins)
