"""The memory of semantic factorisation, against loops in numpy."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sketchjax import parallel
from sketchjax.losses.loss import Setup
from sketchjax.losses.semantic import first_factors, refactor
from sketchjax.parallel import SPLIT, WHOLE, over_devices

CLASSES, BITS, WORDS = 5, 8, 6
RIDGE = 1e-3


def setup(in_training=None) -> Setup:
    return Setup(
        classes=CLASSES,
        width=BITS,
        entropy_low=np.zeros(CLASSES),
        entropy_high=np.ones(CLASSES),
        in_training=np.ones(CLASSES, bool) if in_training is None else np.array(in_training),
        block_share=0.25,
        word_vectors=np.random.default_rng(0).normal(size=(CLASSES, WORDS)) + 3,
        train=pytest.fail,
    )


def block(seed, count=40):
    random = np.random.default_rng(seed)
    features = random.uniform(size=(count, BITS)).astype(np.float32)
    return jnp.asarray(features), jnp.asarray(random.integers(0, CLASSES, count))


def loop_means(codes, vectors):
    """Means of b bᵀ and φ bᵀ over the sketches, one sketch at a time in float64."""
    gram, cross = np.zeros((BITS, BITS)), np.zeros((vectors.shape[1], BITS))
    for code, vector in zip(np.asarray(codes), np.asarray(vectors), strict=True):
        signs = 2.0 * code - 1
        gram += np.outer(signs, signs) / len(codes)
        cross += np.outer(vector, signs) / len(codes)
    return gram, cross


def solved(gram, cross):
    return np.linalg.solve(np.asarray(gram, float) + RIDGE * np.eye(BITS), np.asarray(cross).T).T


def test_statistics_fade_by_the_share_of_a_block():
    """After each of six blocks: 1 - share of what was, plus share of the block's own."""
    memory = first_factors(setup())
    gram, cross = np.asarray(memory["gram"], float), np.asarray(memory["cross"], float)
    for number in range(6):
        features, labels = block(number)
        before = memory
        codes, memory = refactor(memory, features, labels, lambda tree: tree)
        vectors = np.asarray(before["vectors"])[np.asarray(labels)]
        own = loop_means(codes, vectors)
        gram, cross = 0.75 * gram + 0.25 * own[0], 0.75 * cross + 0.25 * own[1]
        np.testing.assert_allclose(memory["gram"], gram, atol=1e-5)
        np.testing.assert_allclose(memory["cross"], cross, atol=1e-5)
        np.testing.assert_allclose(memory["decoder"], solved(gram, cross), atol=1e-3)
        for name in ("vectors", "share"):
            np.testing.assert_array_equal(memory[name], before[name])
        assert jax.tree.structure(memory) == jax.tree.structure(before)


def test_codes_beat_the_nearest_under_their_decoder():
    """The mean of ‖φ - D b‖² + ‖2f - 1 - b‖², with the decoder before the block."""
    memory = first_factors(setup())
    features, labels = block(9)
    codes, after = refactor(memory, features, labels, lambda tree: tree)
    assert set(np.unique(codes)) == {0.0, 1.0}

    def loss(codes, decoder):
        total = 0.0
        for code, feature, label in zip(codes, np.asarray(features), labels, strict=True):
            signs = 2.0 * code - 1
            vector = np.asarray(memory["vectors"])[label]
            total += ((vector - decoder @ signs) ** 2).sum()
            total += ((2 * feature - 1 - signs) ** 2).sum()
        return total / len(codes)

    before = np.asarray(memory["decoder"], float)
    codes, nearest = np.asarray(codes), np.asarray(features) > 0.5
    assert loss(codes, before) < loss(nearest, before) - 0.1
    # On the whole, turning one bit of each sketch makes it worse.
    turned = [codes.copy() for _ in range(BITS)]
    for bit, other in enumerate(turned):
        other[:, bit] = 1 - other[:, bit]
    assert min(loss(other, before) for other in turned) > loss(codes, before)
    # The decoder has changed to that of the codes.
    assert np.abs(np.asarray(after["decoder"]) - before).max() > 1e-3


def test_four_devices_have_one_memory():
    """Within rounding: the sums have another order."""
    memory = first_factors(setup())
    features, labels = block(3)
    codes, after = refactor(memory, features, labels, lambda tree: tree)
    shared = over_devices(
        lambda memory, features, labels: refactor(memory, features, labels, parallel.average),
        inputs=(WHOLE, SPLIT, SPLIT),
        outputs=(SPLIT, WHOLE),
    )
    parts = parallel.split((np.asarray(features), np.asarray(labels)), 4)
    own_codes, own_after = shared(memory, *parts)
    np.testing.assert_array_equal(np.asarray(own_codes).reshape(codes.shape), codes)
    jax.tree.map(partial(np.testing.assert_allclose, atol=2e-5), own_after, after)


def test_it_begins_with_the_classes_in_training():
    trained = np.array([True, False, True, True, False])
    memory = first_factors(setup(trained))
    everyone = first_factors(setup())
    vectors = np.asarray(memory["vectors"])
    # Minus their mean, and as long as a code of ones and minus ones; those kept out as well.
    np.testing.assert_array_equal(vectors, everyone["vectors"])
    given = setup().word_vectors
    away = given - given.mean(0)
    away *= np.sqrt(BITS) / np.linalg.norm(away, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, away, atol=1e-5)
    np.testing.assert_allclose(
        memory["decoder"], solved(memory["gram"], memory["cross"]), atol=1e-3
    )
    # A mean of b bᵀ of signs has ones on its diagonal; of three codes, a rank of at most three.
    gram = np.asarray(memory["gram"], float)
    np.testing.assert_allclose(np.diag(gram), 1, atol=1e-6)
    assert np.linalg.matrix_rank(gram, tol=1e-4) == 3
    assert np.linalg.matrix_rank(np.asarray(everyone["gram"], float), tol=1e-4) > 3
    assert float(memory["share"]) == 0.25


def test_shapes_are_known_without_computing():
    """A checkpoint's state is restored into shapes that `jax.eval_shape` gives."""
    shapes = jax.eval_shape(lambda: first_factors(setup()))
    found = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), first_factors(setup()))
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), shapes) == found


def test_it_needs_word_vectors():
    with pytest.raises(AssertionError, match="word vectors"):
        first_factors(replace(setup(), word_vectors=None))
