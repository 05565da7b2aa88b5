"""Several devices, in one process or more: the one place that knows `pmap` and its axis.

The state has no device axis: it goes in and comes out whole, so a checkpoint does not know how
many devices wrote it. Batches have a leading device axis, of the devices of this process.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import jax
import numpy as np
from jax import lax

AXIS = "devices"
WHOLE, SPLIT = None, 0

# A process that is gone is known by its silence, and the others end within a minute.
_SILENCE_SECONDS = 30


def average(tree: Any) -> Any:
    """Mean over the devices of all processes, inside `over_devices`."""
    return lax.pmean(tree, AXIS)


def joined(part: jax.Array) -> jax.Array:
    """The arrays f[b ...] of all devices of all processes as one, inside `over_devices`."""
    return lax.all_gather(part, AXIS, tiled=True)


def over_devices(
    step: Callable, *, inputs: tuple, outputs: Any, devices: Sequence[Any] | None = None
) -> Callable:
    """Compile step for every device.

    inputs: for each argument WHOLE (the same on all devices) or SPLIT (cut along a leading
    device axis); outputs likewise; what comes back WHOLE must be equal on all devices.
    devices: those of all processes, where none are named.

    Wait for what a call gives before the next one when the step averages: on a CPU the devices
    are threads, and with fewer cores than devices two calls on the way at once lock each other up.
    """
    return jax.pmap(step, axis_name=AXIS, in_axes=inputs, out_axes=outputs, devices=devices)


def compile_for(step: Callable, *arguments: Any) -> tuple[Callable, Any]:
    """Compile what `over_devices` gave for arguments like these, and where each of them belongs.

    The compiled step moves nothing itself: give it what `place` or `place_split` has placed.
    """
    compiled = cast(Any, step).lower(*arguments).compile()
    return compiled, compiled.input_shardings[0]


def place(tree: Any, shardings: Any) -> Any:
    """Put a WHOLE argument, the same in every process, where a compiled step wants it."""
    if jax.process_count() == 1:
        return jax.device_put(tree, shardings)

    def put(leaf: Any, sharding: jax.sharding.Sharding) -> jax.Array:
        if isinstance(leaf, jax.Array) and leaf.sharding == sharding:
            return leaf
        # From the host: what lies on a device of this process cannot be sent to another's.
        return jax.device_put(np.asarray(leaf), sharding)

    return jax.tree.map(put, tree, shardings)


def place_split(tree: Any, shardings: Any) -> Any:
    """Put a SPLIT argument, of which this process has its own part, where a step wants it."""
    if jax.process_count() == 1:
        return tree
    return jax.tree.map(
        lambda leaf, sharding: jax.make_array_from_process_local_data(sharding, leaf),
        tree,
        shardings,
    )


def split(tree: Any, devices: int, axis: int = 0) -> Any:
    """Cut `axis` of every array into [devices, rest] and move the devices to the front.

    Device i gets the i-th run of consecutive elements, so that an element's place in the whole
    batch is device * (n / devices) + its place on the device.
    """

    def cut(array: np.ndarray) -> np.ndarray:
        shape = array.shape
        parts = array.reshape(*shape[:axis], devices, shape[axis] // devices, *shape[axis + 1 :])
        return np.moveaxis(parts, axis, 0)

    return jax.tree.map(cut, tree)


# --- several processes -----------------------------------------------------------------------


def join(coordinator: str, processes: int, process: int) -> None:
    """Make this process one of several that train together, before any other use of jax.

    coordinator: HOST:PORT of process 0, which listens there.
    """
    jax.distributed.initialize(
        coordinator,
        num_processes=processes,
        process_id=process,
        heartbeat_timeout_seconds=_SILENCE_SECONDS,
    )


def own_copy(tree: Any) -> Any:
    """Arrays that are whole on all devices, as arrays of this process's first device alone."""
    if jax.process_count() == 1:
        return tree
    return jax.tree.map(lambda leaf: jax.numpy.asarray(np.asarray(leaf)), tree)


def gather(tree: Any) -> Any:
    """Host arrays [n ...] of every process, one after the other: [processes * n ...]."""
    if jax.process_count() == 1:
        return tree
    from jax.experimental.multihost_utils import process_allgather

    return jax.tree.map(lambda leaf: np.asarray(process_allgather(leaf, tiled=True)), tree)


def anywhere(flag: bool) -> bool:
    """Whether a flag is set in any process; every process has to ask, and all get one answer."""
    return bool(gather(np.array([flag])).any())
