"""Small models with random numbers for weights, and drawings that reach every branch of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from flax import traverse_util

from sketchjax.data.feed.batch import pad_points
from sketchjax.data.sketch import Sketches
from sketchjax.data.sources.doodles import sketches
from sketchjax.models.architecture import Architecture, Drawing
from sketchjax.models.network import build
from sketchjax.models.weights import Card, save_weights
from sketchjax.retrieval.drawings import as_sketches

CATEGORIES = ["cat", "clock", "sun"]
TOWER = {"width": 0.06, "stem_stride": 2, "dense_features": 24, "batch_norm": True, "dropout": 0.5}
GRU = {"kind": "bigru", "hidden": 12, "layers": 2, "dropout": 0.0, "implementation": "fused"}
POINTS, SIZE = 24, 48


def architecture_of(encoders: dict, **fields) -> Architecture:
    """A small architecture with these encoders."""
    values = {
        "head": "hash",
        "width": 32,
        "fusion_features": 0,
        "dtype": "float32",
        "drawing": Drawing(SIZE, 1.5, 21.5),
        "points": POINTS,
        "categories": CATEGORIES,
    }
    return Architecture(encoders=encoders, **(values | fields))


def save_random(path: Path, own: Architecture, seed: int = 0, **card) -> Path:
    """Write a model file with weights of a size that keeps all activations near 1."""
    random = np.random.default_rng(seed)
    flat = traverse_util.flatten_dict(build(own).shapes(), sep="/")
    arrays = {}
    for name, leaf in flat.items():
        numbers = random.normal(size=leaf.shape)
        kind = name.rpartition("/")[2]
        if kind == "codebook":
            numbers = np.sign(numbers)
        elif len(leaf.shape) > 1:
            if len(leaf.shape) == 2:  # what all drawings share would hide in what they differ
                numbers -= numbers.mean(0)
            numbers *= np.sqrt(2 / np.prod(leaf.shape[:-1]))
        elif kind == "temperature":
            numbers = 2.0  # no category is certain
        elif kind == "thresholds":
            numbers = random.uniform(-0.8, 0.8, leaf.shape)
        elif kind in ("var", "scale"):
            numbers = random.uniform(0.7, 1.5, leaf.shape)
        else:
            numbers *= 0.1
        arrays[name] = np.asarray(numbers, np.float32)
    variables = traverse_util.unflatten_dict(arrays, sep="/")
    save_weights(path, variables, Card(own, "full", **({"output": "head"} | card)))
    return path


def all_drawings(per_category: int = 9) -> Sketches:
    """Doodles, most of them longer than POINTS, and the shortest drawings there are."""
    short = [
        np.array([[0, 0, 1]], np.uint8),
        np.array([[255, 255, 1], [0, 255, 1]], np.uint8),
        np.array([[7, 0, 0], [7, 0, 0], [7, 255, 1]], np.uint8),
        np.array([[0, 0, 1]] * (POINTS + 9), np.uint8),
        np.stack([np.arange(200), np.arange(200)[::-1], np.zeros(200)], 1).astype(np.uint8),
    ]
    doodles = [sketches(name, per_category, seed=5) for name in CATEGORIES]
    return as_sketches([*short, *doodles])


class GraphRunner:
    """A graph that draws, run as others run `encoder.onnx`."""

    def __init__(self, graph: bytes):
        self._session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    def __call__(self, points: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
        """Codes, features and probabilities of padded points."""
        return self._session.run(None, {"points": points, "lengths": lengths})

    def of(self, drawings: Sketches) -> list[np.ndarray]:
        """The same of drawings, in one batch."""
        return self(*pad_points(drawings.points, drawings.offsets, POINTS))
