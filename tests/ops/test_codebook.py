"""Codebooks against the least distances that are known, counted pair by pair."""

import itertools
import time

import numpy as np
import pytest

import sketchjax
from sketchjax.errors import ConfigError
from sketchjax.ops.codebook import assign, codebook, least_distance
from sketchjax.ops.codebook.bounds import most_words
from sketchjax.ops.codebook.families import families, hadamard, has_hadamard

# (bits, fewest and most classes, least distance): docs/objectives.md.
CELLS = [
    (16, 2, 32, 8),
    (16, 33, 256, 6),
    (16, 257, 1000, 4),
    (24, 2, 48, 12),
    (24, 49, 128, 10),
    (24, 129, 1000, 8),
    (32, 2, 64, 16),
    (32, 65, 128, 14),
    (32, 129, 1000, 12),
    (64, 2, 128, 32),
    (64, 129, 1000, 28),
    (128, 2, 256, 64),
    (128, 257, 1000, 56),
]
SIZES = (2, 3, 10, 32, 48, 55, 64, 65, 125, 128, 129, 256, 257, 345, 1000)


def count_least(codewords):
    """The least number of places in which two rows differ."""
    return min((first != second).sum() for first, second in itertools.combinations(codewords, 2))


def plotkin(classes, bits):
    """The largest distance at which Plotkin's bound allows this many words."""

    def allowed(distance):
        longer, even = bits + distance % 2, distance + distance % 2
        return 2 * even <= longer or 2 * (even // (2 * even - longer)) >= classes

    return max(distance for distance in range(1, bits + 1) if allowed(distance))


@pytest.mark.parametrize(
    "bits, classes, distance",
    [
        (bits, classes, distance)
        for bits, fewest, most, distance in CELLS
        for classes in sorted({fewest, most, *(n for n in SIZES if fewest <= n <= most)})
    ],
)
def test_known_least_distances_are_reached(bits, classes, distance):
    begin = time.monotonic()
    codewords = codebook(classes, bits)
    assert time.monotonic() - begin < 10
    assert codewords.shape == (classes, bits)
    assert codewords.dtype == np.int8
    assert set(np.unique(codewords)) == {-1, 1}
    different = (bits - codewords.astype(int) @ codewords.T.astype(int)) // 2
    least = different[~np.eye(classes, dtype=bool)].min()
    assert least >= distance
    assert least == least_distance(codewords)


@pytest.mark.parametrize("bits", [8, 12, 16, 24, 32, 40, 64])
@pytest.mark.parametrize("classes", [2, 3, 4, 5, 6, 8, 10])
def test_few_classes_meet_plotkins_bound(classes, bits):
    assert count_least(codebook(classes, bits)) == plotkin(classes, bits)


@pytest.mark.parametrize(
    "bits, classes, distance",
    [(40, 345, 16), (48, 125, 22), (56, 125, 26), (56, 345, 24), (96, 345, 44), (80, 256, 37)],
)
def test_other_lengths_have_good_codes_too(bits, classes, distance):
    assert count_least(codebook(classes, bits)) >= distance


def test_every_code_has_the_distance_it_claims():
    for code in families(2, 64):
        words = code.words(2).astype(np.int8)
        assert words.shape[1] == code.length
        assert len(np.unique(words, axis=0)) == len(words) == min(code.size, max(len(words), 4096))
        some = words[:64]
        counted = (some[:, None] != words).sum(-1)
        assert counted[counted > 0].min() >= code.distance, code


# Least distances of the codes of 2^k words: BCH (64, 24) and (128, 56), Reed-Muller, all words.
@pytest.mark.parametrize(
    "classes, bits, distance",
    [(4097, 64, 24), (5000, 63, 24), (5000, 16, 2), (5000, 128, 56), (8192, 13, 1), (9000, 64, 24)],
)
def test_more_classes_have_words_of_their_own(classes, bits, distance):
    codewords = codebook(classes, bits)
    assert len(np.unique(codewords, axis=0)) == classes
    packed = np.packbits(codewords > 0, axis=1)
    some = np.random.default_rng(0).choice(classes, 50, replace=False)
    different = np.bitwise_count(packed[some, None] ^ packed).sum(-1)
    assert np.partition(different, 1, axis=1)[:, 1].min() >= distance == least_distance(codewords)
    assert np.abs(codewords.sum(axis=0, dtype=int)).max() <= 12


@pytest.mark.parametrize("order", [n for n in range(4, 129, 4) if has_hadamard(n)])
def test_rows_of_hadamard_matrices_are_orthogonal(order):
    matrix = hadamard(order).astype(int)
    assert (matrix @ matrix.T == order * np.eye(order)).all()
    assert (matrix[0] == 1).all()


@pytest.mark.parametrize("bits", [16, 24, 32, 64, 128])
@pytest.mark.parametrize("classes", [55, 125, 128, 345, 1000])
def test_bits_halve_the_classes(classes, bits):
    sums = codebook(classes, bits).sum(axis=0, dtype=int)
    assert np.abs(sums).max() <= 1 + (classes % 2 or classes == 125)


@pytest.mark.parametrize("bits", [16, 24, 32, 64, 128])
@pytest.mark.parametrize("classes", [55, 125, 345])
def test_no_bit_repeats_another(classes, bits):
    columns = codebook(classes, bits).T.astype(int)
    agreement = np.abs(columns @ columns.T) - classes * np.eye(bits, dtype=int)
    assert agreement.max() < classes


def test_the_same_arguments_give_the_same_codebook():
    assert (codebook(55, 32) == sketchjax.codebook(55, 32)).all()


@pytest.mark.parametrize("bits, distance", [(6, 3), (6, 4), (7, 3), (5, 2), (8, 5), (8, 6)])
def test_bounds_allow_the_largest_code_of_few_bits(bits, distance):
    """The largest codes, from Brouwer's table of A(n, d)."""
    largest = {(6, 3): 8, (6, 4): 4, (7, 3): 16, (5, 2): 16, (8, 5): 4, (8, 6): 2}
    assert most_words(bits, distance) == largest[bits, distance]


@pytest.mark.parametrize("bits, distance, words", [(16, 6, 256), (24, 8, 4096), (17, 6, 340)])
def test_bounds_of_well_known_codes(bits, distance, words):
    assert most_words(bits, distance) == words


def test_an_impossible_distance_is_refused():
    with pytest.raises(ConfigError, match=r"with distance 5 exists: there are at most 340 "):
        codebook(345, 16, distance=5)


def test_an_unknown_distance_is_refused():
    with pytest.raises(ConfigError, match="is known here: the best has 12"):
        codebook(200, 32, distance=13)


def test_a_possible_distance_is_given():
    assert least_distance(codebook(55, 16, distance=6)) == 6


def test_too_few_words_are_refused():
    with pytest.raises(ConfigError, match="no codebook of 300 different words of 8 bits exists"):
        codebook(300, 8)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.int64])
