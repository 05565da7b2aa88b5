"""The two kinds of features that table 2 hashes, written once and read in blocks."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orjson

from sketchjax.config import Config
from sketchjax.data.feed.scan import scan_feed
from sketchjax.files import write_array, write_whole
from sketchjax.paper.shallow.hog import hog_of_split
from sketchjax.retrieval.model import Model


@dataclass(frozen=True)
class FeatureSplit:
    """The features of a split's sketches.

    features: f32[n e], on disk.
    labels: i32[n].
    """

    features: np.ndarray
    labels: np.ndarray


# The features f32[b e] and labels i32[b] of a split, block by block.
Blocks = Callable[[str], Iterable[tuple[np.ndarray, np.ndarray]]]


def hog_blocks(study: Config, folder: Path) -> Blocks:
    """HOG of the sketches of a data folder, as a study's config has it."""
    points, size = study.base.data.points, study.hog_size
    return lambda split: hog_of_split(folder, split, points=points, size=size)


def fused_blocks(model: Model, folder: Path, batch: int) -> Blocks:
    """What a model's head reads of the sketches of a data folder.

    batch: sketches of a block; the last may be shorter.
    """
    forward = jax.jit(model.network.fused)

    def blocks(split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for scan in scan_feed(folder, split, batch=batch, points=model.architecture.points):
            features = np.asarray(forward(model.variables, scan.batch.inputs))
            yield features[scan.mask], scan.batch.label[scan.mask]

    return blocks


def kept_features(
    keep: Path, splits: Iterable[str], blocks: Blocks, made_with: dict[str, Any]
) -> dict[str, FeatureSplit]:
    """The features of some splits, from files under `keep`; made by `blocks` where missing.

    made_with: what decides them; files that were made with something else are replaced.
    """
    about, content = keep / "made_with.json", orjson.dumps(made_with)
    if not about.exists() or about.read_bytes() != content:
        shutil.rmtree(keep, ignore_errors=True)
        write_whole(about, content)
    found = {}
    for split in dict.fromkeys(splits):
        path, labels = keep / f"{split}.f32", keep / f"{split}_labels.npy"
        if not labels.exists():
            _write(path, labels, blocks(split))
        own = np.load(labels)
        found[split] = FeatureSplit(np.memmap(path, np.float32, "r").reshape(len(own), -1), own)
    return found


def _write(path: Path, labels: Path, blocks: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
    """Features as they come, then the labels, which say that the features are complete."""
    all_labels = []
    with path.open("wb") as file:
        for features, own in blocks:
            file.write(np.ascontiguousarray(features, np.float32).tobytes())
            all_labels.append(own)
    write_array(labels, np.concatenate(all_labels))
