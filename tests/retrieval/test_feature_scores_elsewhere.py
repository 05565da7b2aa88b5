"""Scores of float rankings against pytorch-metric-learning's, where it is installed."""

import importlib.util

import numpy as np
import pytest

from sketchjax.retrieval.feature_scores import evaluate_features

if importlib.util.find_spec("pytorch_metric_learning") is None:
    pytest.skip(
        "pytorch-metric-learning is not installed: pip install 'sketchjax[bench]'",
        allow_module_level=True,
    )

import torch
from pytorch_metric_learning.distances import CosineSimilarity, LpDistance, SNRDistance
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN

THEIRS = {
    "snr": SNRDistance(normalize_embeddings=False),
    "euclidean": LpDistance(normalize_embeddings=False),
    "cosine": CosineSimilarity(),
}
NAMES = ("precision_at_1", "r_precision", "mean_average_precision_at_r")


@pytest.mark.parametrize("same", [False, True], ids=["two splits", "one split"])
@pytest.mark.parametrize("kind", THEIRS)
def test_scores_agree(kind, same):
    random = np.random.default_rng(6)
    labels = np.repeat(np.arange(5), 12)
    features = (random.normal(size=(60, 8)) + 2 * np.eye(8)[labels]).astype(np.float32)
    queries, asked = (features, labels) if same else (features[::3] + 0.2, labels[::3])
    calculator = AccuracyCalculator(include=NAMES, knn_func=CustomKNN(THEIRS[kind]))
    wanted = calculator.get_accuracy(
        *map(torch.tensor, (queries, asked, features, labels)), ref_includes_query=same
    )
    found = evaluate_features(
        queries, asked, features, labels, distance=kind, precision_at=(1,), exclude_self=same
    )
    assert found.recall_at[1] == found.precision_at[1]
    assert found.precision_at[1] == pytest.approx(wanted["precision_at_1"], abs=1e-9)
    assert found.r_precision == pytest.approx(wanted["r_precision"], abs=1e-6)
    assert found.map_at_r == pytest.approx(wanted["mean_average_precision_at_r"], abs=1e-6)
    assert 0.1 < found.map_at_r < 0.99
