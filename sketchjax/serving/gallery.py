"""Drawings as an index that only this process has: `serve WORKDIR` needs no step between."""

from __future__ import annotations

import numpy as np

from sketchjax.data.sketch import Sketches
from sketchjax.index.engine import Description, Items, Scale
from sketchjax.index.memory import Memory
from sketchjax.index.sources import Source, Task, encode_sources
from sketchjax.retrieval.outputs import Encoder, Outputs


def index_in_memory(name: str, source: Source, encoder: Encoder, task: Task) -> Memory:
    """An index of a source's drawings, encoded now.

    A finished run left the codes of its gallery, but not the features that order equally near
    drawings.

    name: of the index.
    source: of at least one drawing.
    encoder: that encodes them.
    task: shows progress.
    """
    parts: list[tuple[Sketches, Outputs]] = [
        (sketches, outputs) for _, sketches, outputs in encode_sources([source], encoder, task)
    ]
    scale = Scale.of(np.concatenate([outputs.features for _, outputs in parts]))
    items = [Items.of(*part, scale, source.name) for part in parts]
    bits, features = items[0].codes.shape[1] * 8, items[0].features.shape[1]
    description = Description(name, encoder.fingerprint, bits, features, scale, 0, 0, {})
    engine = Memory(description)
    for part in items:
        engine.add(part)
    return engine
