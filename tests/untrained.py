"""Models that nobody trained, for tests of what is done with a model."""

from pathlib import Path

import jax
import numpy as np

from sketchjax.models.architecture import Architecture
from sketchjax.models.network import build
from sketchjax.models.weights import Card, save_weights


def save_untrained(path: Path, architecture: Architecture, stage: str = "joint") -> Path:
    """Write a model with random weights, scales above 0; returns its file.

    stage: whose head it is said to have.
    """
    random = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: (
            np.abs(random.normal(size=leaf.shape)).astype(np.float32)
            if len(leaf.shape) < 2
            else random.normal(size=leaf.shape).astype(np.float32) / 4
        ),
        build(architecture).shapes(),
    )
    save_weights(path, variables, Card(architecture, stage, "head"))
    return path