def test_sizes_may_be_numbers_of_numpy(kind):
    for classes, bits in ((55, 32), (100, 8)):
        assert (codebook(kind(classes), kind(bits)) == codebook(classes, bits)).all()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((1, 16), "classes=1"),
        ((65537, 64), "classes=65537: must be at most 65,536"),
        ((5, 0), "bits=0"),
        ((5, 600), "bits=600"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        codebook(*arguments)


def cost(codewords, confusion):
    distances = (codewords.shape[1] - codewords.astype(int) @ codewords.T.astype(int)) // 2
    return (confusion * distances).sum()


def test_assignment_finds_the_best_of_all_orders():
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(10):
        confusion = rng.random((6, 6)) ** 4
        codewords = codebook(6, 16)[rng.permutation(6)]
        best = min(cost(codewords[list(p)], confusion) for p in itertools.permutations(range(6)))
        own = cost(codewords[assign(codewords, confusion)], confusion)
        found += own == pytest.approx(best)
    assert found >= 7  # a local search: not always


def test_assignment_keeps_the_words_and_brings_confused_classes_near():
    confusion = np.zeros((55, 55))
    pairs = np.random.default_rng(1).permutation(54).reshape(27, 2)
    confusion[pairs[:, 0], pairs[:, 1]] = 1
    plain, assigned = codebook(55, 16), codebook(55, 16, confusion=confusion)
    assert sorted(map(bytes, plain)) == sorted(map(bytes, assigned))
    near = (assigned[pairs[:, 0]] != assigned[pairs[:, 1]]).sum(1)
    assert near.mean() <= 6.2
    assert (plain[pairs[:, 0]] != plain[pairs[:, 1]]).sum(1).mean() > 7.5


@pytest.mark.parametrize(
    "confusion, message", [(np.zeros((3, 3)), r"\[3, 3\]"), (np.full((4, 4), -1.0), "at least 0")]
)
def test_wrong_confusions_are_refused(confusion, message):
    with pytest.raises(ValueError, match=message):
        assign(codebook(4, 16), confusion)
