"""From sketches and photos to features: one streaming pass over a split, on all devices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sketchjax.data.feed.batch import Scan
from sketchjax.models.network import Network
from sketchjax.models.table import FUSION, HEAD
from sketchjax.ops.hamming import pack_codes
from sketchjax.parallel import SPLIT, WHOLE, gather, over_devices, own_copy, split
from sketchjax.retrieval.codes import Codes


@dataclass(frozen=True)
class Encoded:
    """What a network makes of n sketches or photos.

    features: f32[n d] of the head; d = 0 for a single encoder's output.
    predictions: i32[n], the most likely categories.
    labels: i32[n].
    places: i64[n], each item's record in its split.
    key_ids: u64[n], what identifies each item.
    entropy: f32[n], image entropy; 0 for pictures.
    instances: i64[n], the photo that each is or draws; -1 where unknown, which is the default.
    """

    features: np.ndarray
    predictions: np.ndarray
    labels: np.ndarray
    places: np.ndarray
    key_ids: np.ndarray
    entropy: np.ndarray
    instances: np.ndarray = field(default=None)  # pyright: ignore[reportAssignmentType]

    def __post_init__(self) -> None:
        if self.instances is None:
            object.__setattr__(self, "instances", np.full(len(self.labels), -1, np.int64))

    def __getitem__(self, items: Any) -> Encoded:
        """Some of the items. items: an array of places, or a mask bool[n]."""
        return Encoded(*(getattr(self, own.name)[items] for own in fields(self)))

    def codes(
        self, threshold: float, *, split: str, categories: Iterable[str], model: str
    ) -> Codes:
        """The codes of these features (SketchMate, eq. 1): a bit is 1 above the threshold.

        threshold: of the head (`models.table.HEADS`).
        split: that was encoded, by `data.inputs.part_name`.
        categories: the name of each label.
        model: fingerprint of the model.
        """
        return Codes(
            pack_codes(binarize(self.features, threshold)),
            self.labels,
            self.key_ids,
            self.places,
            split=split,
            categories=tuple(categories),
            model=model,
            instances=self.instances,
        )


class Encoder:
    """The compiled forward pass of a network for one of its outputs, `head` by default.

    For the output `fusion`, the features are what the head of the sketches reads, and all
    predictions are 0.
    """

    def __init__(self, network: Network, output: str = HEAD):
        def forward(variables, inputs):
            if output == FUSION:
                fused = network.fused(variables, inputs)
                return fused, jnp.zeros(len(fused), jnp.int32)
            found = network.apply(variables, inputs, output)
            features = found.features
            if features is None:
                features = jnp.zeros((*found.logits.shape[:1], 0))
            return features, found.logits.argmax(-1)

        # Each process has its own part of a split: nothing crosses between them here.
        self.devices = jax.local_device_count()
        self._forward = over_devices(
            forward, inputs=(WHOLE, SPLIT), outputs=SPLIT, devices=jax.local_devices()
        )

    def stream(self, variables: Any, scans: Iterable[Scan]) -> Iterator[Encoded]:
        """Encode the steps of a pass, all of one size, which the devices must divide.

        variables: of the network.
        scans: the steps. Masked sketches are padding and left out, so that a remainder is exact on
          any number of devices.

        The device works one step ahead of what is yielded. With several processes, each passes its
        part of a step, and all get the whole of it.
        """
        pending, variables = None, own_copy(variables)
        for scan in scans:
            running = self._forward(variables, split(scan.batch.inputs, self.devices)), scan
            if pending is not None:
                yield _gather(*pending)
            pending = running
        if pending is not None:
            yield _gather(*pending)


def _gather(outputs: Any, scan: Scan) -> Encoded:
    features, predictions = jax.tree.map(
        lambda array: np.asarray(array).reshape(len(scan.mask), *array.shape[2:]), outputs
    )
    places = scan.batch.index.astype(np.int64)
    *arrays, mask = gather(
        (
            features,
            predictions,
            scan.batch.label,
            places,
            scan.key_id,
            scan.entropy,
            scan.instance,
            scan.mask,
        )
    )
    return Encoded(*(array[mask] for array in arrays))


def concatenate(parts: Iterable[Encoded]) -> Encoded:
    """All parts of a stream joined."""
    parts = list(parts)
    return Encoded(
        *(np.concatenate([getattr(part, own.name) for part in parts]) for own in fields(Encoded))
    )


def binarize(features: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """The bits of features f[n d]: bool[n d], feature > threshold."""
    return features > threshold
