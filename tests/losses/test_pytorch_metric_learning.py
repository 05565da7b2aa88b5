"""Metric losses against pytorch-metric-learning, where it is installed (the extra `bench`)."""

import importlib.util

import jax.numpy as jnp
import numpy as np
import pytest

from sketchjax.losses.contrastive import contrastive
from sketchjax.losses.lifted_structure import lifted_structure
from sketchjax.losses.triplet import triplet
from sketchjax.losses.zero_mean import zero_mean
from sketchjax.ops.distances import DISTANCES

if importlib.util.find_spec("pytorch_metric_learning") is None:
    pytest.skip(
        "pytorch-metric-learning is not installed: pip install 'sketchjax[bench]'",
        allow_module_level=True,
    )

import torch
from pytorch_metric_learning import distances, losses, miners, regularizers

THEIRS = {
    "snr": distances.SNRDistance(normalize_embeddings=False),
    "euclidean": distances.LpDistance(normalize_embeddings=False, p=2),
}
KINDS = pytest.mark.parametrize("kind", THEIRS)


def batch(seed=0, each=4, classes=6, width=16):
    """P classes x K sketches, some of them nearly equal."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(classes * each, width)) + random.normal(size=(1, width))
    return features.astype(np.float32), np.repeat(np.arange(classes), each)


def theirs(loss, features, labels, mined=None):
    return float(loss(torch.tensor(features), torch.tensor(labels), mined))


@KINDS
def test_distances_agree(kind):
    features, _ = batch()
    wanted = THEIRS[kind](torch.tensor(features)).numpy()
    np.testing.assert_allclose(DISTANCES[kind](jnp.asarray(features)), wanted, atol=2e-3)


@KINDS
@pytest.mark.parametrize("margins", [(0.0, 1.0), (0.3, 2.5), (1.0, 6.0)])
def test_contrastive_loss_agrees(kind, margins):
    features, labels = batch(1)
    near, far = margins
    loss = losses.ContrastiveLoss(near, far, distance=THEIRS[kind])
    found = contrastive(
        jnp.asarray(features), labels, distance=kind, positive_margin=near, margin=far
    )
    assert float(found) == pytest.approx(theirs(loss, features, labels), rel=1e-4)


@KINDS
@pytest.mark.parametrize("mining, kept", [("all", "all"), ("semi_hard", "semihard")])
def test_triplet_loss_agrees(kind, mining, kept):
    features, labels = batch(2)
    margin = 0.4
    loss = losses.TripletMarginLoss(margin, distance=THEIRS[kind], triplets_per_anchor="all")
    miner = miners.TripletMarginMiner(margin, type_of_triplets=kept, distance=THEIRS[kind])
    mined = miner(torch.tensor(features), torch.tensor(labels))
    found = triplet(jnp.asarray(features), labels, distance=kind, margin=margin, mining=mining)
    assert float(found) == pytest.approx(theirs(loss, features, labels, mined), rel=1e-4)


@KINDS
@pytest.mark.parametrize("margin", [0.5, 2.0])
def test_lifted_structure_loss_agrees(kind, margin):
    features, labels = batch(3)
    loss = losses.LiftedStructureLoss(neg_margin=margin, pos_margin=0, distance=THEIRS[kind])
    found = lifted_structure(jnp.asarray(features), labels, distance=kind, margin=margin)
    assert float(found) == pytest.approx(theirs(loss, features, labels), rel=1e-4)


def test_the_zero_mean_regulariser_agrees():
    features, _ = batch(4)
    wanted = float(regularizers.ZeroMeanRegularizer()(torch.tensor(features)))
    assert float(zero_mean(jnp.asarray(features))) == pytest.approx(wanted, rel=1e-5)
