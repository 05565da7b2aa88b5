"""Class centres against a loop in numpy."""

import numpy as np
import pytest

from sketchjax.errors import DataError
from sketchjax.losses.center import class_centers, first_centers
from sketchjax.losses.loss import Setup, TrainingPart


def part(features, labels, entropy):
    return TrainingPart(
        np.asarray(features, np.float32),
        np.asarray(labels, np.int32),
        np.asarray(entropy, np.float32),
    )


def test_centres_leave_noise_out():
    low, high = np.array([0.2, 0.1]), np.array([0.4, 0.9])
    features = [[0.0, 1.0], [1.0, 0.5], [0.5, 0.5], [0.25, 0.75]]
    parts = [part(features, [0, 0, 0, 1], [0.3, 0.35, 0.5, 0.5])]
    centers = class_centers(parts, low, high, 2)
    # The third sketch is noise for its class, though it would not be for the other.
    assert centers.tolist() == [[0.5, 0.75], [0.25, 0.75]]
    assert centers.dtype == np.float32


def test_the_bounds_are_inclusive():
    low, high = np.array([0.25]), np.array([0.5])
    one, half = np.float32(0.25), np.float32(0.5)
    entropy = [one, half, np.nextafter(one, np.float32(0)), np.nextafter(half, np.float32(1))]
    parts = [part([[1.0], [3.0], [100.0], [100.0]], [0] * 4, entropy)]
    assert class_centers(parts, low, high, 1).tolist() == [[2.0]]


def test_centres_do_not_depend_on_the_order():
    random = np.random.default_rng(0)
    classes, bits, count = 5, 8, 300
    features = random.random((count, bits)).astype(np.float32)
    labels = random.integers(0, classes, count)
    entropy = random.random(count).astype(np.float32)
    low, high = random.uniform(0, 0.3, classes), random.uniform(0.6, 1, classes)
    expected = np.zeros((classes, bits))
    for label in range(classes):
        kept = [
            features[i]
            for i in range(count)
            if labels[i] == label and low[label] <= entropy[i] <= high[label]
        ]
        expected[label] = np.mean(np.array(kept, np.float64), 0)
    order = random.permutation(count)
    for places in (np.arange(count), order):
        parts = (
            part(features[own], labels[own], entropy[own])
            for own in np.array_split(places, [7, 7, 150])
        )
        centers = class_centers(parts, low, high, bits)
        np.testing.assert_allclose(centers, expected, rtol=1e-6)


def test_many_small_numbers_are_summed_in_float64():
    count = 200_000
    features = np.full((count, 1), 0.1, np.float32)
    parts = [part(features, np.zeros(count), np.full(count, 0.5))]
    center = class_centers(parts, np.array([0.0]), np.array([1.0]), 1)
    assert center[0, 0] == np.float32(0.1)


def test_categories_without_a_sketch_are_named():
    low, high = np.array([0.2, 0.2, 0.2]), np.array([0.4, 0.4, 0.4])
    parts = [part([[1.0], [0.0]], [0, 2], [0.3, 0.5])]
    with pytest.raises(DataError, match=r"labels \[1, 2\].*at least 3"):
        class_centers(parts, low, high, 1)


def setup(parts, in_training) -> Setup:
    classes = len(in_training)
    return Setup(
        classes=classes,
        width=2,
        entropy_low=np.full(classes, 0.2),
        entropy_high=np.full(classes, 0.4),
        in_training=np.array(in_training),
        block_share=0.5,
        word_vectors=None,
        train=lambda: iter(parts),
    )


def test_a_category_kept_out_needs_no_sketch():
    parts = [part([[1.0, 0.5], [0.0, 0.5]], [0, 2], [0.3, 0.3])]
    memory = first_centers(setup(parts, [True, False, True]))
    assert list(memory) == ["centers"]
    assert memory["centers"].tolist() == [[1.0, 0.5], [0.0, 0.0], [0.0, 0.5]]
    with pytest.raises(DataError, match=r"labels \[1\]"):
        first_centers(setup(parts, [True, True, True]))
