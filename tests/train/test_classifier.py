"""The linear classifier on fixed features: what it learns, and that a seed decides all of it."""

import numpy as np
import pytest

from sketchjax.train.classifier import _half, fit_classifier


def clouds(count=600, classes=5, width=70):
    """Gaussian clouds whose best linear classifier is known: by the nearest centre."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(classes, width)) * 0.5
    labels = rng.integers(0, classes, count)
    features = centers[labels] + rng.normal(size=(count, width))
    return features.astype(np.float32), labels, centers


def test_it_is_about_as_good_as_the_known_best():
    features, labels, centers = clouds()
    kernel, bias = fit_classifier(features[:400], labels[:400], 5, epochs=60, batch=32)
    held = features[400:]
    best = (((held[:, None] - centers) ** 2).sum(-1).argmin(1) == labels[400:]).mean()
    found = ((held @ kernel + bias).argmax(1) == labels[400:]).mean()
    assert found > best - 0.1
    assert found > 0.6


def test_the_seed_decides():
    features, labels, _ = clouds(100)
    first, again, other = (
        fit_classifier(features, labels, 5, epochs=2, batch=16, seed=seed) for seed in (0, 0, 1)
    )
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert (first[0] != other[0]).any()


def test_fewer_rows_than_a_batch_are_one_step():
    features, labels, _ = clouds(7)
    kernel, bias = fit_classifier(features, labels, 5, epochs=1)
    # The first step of Adam moves every weight that has a gradient by the learning rate.
    assert np.abs(kernel).max() == pytest.approx(1e-3, rel=1e-3)
    assert np.abs(bias).max() == pytest.approx(1e-3, rel=1e-3)


def test_half_of_the_inputs_are_dropped():
    import jax

    coins = np.asarray(_half(jax.random.key(0), (500, 70)))
    assert coins.shape == (500, 70)
    # Six standard deviations of a fair coin.
    assert abs(coins.mean() - 0.5) < 6 * 0.5 / np.sqrt(coins.size)
    assert np.abs(coins.mean(0) - 0.5).max() < 6 * 0.5 / np.sqrt(500)
    assert np.abs(np.corrcoef(coins.T) - np.eye(70)).max() < 6 / np.sqrt(500)
