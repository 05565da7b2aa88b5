"""Losses as loops over sketches and bits, and a random batch to try them on."""

import math

import numpy as np

from sketchjax.losses.loss import LossInputs


def random_inputs(seed, batch=5, bits=4, classes=3):
    random = np.random.default_rng(seed)
    features = random.uniform(size=(batch, bits)).astype(np.float32)
    return LossInputs(
        logits=random.normal(size=(batch, classes)).astype(np.float32) * 3,
        labels=random.integers(0, classes, batch).astype(np.int32),
        features=features,
        activations=random.normal(size=(batch, bits)).astype(np.float32),
        codes=random.integers(0, 2, (batch, bits)).astype(np.float32),
        memory={"centers": random.uniform(size=(classes, bits)).astype(np.float32)},
    )


def loop_cross_entropy(seen):
    total = 0.0
    for row, label in zip(seen.logits.tolist(), seen.labels.tolist(), strict=True):
        total -= row[label] - math.log(sum(math.exp(logit) for logit in row))
    return total / len(seen.labels)


def loop_squares(features, targets):
    """Mean over the sketches, sum over the bits."""
    total = 0.0
    for row, target in zip(features.tolist(), targets.tolist(), strict=True):
        for feature, wanted in zip(row, target, strict=True):
            total += (feature - wanted) ** 2
    return total / len(features)
