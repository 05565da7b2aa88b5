"""Training of a posterior head's codes, against the average precision of a plain loop."""

import numpy as np
import pytest

from sketchjax.train.classifier import LinearClassifier, fit_classifier
from sketchjax.train.posterior_codes import PosteriorCodes, train_codes


def toy(sketches: int, seed: int, classes: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a classifier that confuses each class with the next one."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, sketches)
    logits = rng.normal(0, 1, (sketches, classes)).astype(np.float32)
    logits[np.arange(sketches), labels] += 2.5
    logits[np.arange(sketches), (labels + 1) % classes] += 1.5
    return logits, labels


def trained_on(begin, logits, labels, *, dropout=0.0, **settings) -> PosteriorCodes:
    """The codes after training on features that are the logits themselves."""
    classes = logits.shape[1]
    same = LinearClassifier(np.eye(classes, dtype=np.float32), np.zeros(classes, np.float32))
    return train_codes(begin, same, logits, labels, dropout=dropout, **settings)


def codes_at_first(classes: int = 6, bits: int = 8, seed: int = 0) -> PosteriorCodes:
    """Random codewords without thresholds: members of a class that are sure share a code."""
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (classes, bits))
    return PosteriorCodes(signs.astype(np.float32), np.zeros(bits, np.float32), np.float32(1))


def mean_average_precision(codes: PosteriorCodes, logits, labels) -> float:
    """The expectation over the order of ties: the mean of 40 random orders."""
    bits = np.asarray(codes.activations(logits)) > 0
    rng, found = np.random.default_rng(0), []
    for query in range(len(bits)):
        others = np.delete(np.arange(len(bits)), query)
        distances = (bits[others] != bits[query]).sum(1)
        for _ in range(40):
            order = np.lexsort((rng.random(len(others)), distances))
            right = labels[others][order] == labels[query]
            precision = np.cumsum(right) / np.arange(1, len(right) + 1)
            found.append(precision[right].mean())
    return float(np.mean(found))


def test_codes_rank_other_sketches_better():
    begin = codes_at_first()
    trained = trained_on(begin, *toy(600, 1), steps=150, batch=96)
    held_out = toy(150, 2)
    before = mean_average_precision(begin, *held_out)
    assert mean_average_precision(trained, *held_out) > before + 0.02


def test_dropout_helps_a_classifier_that_is_too_sure():
    """64 noisy features and 120 sketches: the classifier knows its own by heart."""
    rng = np.random.default_rng(0)
    centers = rng.normal(0, 1, (6, 64))

    def sketches(number: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(number) % 6
        return (centers[labels] + rng.normal(0, 3.5, (number, 64))).astype(np.float32), labels

    features, labels = sketches(120)
    others, labels_of_others = sketches(300)
    classifier = fit_classifier(features, labels, 6, epochs=200, batch=32, learning_rate=0.01)
    assert (np.argmax(classifier.logits(features), 1) == labels).mean() == 1
    logits = classifier.logits(others)
    scores = {}
    for dropout in (0.0, 0.6):
        codes = train_codes(
            codes_at_first(), classifier, features, labels, steps=150, batch=96, dropout=dropout
        )
        scores[dropout] = mean_average_precision(codes, logits, labels_of_others)
    assert scores[0.6] > scores[0.0] + 0.01


def test_one_seed_gives_one_result():
    first, again, other = (
        trained_on(codes_at_first(), *toy(100, 1), steps=5, batch=32, seed=seed, dropout=0.5)
        for seed in (3, 3, 4)
    )
    for own, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(own, same)
    assert not np.array_equal(first.codewords, other.codewords)


def test_codewords_of_classes_without_sketches_stay():
    logits, labels = toy(100, 1)
    logits[:, 4] = -1e4
    begin = codes_at_first()
    trained = trained_on(begin, logits[labels != 4], labels[labels != 4], steps=5, batch=32)
    np.testing.assert_array_equal(trained.codewords[4], begin.codewords[4])
    assert (trained.codewords[3] != begin.codewords[3]).all()
    assert all(np.isfinite(part).all() for part in trained)


@pytest.mark.parametrize("labels, steps", [(np.full(20, 3), 5), (np.arange(20) % 6, 0)])
def test_nothing_to_learn_leaves_codes_as_they_are(labels, steps):
    begin = codes_at_first()
    logits = np.zeros((20, 6), np.float32)
    assert trained_on(begin, logits, labels, steps=steps) is begin


@pytest.mark.parametrize("classes, batch", [(100, 40), (3, 500)])
def test_any_number_of_classes_fills_a_batch(classes, batch):
    logits, labels = toy(400, 1, classes)
    begin = codes_at_first(classes)
    trained = trained_on(begin, logits, labels, steps=2, batch=batch)
    assert not np.array_equal(trained.thresholds, begin.thresholds)


def test_training_asks_every_hundred_steps_whether_to_end():
    asked = []
    logits = np.eye(6, dtype=np.float32).repeat(4, 0)
    labels = np.arange(6).repeat(4)
    trained_on(codes_at_first(), logits, labels, steps=201, check=lambda: asked.append(True))
    assert len(asked) == 3
