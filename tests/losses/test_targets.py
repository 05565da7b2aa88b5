"""Class targets: the properties that their publications name, and least distances by a loop."""

import itertools

import numpy as np
import pytest
from loss_loops import random_inputs

from sketchjax.losses.targets import class_targets, with_targets

KINDS = ("codebook", "hadamard", "bernoulli")


def distances(targets):
    return [int((a != b).sum()) for a, b in itertools.combinations(targets, 2)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classes, bits", [(1, 8), (4, 16), (55, 24), (130, 64)])
def test_targets_are_codes_and_always_the_same(kind, classes, bits):
    found = class_targets(classes, bits, kind)
    assert found.shape == (classes, bits)
    assert found.dtype == np.int8
    assert {*np.unique(found)} <= {-1, 1}
    class_targets.cache_clear()
    np.testing.assert_array_equal(class_targets(classes, bits, kind), found)
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0] = 0


@pytest.mark.parametrize("classes", [16, 32])
def test_hadamard_rows_differ_in_half_of_the_bits(classes):
    found = distances(class_targets(classes, 16, "hadamard"))
    # A row and its opposite, the 17th onwards, differ in all bits.
    assert {*found} == ({8} if classes == 16 else {8, 16})


def test_further_classes_have_as_many_ones_as_not():
    for classes, bits in ((40, 16), (10, 24)):
        random = class_targets(classes, bits, "hadamard")[32 if bits == 16 else 0 :]
        assert (random.sum(1) == 0).all()
        assert len(np.unique(random, axis=0)) == len(random)


def test_bernoulli_bits_are_fair_coins():
    found = class_targets(500, 64, "bernoulli")
    # Four standard deviations of the mean of 32,000 coins, and of one bit's over 500 classes.
    assert abs(found.mean()) < 4 / np.sqrt(found.size)
    assert np.abs(found.mean(0)).max() < 4.5 / np.sqrt(500)
    assert len(np.unique(found, axis=0)) == 500


def test_the_word_of_a_setting_becomes_its_targets():
    seen = random_inputs(0, bits=8)._replace(settings={"targets": "hadamard", "alpha": 0.5})
    found = with_targets(seen)
    assert found["alpha"] == 0.5
    np.testing.assert_array_equal(found["targets"], class_targets(3, 8, "hadamard"))
