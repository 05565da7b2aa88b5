"""Whether onnxruntime or jax runs a model. No jax here: a server may start without it."""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from sketchjax.errors import ConfigError, DataError
from sketchjax.export.folder import is_exported
from sketchjax.models.card import model_file, read_model_file


def reason_for_jax(path: Path, *, wanted: bool = False) -> str | None:
    """Why jax has to run a model, in words; None where onnxruntime does.

    path: a model file, the workdir of a run, or a folder of `sketchjax export`.
    wanted: whether onnxruntime was asked for, and not only the default.
    Raises ConfigError or DataError instead of giving a reason where it was asked for;
    CheckpointError for what cannot be read.
    """
    needed = ("onnxruntime",) if is_exported(path) else ("onnxruntime", "onnx")
    if missing := [name for name in needed if find_spec(name) is None]:
        if wanted:
            raise ConfigError(f"--encoder onnx needs {missing[0]}: pip install 'sketchjax[export]'")
        return f"{missing[0]} is not installed"
    if not wanted and _has_accelerator():
        return "it may have an accelerator"
    if is_exported(path):
        return None
    from sketchjax.export.onnx_graph import check_exportable

    try:
        check_exportable(read_model_file(model_file(path))[1])
    except DataError as error:
        if wanted:
            raise
        return str(error)
    return None


def _has_accelerator() -> bool:
    """Whether jax has a plugin for one, and was not asked to leave it alone."""
    if os.environ.get("JAX_PLATFORMS", "").lower() == "cpu":
        return False
    plugins = find_spec("jax_plugins") or find_spec("libtpu") or entry_points(group="jax_plugins")
    return bool(plugins)
