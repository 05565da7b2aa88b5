"""Several devices, in one process or more: the only module that knows `pmap` and its axis.

The state has no device axis: it goes in and comes out whole, so a checkpoint does not depend on how
many devices wrote it. Batches have a leading device axis for the devices of this process.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Any, cast

import jax
import numpy as np
from jax import lax

from sketchjax.errors import UnavailableError

AXIS = "devices"
WHOLE, SPLIT = None, 0
_DEVICES = "xla_force_host_platform_device_count"  # of XLA_FLAGS


def check_devices() -> None:
    """Raise UnavailableError where jax has no device of the platform that JAX_PLATFORMS names."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        wanted, why = os.environ.get("JAX_PLATFORMS"), " ".join(str(error).split())
        raise UnavailableError(
            f"jax finds no device with JAX_PLATFORMS={wanted}; unset it to use what there is, or "
            "install what this platform needs, such as pip install 'sketchjax[cuda]'"
            f"{f'. jax says: {why}' if why else ''}"
        ) from error


def divide_cpu(devices: int) -> str:
    """Let a CPU be several devices; returns what keeps it from being that many, if anything does.

    XLA shares the work of one operator among its threads, and much of a small network's is too
    small for that; devices run their part of the batch side by side. A number that XLA_FLAGS or
    JAX_NUM_CPU_DEVICES names is left as it is, and so is that of a process in which jax has begun.
    """
    if _DEVICES in os.environ.get("XLA_FLAGS", "") or "JAX_NUM_CPU_DEVICES" in os.environ:
        return ""
    try:
        jax.config.update("jax_num_cpu_devices", devices)
    except RuntimeError:
        if (there := len(jax.local_devices(backend="cpu"))) != devices:
            return (
                f"train.cpu_devices={devices} is not used: this process computed before, and its "
                f"CPU is {there} device{'s' if there > 1 else ''}"
            )
    return ""


def average(tree: Any) -> Any:
    """Mean over the devices of all processes; call it inside `over_devices`."""
    return lax.pmean(tree, AXIS)


def joined(part: jax.Array) -> jax.Array:
    """The arrays f[b ...] of all devices of all processes joined; call it inside `over_devices`."""
    return lax.all_gather(part, AXIS, tiled=True)


def over_devices(
    step: Callable, *, inputs: tuple, outputs: Any, devices: Sequence[Any] | None = None
) -> Callable:
    """Compile a step for every device.

    step: a function of device-local arrays; it may call `average` and `joined`.
    inputs: for each argument, WHOLE (the same on all devices) or SPLIT (a leading device axis).
    outputs: likewise for the results. A WHOLE result must be equal on all devices.
    devices: by default those of all processes.

    When the step averages, wait for the result of a call before making the next one. On a CPU the
    devices are threads, and with fewer cores than devices two calls in flight can deadlock.
    """
    return jax.pmap(step, axis_name=AXIS, in_axes=inputs, out_axes=outputs, devices=devices)


def compile_for(step: Callable, *arguments: Any) -> tuple[Callable, Any]:
    """Compile the result of `over_devices` for arguments like these; also their shardings.

    The compiled step moves no data: call it with arguments that `place` or `place_split` returned.
    """
    compiled = cast(Any, step).lower(*arguments).compile()
    return compiled, compiled.input_shardings[0]


def place(tree: Any, shardings: Any) -> Any:
    """Put a WHOLE argument, the same in every process, where a compiled step expects it."""
    if jax.process_count() == 1:
        return jax.device_put(tree, shardings)

    def put(leaf: Any, sharding: jax.sharding.Sharding) -> jax.Array:
        if isinstance(leaf, jax.Array) and leaf.sharding == sharding:
            return leaf
        # From the host: an array on a device of this process cannot be sent to another process.
        return jax.device_put(np.asarray(leaf), sharding)

    return jax.tree.map(put, tree, shardings)


def hold(tree: Any) -> Any:
    """Put a WHOLE argument on all devices of this process, for all steps that read it."""
    mesh = jax.sharding.Mesh(jax.local_devices(), (AXIS,))
    return jax.device_put(tree, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))


def place_split(tree: Any, shardings: Any) -> Any:
    """Put a SPLIT argument, of which this process holds its part, where a step expects it."""
    if jax.process_count() == 1:
        return tree
    return jax.tree.map(
        lambda leaf, sharding: jax.make_array_from_process_local_data(sharding, leaf),
        tree,
        shardings,
    )


def split(tree: Any, devices: int, axis: int = 0) -> Any:
    """Split an axis of every array into [devices, rest] and move the devices to the front.

    tree: host arrays whose `axis` has n elements.
    devices: how many parts; it must divide n.
    axis: the axis to split, by default the first.

    Device i gets the i-th run of consecutive elements, so an element's place in the whole batch is
    device * (n / devices) + its place on the device.
    """

    def cut(array: np.ndarray) -> np.ndarray:
        shape = array.shape
        parts = array.reshape(*shape[:axis], devices, shape[axis] // devices, *shape[axis + 1 :])
        return np.moveaxis(parts, axis, 0)

    return jax.tree.map(cut, tree)


# --- several processes -----------------------------------------------------------------------


def own_copy(tree: Any) -> Any:
    """Copies of WHOLE arrays on only this process's first device."""
    if jax.process_count() == 1:
        return tree
    return jax.tree.map(lambda leaf: jax.numpy.asarray(np.asarray(leaf)), tree)


def digest(tree: Any) -> str:
    """The sha256 of the names, types, shapes and values of all arrays, as hexadecimal digits."""
    found = hashlib.sha256()
    for path, leaf in jax.tree.leaves_with_path(tree):
        array = np.asarray(leaf)
        found.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}\n".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def gather(tree: Any) -> Any:
    """Host arrays [n ...] of all processes, concatenated: [processes * n ...]."""
    if jax.process_count() == 1:
        return tree
    from jax.experimental.multihost_utils import process_allgather

    def whole(leaf: np.ndarray) -> np.ndarray:
        # As bytes: jax would narrow 64 bits to 32 without a word, and key ids need all of them.
        raw = np.ascontiguousarray(leaf).reshape(*leaf.shape, 1).view(np.uint8)
        everything = np.asarray(process_allgather(raw, tiled=True))
        return np.ascontiguousarray(everything).view(leaf.dtype)[..., 0]

    return jax.tree.map(whole, tree)


def anywhere(flag: bool) -> bool:
    """Whether a flag is set in any process. Every process must ask, and all get one answer."""
    return bool(gather(np.array([flag])).any())
