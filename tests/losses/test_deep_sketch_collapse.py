"""What Deep Sketch Hashing's objective does to codes, in numpy and without a network.

It follows the formulas as a third party's code states them, with the class sums in float64, and
imports nothing of ours. `pytest -s` prints the table of docs/sketch-photo-losses.md.
"""

import numpy as np
import pytest

PHOTOS, SKETCHES, WORDS = 6, 5, 50  # a class
SEMANTIC, NETWORK, RIDGE = 0.01, 1e-5, 1e-3
ROUNDS = 10


def coins(random, *shape):
    return np.where(random.random(shape) < 0.5, 1.0, -1.0)


def sums(codes, labels, classes):
    """The sum of the codes of each class, and of their products b bᵀ over all."""
    found = np.zeros((classes, codes.shape[1]))
    np.add.at(found, labels, codes)
    return found, codes.T @ codes


def sweep(codes, labels, features, other, semantics, semantic, network):
    """Each bit of all items of one side in turn, in place; a bit without a pull stays."""
    vectors, reader = semantics
    (own, gram), bits = other, codes.shape[1]
    pulls = bits * (2 * own[labels] - own.sum(0)) + network * features
    pulls += semantic * (vectors @ reader)[labels]
    gram = gram + semantic * reader.T @ reader
    for bit in range(bits):
        between = gram[:, bit].copy()
        between[bit] = 0
        pull = pulls[:, bit] - codes @ between
        codes[:, bit] = np.where(pull == 0, codes[:, bit], np.sign(pull))


def codes_of(classes, bits, start, *, semantic=SEMANTIC, network=NETWORK):
    """Photo and sketch codes after some rounds, and the photos' features that they could heed."""
    random = np.random.default_rng(0)
    labels = [np.repeat(np.arange(classes), each) for each in (PHOTOS, SKETCHES)]
    vectors = random.normal(size=(classes, WORDS))
    features = [random.normal(size=(len(own), bits)) for own in labels]
    words = coins(random, classes, bits)
    codes = [
        words[own].copy() if start == "of its class" else coins(random, len(own), bits)
        for own in labels
    ]
    for _ in range(ROUNDS):
        photos, sketches = (sums(*each, classes) for each in zip(codes, labels, strict=True))
        gram = photos[1] + sketches[1] + RIDGE * np.eye(bits)
        reader = np.linalg.solve(gram, (photos[0] + sketches[0]).T @ vectors).T
        for side in (0, 1):
            other = sums(codes[1 - side], labels[1 - side], classes)
            sweep(
                *(codes[side], labels[side], features[side], other),
                *((vectors, reader), semantic, network),
            )
    return codes, labels, features[0]


def measured(classes, bits, start):
    """Different photo codes, the distance of a class to itself, and how many are their nearest."""
    (photos, sketches), (photo_labels, sketch_labels), features = codes_of(classes, bits, start)
    majority = [
        np.where(sums(*side, classes)[0] >= 0, 1, -1)
        for side in ((photos, photo_labels), (sketches, sketch_labels))
    ]
    distances = (bits - majority[1] @ majority[0].T) / 2
    own = distances.diagonal()
    strictly = (distances <= own[:, None]).sum(1) == 1
    return {
        "photo codes": len(np.unique(photos, axis=0)),
        "own distance": own.mean(),
        "nearest": strictly.mean(),
        "dead": int((np.abs(photos.mean(0)) == 1).sum()),
        "heeded": (photos == np.sign(features)).mean(),
    }


STARTS = pytest.mark.parametrize("start", ("of its class", "of its own"))


@STARTS
@pytest.mark.parametrize(
    ("classes", "bits", "least"),
    [
        *((4, 32, 0.2), (8, 32, 0.5), (12, 32, 0.6), (20, 32, 0.6), (20, 64, 0.6)),
        *((125, 32, 0.99), (125, 64, 0.95), (125, 128, 0.9)),
    ],
)
def test_sketches_and_photos_get_opposite_codes(classes, bits, least, start):
    """A class is farther from itself than chance from 8 on, and as far as can be at 125."""
    found = measured(classes, bits, start)
    print(f"{classes:4} classes {bits:4} bits, each code {start}: ", end="")
    print(", ".join(f"{name} {value:.3g}" for name, value in found.items()))
    assert found["own distance"] >= least * bits
    # What is dead is what differs: a bit is 1 in all photos and -1 in all sketches, or neither.
    assert found["dead"] == pytest.approx(found["own distance"], abs=0.1 * bits)
    # Half of the bits agree with features of either sign: the network is not heard.
    assert found["heeded"] == pytest.approx(0.5, abs=0.05)
    if classes <= 12:
        assert found["nearest"] == 1, "a test with few classes does not see it"
    if classes == 125 and (bits < 128 or start == "of its own"):
        assert found["photo codes"] <= 10
        assert found["nearest"] <= 0.02


@STARTS
def test_the_other_terms_change_nothing(start):
    """With λ = γ = 0 the codes are the same but for a few bits, and mostly all."""
    (photos, _), _, _ = codes_of(125, 32, start)
    (others, _), _, _ = codes_of(125, 32, start, semantic=0, network=0)
    assert (photos == others).mean() > 0.99


def test_the_collapsed_codes_cost_less_from_6_classes_on():
    """The pair term of one photo code and its opposite, and of orthogonal codes of the classes."""
    bits = 32
    for classes, collapsed_costs_less in ((4, False), (5, False), (6, True), (125, True)):
        same = 1 / classes
        collapsed = 4 * bits**2 * same
        orthogonal = bits**2 * (1 - same)
        assert (collapsed < orthogonal) == collapsed_costs_less


def test_class_codes_of_the_successor_are_a_majority_vote():
    """Generative Domain-migration Hashing's codes: sign(Y D + 1e-5 F), D from random codes."""
    random = np.random.default_rng(0)
    classes, bits = 20, 16
    labels = np.repeat(np.arange(classes), 5)
    one_hot = np.eye(classes)[labels]
    photos, sketches = coins(random, 100, bits), coins(random, 100, bits)
    inverse = np.linalg.inv(2 * one_hot.T @ one_hot + np.eye(classes))
    codes = np.sign(
        one_hot @ (inverse @ one_hot.T @ (photos + sketches)) + 1e-5 * coins(random, 1, bits)
    )
    votes, _ = sums(photos + sketches, labels, classes)
    decided = votes[labels] != 0
    np.testing.assert_array_equal(codes[decided], np.sign(votes[labels])[decided])
    assert len(np.unique(codes, axis=0)) == classes
