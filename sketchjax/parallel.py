"""Several devices: the one place that knows `pmap` and the name of its axis.

The state has no device axis: it goes in and comes out whole, so a checkpoint does not know how
many devices wrote it. Batches have a leading device axis.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax

AXIS = "devices"
WHOLE, SPLIT = None, 0


def average(tree: Any) -> Any:
    """Mean over the devices, inside `over_devices`."""
    return lax.pmean(tree, AXIS)


def over_devices(
    step: Callable, *, inputs: tuple, outputs: Any, devices: Sequence[Any] | None = None
) -> Callable:
    """Compile step for every device.

    inputs: for each argument WHOLE (the same on all devices) or SPLIT (cut along a leading
    device axis); outputs likewise; what comes back WHOLE must be equal on all devices.
    devices: all of this process, where none are named.

    Wait for what a call gives before the next one when the step averages: on a CPU the devices
    are threads, and with fewer cores than devices two calls on the way at once lock each other up.
    """
    return jax.pmap(step, axis_name=AXIS, in_axes=inputs, out_axes=outputs, devices=devices)


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
