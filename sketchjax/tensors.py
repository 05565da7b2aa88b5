"""Named arrays with a description as one safetensors file: whole and unchanged, or refused."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sketchjax.errors import SketchjaxError
from sketchjax.files import write_whole

SUFFIX = ".safetensors"
# One key holds everything: safetensors writes several in a random order, and the same content is to
# give the same bytes.
_KEY = "sketchjax"

About = TypeVar("About", bound=msgspec.Struct)


class _Description(msgspec.Struct, frozen=True):
    """The metadata of a file. sha256: of what it says about the arrays, and of all arrays."""

    format: str
    sha256: str
    about: msgspec.Raw


def save_tensors(
    path: Path, arrays: Mapping[str, np.ndarray], about: msgspec.Struct, *, format: str
) -> None:
    """Write a file, whole or not at all. The same content always gives the same bytes.

    arrays: by name.
    about: what the file says about them.
    format: its name and version.
    """
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    content = msgspec.Raw(msgspec.json.encode(about))
    description = _Description(format, digest(about, arrays), content)
    write_whole(path, save(arrays, {_KEY: msgspec.json.encode(description).decode()}))


def load_tensors(
    path: Path,
    kind: type[About],
    *,
    format: str,
    noun: str,
    error: type[SketchjaxError],
    remedy: str,
) -> tuple[dict[str, np.ndarray], About]:
    """Read what `save_tensors` wrote: the arrays, and what the file says about them.

    kind: of what it says.
    format: that it must have.
    noun: what the file is, in words.
    error: raised when it is missing, damaged or something else.
    remedy: what to do then, in words.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise error(f"there is no {noun} {path}") from None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as problem:
        raise error(f"{path} is not a readable {noun} ({problem}); {remedy}") from problem
    try:
        description = msgspec.json.decode(metadata.get(_KEY, "null"), type=_Description)
        if description.format != format:
            raise ValueError(f"its format is {description.format!r}")
        about = msgspec.json.decode(description.about, type=kind)
    except ValueError as problem:
        raise error(
            f"{path} is not a {noun} of this version of sketchjax ({problem}); {remedy}"
        ) from problem
    # Of what was written: a later version may write the same description in other words.
    if digest(description.about, arrays) != description.sha256:
        raise error(f"{path} is damaged: it is not what was written (its sha256 differs); {remedy}")
    return arrays, about


def digest(about: msgspec.Struct | msgspec.Raw, arrays: Mapping[str, np.ndarray]) -> str:
    """The sha256 of a description and of named arrays, whatever the order of the latter."""
    # The description in the order of its fields: that of encoders is the order a head reads them.
    found = hashlib.sha256(msgspec.json.encode(about))
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).tobytes())
    return found.hexdigest()
