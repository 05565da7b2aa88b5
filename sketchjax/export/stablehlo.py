"""A model as a program of jax for batches of one size, which runs without flax and sketchjax."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from sketchjax.models.network import Made, Network
from sketchjax.models.table import HEADS
from sketchjax.ops.draw import strokes_of
from sketchjax.ops.precision import in_32_bits
from sketchjax.retrieval.model import Model

PLATFORMS = ("cpu", "cuda")


@in_32_bits
def program(model: Model, batch: int) -> bytes:
    """A serialised `jax.export` of an encoder; `jax.export.deserialize(...).call` runs it.

    model: that makes codes of strokes.
    batch: b, of every call: what draws has a fixed size.

    Called with points u8[b t 3] and lengths i32[b], it returns what the ONNX graph does: codes
    u8[b d/8], features f32[b d] and probabilities f32[b l].
    """
    network, points = _padded(model.network), model.architecture.points
    threshold = HEADS[model.architecture.head].threshold or 0.0

    def encode(points: jax.Array, lengths: jax.Array) -> tuple[jax.Array, ...]:
        found = network.apply(model.variables, strokes_of(points, lengths))
        assert found.features is not None
        bits = (found.features > threshold).reshape(batch, -1, 8)
        codes = (bits << jnp.arange(8, dtype=jnp.uint8)).sum(-1, dtype=jnp.uint8)
        return codes, found.features, jax.nn.softmax(found.logits, axis=-1)

    exported: Any = export.export(jax.jit(encode), platforms=PLATFORMS)(
        jax.ShapeDtypeStruct((batch, points, 3), np.uint8),
        jax.ShapeDtypeStruct((batch,), np.int32),
    )
    return bytes(exported.serialize())


def _padded(network: Network) -> Network:
    """The network without what only a CPU does well: its GRUs compute the padding."""

    def made(encoder: Made) -> Made:
        name, view, make = encoder
        is_fused = getattr(make, "keywords", {}).get("implementation") == "fused"
        return name, view, partial(make, phases=0) if is_fused else make

    layers = network.layers
    return replace(network, layers=layers.clone(encoders=tuple(map(made, layers.encoders))))
