"""Class centres against a loop in numpy."""

import numpy as np
import pytest

from sketchjax.errors import DataError
from sketchjax.retrieval.encode import Encoded
from sketchjax.train.centers import class_centers


def encoded(features, labels):
    features, labels = np.asarray(features, np.float32), np.asarray(labels, np.int32)
    return Encoded(features, labels, labels, np.arange(len(labels), dtype=np.int32))


def test_by_hand_with_noise_left_out():
    low, high = np.array([0.2, 0.1]), np.array([0.4, 0.9])
    features = [[0.0, 1.0], [1.0, 0.5], [0.5, 0.5], [0.25, 0.75]]
    parts = [(encoded(features, [0, 0, 0, 1]), np.array([0.3, 0.35, 0.5, 0.5], np.float32))]
    centers = class_centers(parts, low, high, 2)
    # The third sketch is scribbled for its class, though it would not be for the other one.
    assert centers.tolist() == [[0.5, 0.75], [0.25, 0.75]]
    assert centers.dtype == np.float32


def test_the_bounds_are_inclusive():
    low, high = np.array([0.25]), np.array([0.5])
    entropy = np.array([0.25, 0.5, np.nextafter(0.25, 0), np.nextafter(0.5, 1)])
    features = [[1.0], [3.0], [100.0], [100.0]]
    assert class_centers([(encoded(features, [0] * 4), entropy)], low, high, 1).tolist() == [[2.0]]


def test_a_stream_in_any_order_against_a_loop():
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
            (encoded(features[part], labels[part]), entropy[part])
            for part in np.array_split(places, [7, 7, 150])
        )
        centers = class_centers(parts, low, high, bits)
        np.testing.assert_allclose(centers, expected, rtol=1e-6)


def test_many_small_numbers_are_summed_in_float64():
    count = 200_000
    features = np.full((count, 1), 0.1, np.float32)
    parts = [(encoded(features, np.zeros(count)), np.full(count, 0.5))]
    center = class_centers(parts, np.array([0.0]), np.array([1.0]), 1)
    assert center[0, 0] == np.float32(0.1)


def test_a_category_without_a_sketch_is_an_error_that_names_it():
    low, high = np.array([0.2, 0.2, 0.2]), np.array([0.4, 0.4, 0.4])
    parts = [(encoded([[1.0], [0.0]], [0, 2]), np.array([0.3, 0.5]))]
    with pytest.raises(DataError, match=r"labels \[1, 2\].*at least 3"):
        class_centers(parts, low, high, 1)
