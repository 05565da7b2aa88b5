"""The two kinds of features that table 2 hashes, written once and read in blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from sketchjax import parallel
from sketchjax.config import Config
from sketchjax.data.feed.scan import scan_feed
from sketchjax.data.folder.manifest import Manifest
from sketchjax.files import write_array
from sketchjax.models import network as networks
from sketchjax.models.weights import load_weights
from sketchjax.paper.shallow.hog import hog_of_split


@dataclass(frozen=True)
class Features:
    """features: f32[n e], on the disk; labels: i32[n]."""

    features: np.ndarray
    labels: np.ndarray


def hog_features(study: Config, folder: Path, keep: Path) -> dict[str, Features]:
    """HOG of all sketches that train, are ranked or ask, by split."""
    return _kept(
        keep,
        study.base,
        lambda split: hog_of_split(
            folder, split, points=study.base.data.points, size=study.hog_size
        ),
    )


def deep_features(config: Config, weights: Path, folder: Path, keep: Path) -> dict[str, Features]:
    """What a trained model's hash layer reads of the same sketches, by split."""
    manifest = Manifest.load(folder)
    network = networks.build(
        config,
        classes=len(manifest.categories),
        offset_scale=manifest.offset_scale,
        axis_name=parallel.AXIS,
    )
    variables = load_weights(weights)
    forward = jax.jit(network.fusion_layer)

    def blocks(split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for scan in scan_feed(
            folder, split, batch=config.evaluation.batch_size, points=config.data.points
        ):
            features = np.asarray(forward(variables, scan.batch.points, scan.batch.length))
            yield features[scan.mask], scan.batch.label[scan.mask]

    return _kept(keep, config, blocks)


# The features f32[b e] and labels i32[b] of a split, block by block.
Blocks = Callable[[str], Iterable[tuple[np.ndarray, np.ndarray]]]


def _kept(keep: Path, config: Config, blocks: Blocks) -> dict[str, Features]:
    """Features by split from files beside the study; made by `blocks(split)` where missing."""
    found = {}
    for split in ("train", "gallery", config.evaluation.queries):
        path, labels = keep / f"{split}.f32", keep / f"{split}_labels.npy"
        if not labels.exists():
            _write(path, labels, blocks(split))
        own = np.load(labels)
        found[split] = Features(np.memmap(path, np.float32, "r").reshape(len(own), -1), own)
    return found


def _write(path: Path, labels: Path, blocks: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
    """Features as they come, then the labels: with them the features are whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    all_labels = []
    with path.open("wb") as file:
        for features, own in blocks:
            file.write(np.ascontiguousarray(features, np.float32).tobytes())
            all_labels.append(own)
    write_array(labels, np.concatenate(all_labels))
