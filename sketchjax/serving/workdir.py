"""The gallery of a finished run as an index in memory, with no step between."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import orjson

from sketchjax.data.folder.record import Records
from sketchjax.data.folder.shards import Shards
from sketchjax.data.sketch import Sketches
from sketchjax.errors import DataError
from sketchjax.index.engine import Description, Items, Scale
from sketchjax.index.memory import Memory
from sketchjax.retrieval.outputs import Encoder, Outputs

SPLIT = "gallery"
_BLOCK = 4096  # drawings encoded at once
Task = Callable[[int], AbstractContextManager[Callable[[int], None]]]


def open_workdir(workdir: Path, encoder: Encoder, task: Task) -> Memory:
    """The gallery of a finished run, encoded by its model.

    The run left the codes, but not the features that order equally near drawings.

    workdir: of the run; its data folder is the one that its config names.
    encoder: the run's model.
    task: shows progress; gets the number of drawings.
    Raises DataError where the run has not finished, or its data folder is missing or damaged.
    """
    with Shards(_data_folder(workdir), SPLIT) as shards:
        if not len(shards):
            raise DataError(f"{shards.folder} has no drawings in its split {SPLIT}")
        categories = shards.manifest.categories
        blocks: list[tuple[Records, Outputs]] = []
        with task(len(shards)) as advance:
            for first in range(0, len(shards), _BLOCK):
                records = shards.read(np.arange(first, min(first + _BLOCK, len(shards))))
                blocks.append((records, encoder.outputs(_sketches(records, categories))))
                advance(len(records.labels))
    features = np.concatenate([outputs.features for _, outputs in blocks])
    scale = Scale.of(features)
    parts = [records for records, _ in blocks]
    lengths = np.concatenate([records.lengths for records in parts])
    items = Items(
        codes=np.concatenate([outputs.codes.packed for _, outputs in blocks]),
        features=scale.bytes_of(features),
        categories=[categories[label] for records in parts for label in records.labels],
        key_ids=np.concatenate([records.key_ids for records in parts]),
        sources=[SPLIT] * len(lengths),
        places=np.concatenate([records.index for records in parts]),
        points=np.concatenate([records.points for records in parts]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        ids=np.arange(len(lengths)),
    )
    description = Description(
        name=workdir.resolve().name,
        model=encoder.fingerprint,
        bits=items.codes.shape[1] * 8,
        features=features.shape[1],
        scale=scale,
        count=len(items),
        snapshot=0,
        categories={},
    )
    return Memory(description, items, read_only=True)


def _data_folder(workdir: Path) -> Path:
    try:
        config = orjson.loads((workdir / "config.json").read_bytes())
        named = config["data.dir"]
        (workdir / "results.json").stat()
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(
            f"{workdir} is neither an index nor the workdir of a finished run; name one, or rerun "
            "the run's command first"
        ) from None
    return Path(named).expanduser() if named else workdir / "data"


def _sketches(records: Records, categories: list[str]) -> Sketches:
    return Sketches(
        points=records.points,
        offsets=records.offsets,
        categories=[categories[label] for label in records.labels],
        key_ids=records.key_ids,
        recognized=np.full(len(records.labels), -1, np.int8),
        places=records.index,
    )
