"""A tree of arrays on disk, through orbax: describe it, write it, read it back."""

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

# tensorstore reports a full disk as a ValueError with the number of the error in its text.
_OS_ERROR = re.compile(r"os_error_code='(\d+)'")


def save_arrays(folder: Path, tree: Any) -> None:
    """Write a tree of arrays to a folder that does not exist yet. Raises OSError."""
    with _as_os_error(folder), _checkpointer() as checkpointer:
        checkpointer.save(folder, args=ocp.args.StandardSave(tree))


def load_arrays(folder: Path, like: Any) -> Any:
    """The tree in a folder, with the structure of `like`, on the first device. Raises OSError."""
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    abstract = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), like
    )
    with _as_os_error(folder), _checkpointer() as checkpointer:
        return checkpointer.restore(folder, args=ocp.args.StandardRestore(abstract))


def _checkpointer() -> ocp.Checkpointer:
    """A checkpointer of this process only: by default orbax waits until all processes call it."""
    own = jax.process_index()
    options = ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process{own}"
    )
    handler = ocp.StandardCheckpointHandler(multiprocessing_options=options)
    return ocp.Checkpointer(handler, multiprocessing_options=options)


def describe(tree: Any) -> dict[str, str]:
    """Type and shape of each array by its path in the tree, such as .params['hash']['bias']."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path): f"{np.dtype(leaf.dtype)}{list(leaf.shape)}"
        for path, leaf in leaves
    }


def differences(there: dict[str, str], here: dict[str, str]) -> list[str]:
    """One line for each array in which two descriptions differ."""
    return [
        f"{name}: {there.get(name, 'nothing')} there, {here.get(name, 'nothing')} here"
        for name in sorted({*there, *here})
        if there.get(name) != here.get(name)
    ]


@contextmanager
def _as_os_error(folder: Path) -> Iterator[None]:
    """Raise OSError for what the disk refuses, without anything else on the terminal.

    orbax logs such an error, with its traceback, from three threads before it raises it.
    """
    hook = sys.unraisablehook
    sys.unraisablehook = lambda it: None if _is_closed_loop(it.exc_value) else hook(it)
    logging.getLogger("absl").addFilter(_is_not_raised_too)
    try:
        yield
    except ValueError as error:
        # The filters stay: a thread of orbax may still log, and the run is over anyway.
        if (match := _OS_ERROR.search(str(error))) is None:
            raise
        number = int(match[1])
        raise OSError(number, os.strerror(number), str(folder)) from error
    sys.unraisablehook = hook
    logging.getLogger("absl").removeFilter(_is_not_raised_too)


def _is_closed_loop(error: BaseException | None) -> bool:
    return isinstance(error, RuntimeError) and str(error) == "Event loop is closed"


def _is_not_raised_too(record: logging.LogRecord) -> bool:
    return "_SignalingThread.run() raised" not in record.getMessage()
