"""From sketches to code features: one streaming pass over a split, on all devices."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from sketchjax.data.feed.batch import Batch
from sketchjax.models.network import Network
from sketchjax.parallel import SPLIT, WHOLE, gather, over_devices, own_copy, split


@dataclass(frozen=True)
class Encoded:
    """features: f32[n d] in (0, 1), d = 0 for one branch; predictions, labels, index: i32[n]."""

    features: np.ndarray
    predictions: np.ndarray
    labels: np.ndarray
    index: np.ndarray


class Encoder:
    """The compiled forward pass of a network; one for each choice of branches."""

    def __init__(self, network: Network, branch: str = "whole"):
        def forward(variables, points, length):
            output = network.apply(variables, points, length, branch)
            features = output.features
            if features is None:
                features = jnp.zeros((*length.shape, 0))
            return features, output.logits.argmax(-1)

        # Each process has its own part of a split: nothing crosses between them here.
        self.devices = jax.local_device_count()
        self._forward = over_devices(
            forward,
            inputs=(WHOLE, SPLIT, SPLIT),
            outputs=SPLIT,
            devices=jax.local_devices(),
        )

    def stream(
        self, variables: dict, batches: Iterable[tuple[Batch, np.ndarray]]
    ) -> Iterator[Encoded]:
        """Encode (batch, mask) pairs of one size, a multiple of the devices.

        Where mask is False the sketch is padding and left out, so that a remainder is exact on
        any number of devices. The device works a batch ahead of what is yielded. With several
        processes each gives its part of a step, and all get the whole of it.
        """
        pending, variables = None, own_copy(variables)
        for batch, mask in batches:
            parts = split((batch.points, batch.length), self.devices)
            running = self._forward(variables, *parts), batch, mask
            if pending is not None:
                yield _gather(*pending)
            pending = running
        if pending is not None:
            yield _gather(*pending)


def _gather(outputs, batch: Batch, mask: np.ndarray) -> Encoded:
    features, predictions = jax.tree.map(
        lambda array: np.asarray(array).reshape(len(mask), *array.shape[2:]), outputs
    )
    *arrays, mask = gather((features, predictions, batch.label, batch.index, mask))
    return Encoded(*(array[mask] for array in arrays))


def concatenate(parts: Iterable[Encoded]) -> Encoded:
    """All of a stream as one."""
    parts = list(parts)
    names = ("features", "predictions", "labels", "index")
    return Encoded(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def binarize(features: np.ndarray) -> np.ndarray:
    """The bits of code features f[n d] (SketchMate, eq. 1): bool[n d], feature > 0.5."""
    return features > 0.5
