"""Deep Sketch Hashing: its objective and descent against double loops, matrices and brute force."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchjax.losses.deep_sketch_codes import (
    Statistics,
    Weights,
    dead_bits,
    gram_and_cross,
    improve,
    item_terms,
    pair_term,
    statistics,
    weights,
)
from sketchjax.losses.deep_sketch_hashing import deep_sketch_hashing, first_memory, recode
from sketchjax.losses.loss import LossInputs, Setup
from sketchjax.losses.objective import figures, loss
from sketchjax.losses.semantic_codes import decoder
from sketchjax.losses.targets import class_targets

KINDS = pytest.mark.parametrize("kind", ("as_written", "balanced"))
CLASSES, BITS, WORDS = 3, 5, 4
SETTINGS = {"semantic": 0.7, "network": 0.4}
RIDGE = 1e-3


def coins(random, *shape):
    return np.where(random.random(shape) < 0.5, 1.0, -1.0)


def side(random, count):
    """Codes, features and labels of one side; every class is there."""
    labels = random.permutation(np.resize(np.arange(CLASSES), count))
    return coins(random, count, BITS), random.normal(size=(count, BITS)), labels


def problem(seed, sketches=7, photos=9):
    """Both sides, the class vectors and a decoder."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(CLASSES, WORDS)), random.normal(size=(WORDS, BITS)) / 3
    return [side(random, count) for count in (sketches, photos)], vectors


def brute_force(sides, semantics, kind, semantic, network):
    """The published objective with its matrix W, or the mean of each term, in numpy loops."""
    (sketch_codes, *_, sketch_labels), (photo_codes, *_, photo_labels) = sides
    bits = sketch_codes.shape[1]
    pairs, total = 0.0, 0.0
    for code, label in zip(sketch_codes, sketch_labels, strict=True):
        for other, own in zip(photo_codes, photo_labels, strict=True):
            same = label == own
            count = 1.0 if same or kind == "as_written" else 1 / (CLASSES - 1)
            pairs += count * (bits * (1 if same else -1) - code @ other) ** 2
            total += count
    items = []
    vectors, reader = semantics
    for codes, features, labels in sides:
        found = 0.0
        for code, feature, label in zip(codes, features, labels, strict=True):
            found += semantic * ((vectors[label] - reader @ code) ** 2).sum()
            found += network * ((feature - code) ** 2).sum()
        items.append(found)
    if kind == "as_written":
        return pairs + sum(items)
    means = [found / len(own[0]) for found, own in zip(items, sides, strict=True)]
    return pairs / total / bits + sum(means)


def counts_of(sides):
    return np.array([np.bincount(labels, minlength=CLASSES) for *_, labels in sides], float)


def statistics_of(sides):
    return [_statistics(jnp.asarray(codes), jnp.asarray(labels)) for codes, _, labels in sides]


_statistics = jax.jit(lambda codes, labels: statistics(codes, labels, CLASSES))


@partial(jax.jit, static_argnames="kind")
def ours(sides, semantics, counts, kind, semantic, network):
    """The same by class sums."""
    both = weights(kind, counts, BITS, semantic=semantic, network=network)
    found = [statistics(codes, labels, CLASSES) for codes, _, labels in sides]
    shares = counts / counts.sum(1, keepdims=True)
    total = both.pairs[0] * pair_term(*found, shares, both.different[0])
    for place, own in enumerate(sides):
        total += item_terms(*own, semantics, of(both, place))
    return total * (counts.sum(1).prod() if kind == "as_written" else 1)


def of(both, place):
    return Weights(*(each[place] for each in both))


@pytest.fixture(autouse=True, scope="module")
def quickly(environment):
    """Compile with little optimisation."""


@KINDS
@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=5)
def test_class_sums_give_the_objective_of_the_matrix(kind, seed):
    sides, semantics = problem(seed)
    wanted = brute_force(sides, semantics, kind, **SETTINGS)
    found = ours(sides, semantics, counts_of(sides), kind, **SETTINGS)
    assert found == pytest.approx(wanted, rel=2e-5)


_improve = jax.jit(improve, static_argnames="sweeps")


def improved(sides, semantics, kind, place, sweeps=1, **own):
    """The codes of one side, by `improve`."""
    codes, features, labels = sides[place]
    other_codes, _, other_labels = sides[1 - place]
    both = weights(kind, jnp.asarray(counts_of(sides)), BITS, **(SETTINGS | own))
    found = _improve(
        *map(jnp.asarray, (codes, features, labels)),
        _statistics(other_codes, other_labels),
        (jnp.asarray(semantics[0]), jnp.asarray(semantics[1])),
        of(both, place),
        sweeps=sweeps,
    )
    return np.asarray(found, float)


def replaced(sides, place, codes):
    found = list(sides)
    found[place] = (codes, *sides[place][1:])
    return found


@KINDS
@pytest.mark.parametrize("place", (0, 1))
def test_each_bit_takes_its_better_value(kind, place):
    """Against a loop that tries both values of a bit with the whole objective."""
    sides, semantics = problem(3)
    codes = sides[place][0].copy()
    values = [brute_force(sides, semantics, kind, **SETTINGS)]
    for bit in range(BITS):
        for item in range(len(codes)):
            found = []
            for value in (-1.0, 1.0):
                codes[item, bit] = value
                own = replaced(sides, place, codes)
                found.append(brute_force(own, semantics, kind, **SETTINGS))
            codes[item, bit] = -1.0 if found[0] < found[1] else 1.0
            values.append(min(found))
    assert (np.diff(values) <= 1e-9).all()
    np.testing.assert_array_equal(improved(sides, semantics, kind, place), codes)


@KINDS
@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=5)
def test_descent_never_raises_the_objective(kind, seed):
    sides, (vectors, reader) = problem(seed)
    values = []

    def note():
        ridge = SETTINGS["semantic"] * RIDGE * (reader**2).sum()
        scale = 2.0 if kind == "balanced" else 16.0  # the weights of both semantic terms together
        value = brute_force(sides, (vectors, reader), kind, **SETTINGS)
        values.append(value + ridge * scale)

    note()
    for _ in range(3):
        both = weights(kind, jnp.asarray(counts_of(sides)), BITS, **SETTINGS)
        found = statistics_of(sides)
        reader = np.asarray(
            decoder(*gram_and_cross(tuple(found), jnp.asarray(vectors), both)), float
        )
        note()
        for place in (1, 0):
            codes = improved(sides, (vectors, reader), kind, place)
            sides = replaced(sides, place, codes)
            note()
    assert (np.diff(values) <= 1e-4 * np.abs(values[:-1])).all()
    assert values[-1] < values[0]


@KINDS
def test_bits_are_those_of_an_exhaustive_search(kind):
    """Of the 2^5 codes of an item, none one bit away is better; mostly, none at all is."""
    sides, semantics = problem(5)
    codes = improved(sides, semantics, kind, 1, sweeps=20)
    best = 0
    for item in range(len(codes)):
        values = {}
        for other in itertools.product((-1.0, 1.0), repeat=BITS):
            tried = codes.copy()
            tried[item] = other
            own = replaced(sides, 1, tried)
            values[other] = brute_force(own, semantics, kind, **SETTINGS)
        own = values[tuple(codes[item])]
        near = [v for o, v in values.items() if np.sum(np.array(o) != codes[item]) == 1]
        assert len(near) == BITS
        assert own <= min(near) + 1e-9
        best += own <= min(values.values()) + 1e-9
    assert best >= 0.7 * len(codes)


def test_with_the_network_only_a_code_is_the_sign_of_its_features():
    sides, semantics = problem(6)
    counts = jnp.asarray(counts_of(sides))
    none = weights("balanced", counts, BITS, semantic=0.0, network=1.0)._replace(pairs=jnp.zeros(2))
    codes, features, labels = sides[0]
    found = improve(
        *map(jnp.asarray, (codes, features, labels)),
        statistics(jnp.asarray(sides[1][0]), jnp.asarray(sides[1][2]), CLASSES),
        (jnp.asarray(semantics[0]), jnp.asarray(semantics[1])),
        of(none, 0),
    )
    np.testing.assert_array_equal(found, np.sign(features))


def test_a_bit_that_does_not_matter_stays():
    """Codes of the other side that cancel, features and vectors of 0: all pulls are 0."""
    random = np.random.default_rng(0)
    codes, labels = coins(random, 6, BITS), np.resize(np.arange(CLASSES), 6)
    nothing = Statistics(jnp.zeros((CLASSES, BITS)), jnp.zeros((CLASSES, BITS, BITS)))
    zeros = jnp.zeros((CLASSES, WORDS)), jnp.zeros((WORDS, BITS))
    for pairs in (0.0, 1.0):
        own = Weights(*map(jnp.float32, (pairs, 1.0, 1.0, 1.0)))
        found = improve(
            jnp.asarray(codes), jnp.zeros((6, BITS)), jnp.asarray(labels), nothing, zeros, own
        )
        np.testing.assert_array_equal(found, codes)


def test_fewer_codes_than_bits_have_a_finite_decoder():
    """Three codes of 24 bits: their Gram matrix has rank 3. Least squares with a ridge."""
    random = np.random.default_rng(1)
    bits = 24
    words = coins(random, CLASSES, bits)
    labels = np.resize(np.arange(CLASSES), 12)
    vectors = random.normal(size=(CLASSES, WORDS))
    own = statistics(jnp.asarray(words[labels]), jnp.asarray(labels), CLASSES)
    counts = jnp.full((2, CLASSES), 4.0)
    both = weights("balanced", counts, bits, semantic=0.1, network=0.1)
    gram, cross = gram_and_cross((own, own), jnp.asarray(vectors), both)
    assert np.linalg.matrix_rank(np.asarray(gram, float), tol=1e-4) == CLASSES
    found = np.asarray(decoder(gram, cross))
    rows = np.concatenate([words, np.sqrt(CLASSES * RIDGE) * np.eye(bits)])
    wanted = np.linalg.lstsq(rows, np.pad(vectors, ((0, bits), (0, 0))), rcond=None)[0].T
    np.testing.assert_allclose(found, wanted, rtol=1e-2, atol=1e-3)


def test_statistics_are_sums_over_each_class():
    (codes, _, labels), _ = problem(2)[0]
    found = statistics(jnp.asarray(codes), jnp.asarray(labels), CLASSES + 1)
    for label in range(CLASSES + 1):
        own = codes[labels == label]
        np.testing.assert_allclose(found.sums[label], own.sum(0) / 7, atol=1e-6)
        np.testing.assert_allclose(found.grams[label], own.T @ own / 7, atol=1e-6)


def setup(classes, bits, counts, share=1.0):
    random = np.random.default_rng(0)
    return Setup(
        classes=classes,
        width=bits,
        entropy_low=np.zeros(classes),
        entropy_high=np.ones(classes),
        in_training=np.ones(classes, bool),
        block_share=share,
        word_vectors=random.normal(size=(classes, 20)),
        train=pytest.fail,
        counts=counts,
    )


def block(memory, classes, bits, sketches, photos, seed=0, **own):
    """Random features of as many sketches and photos of each class."""
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.repeat(np.arange(classes), each) for each in (sketches, photos)])
    features = random.normal(size=(len(labels), bits))
    return LossInputs(
        None,
        jnp.asarray(labels),
        jnp.asarray(features, jnp.float32),
        sketches=classes * sketches,
        memory=memory,
        settings=own,
    )


AS_WRITTEN = {"pairs": "as_written", "semantic": 0.01, "network": 1e-5}


def rounds(classes, bits, **own):
    """Sketch and photo codes a class, i[l d] each, and the memory, after 8 blocks of all items.

    6 sketches and 5 photos a class with random features; the first codes of the classes are random.
    """
    memory = first_memory(setup(classes, bits, np.full((2, classes), 6) - [[0], [1]]))
    words = coins(np.random.default_rng(0), classes, bits).astype(np.float32)
    products = words[:, :, None] * words[:, None]
    memory |= {"sums": np.stack([words] * 2) / classes, "grams": np.stack([products] * 2) / classes}
    step = jax.jit(
        lambda memory: recode(block(memory, classes, bits, 6, 5, **own), lambda now: now)
    )
    for _ in range(8):
        _, memory = step(memory)
    return (*np.where(np.asarray(memory["sums"]) >= 0, 1, -1), memory)


@pytest.mark.parametrize(("classes", "bits"), ((20, 32), (125, 32)))
@pytest.mark.parametrize("pairs", ("as_written", "balanced"))
def test_pairs_as_written_collapse_and_balanced_ones_do_not(classes, bits, pairs):
    """`pytest -s` prints the table of docs/sketch-photo-losses.md."""
    own = AS_WRITTEN if pairs == "as_written" else {}
    sketches, photos, memory = rounds(classes, bits, **own)
    distances = (bits - sketches @ photos.T) / 2
    own_distance = distances.diagonal().mean()
    others = distances[~np.eye(classes, dtype=bool)].min()
    nearest = (distances <= distances.diagonal()[:, None]).sum(1) == 1
    dead = figures({"deep_sketch_hashing": memory})["deep_sketch_hashing_dead_bits_photo"]
    print(
        f"{classes:4} classes {bits:3} bits {pairs:10}: own class at {own_distance:.1f}", end=", "
    )
    print(f"others from {others:.0f}, {nearest.mean():.0%} nearest, {dead:.0f} dead bits")
    if pairs == "balanced":
        assert own_distance < 0.2 * bits
        assert dead < 0.2 * bits
        assert nearest.all()
    else:
        assert own_distance > (0.55 if classes == 20 else 0.85) * bits, "chance is at 0.5"
        assert dead > 0.55 * bits
        assert classes == 20 or nearest.mean() < 0.02


def test_tied_codes_are_those_of_the_codebook():
    memory = first_memory(setup(6, 16, np.full((2, 6), 4)))
    seen = block(memory, 6, 16, 2, 3, pairs="tied")
    codes, after = recode(seen, lambda x: x)
    words = class_targets(6, 16, "codebook")[np.asarray(seen.labels)]
    np.testing.assert_array_equal(2 * codes - 1, words)
    assert after is memory


def test_the_first_memory_is_that_of_one_code_a_class():
    counts = np.array([[1, 2, 3], [4, 0, 4]])
    memory = first_memory(setup(3, 16, counts))
    words = class_targets(3, 16, "codebook")
    for place in (0, 1):
        labels = np.repeat(np.arange(3), counts[place])
        wanted = statistics(jnp.asarray(words[labels], jnp.float32), jnp.asarray(labels), 3)
        np.testing.assert_allclose(memory["sums"][place], wanted.sums, atol=1e-6)
        np.testing.assert_allclose(memory["grams"][place], wanted.grams, atol=1e-6)


def test_statistics_fade_by_the_share_of_a_block():
    memory = first_memory(setup(3, 16, np.full((2, 3), 8), share=0.25))
    seen = block(memory, 3, 16, 2, 3)
    codes, after = jax.jit(lambda memory: recode(seen._replace(memory=memory), lambda x: x))(memory)
    for place, rows in enumerate((slice(None, 6), slice(6, None))):
        now = statistics(2 * codes[rows] - 1, seen.labels[rows], 3)
        for key, value in (("sums", now.sums), ("grams", now.grams)):
            wanted = 0.75 * memory[key][place] + 0.25 * value
            np.testing.assert_allclose(after[key][place], wanted, atol=1e-6)


def test_a_block_on_two_devices_has_the_statistics_of_both():
    """Each device has its half of the block; the memory is the same as that of one device."""
    memory = first_memory(setup(4, 8, np.full((2, 4), 8), share=0.5))
    whole = block(memory, 4, 8, 4, 6, seed=1)
    rows = [np.concatenate([np.arange(k, 16, 2), np.arange(16 + k, 40, 2)]) for k in (0, 1)]
    codes, after = jax.jit(lambda memory: recode(whole._replace(memory=memory), lambda x: x))(
        memory
    )
    halves = whole._replace(
        labels=jnp.stack([whole.labels[own] for own in rows]),
        features=jnp.stack([whole.features[own] for own in rows]),
        sketches=8,
    )

    def on_device(labels, features):
        seen = whole._replace(labels=labels, features=features, sketches=8)
        return recode(seen, lambda now: jax.lax.pmean(now, "devices"))

    found, memories = jax.jit(jax.vmap(on_device, axis_name="devices"))(
        halves.labels, halves.features
    )
    for own, part in zip(rows, found, strict=True):
        np.testing.assert_array_equal(part, codes[own])
    for key in ("sums", "grams"):
        for place in (0, 1):
            np.testing.assert_allclose(memories[key][place], after[key], atol=1e-6)


def test_the_loss_is_the_distance_to_the_codes():
    random = np.random.default_rng(0)
    features, codes = random.normal(size=(4, 6)), random.integers(0, 2, (4, 6))
    pairs = zip(features.ravel(), codes.ravel(), strict=True)
    wanted = np.mean([(feature - (1 if code else -1)) ** 2 for feature, code in pairs])
    seen = LossInputs(None, jnp.zeros(4, int), jnp.asarray(features), codes=jnp.asarray(codes))
    assert loss("deep_sketch_hashing").value(seen) == pytest.approx(wanted, rel=1e-5)


def test_bits_that_never_change_are_dead():
    codes = coins(np.random.default_rng(0), 40, 6)
    codes[:, 1], codes[:, 4] = 1, -1
    labels = jnp.asarray(np.resize(np.arange(CLASSES), 40))
    assert dead_bits(statistics(jnp.asarray(codes), labels, CLASSES).sums) == 2


def test_what_does_not_fit_is_refused():
    sides, semantics = problem(0)
    codes, features, labels = map(jnp.asarray, sides[0])
    nothing = statistics(codes, labels, CLASSES)
    with pytest.raises(ValueError, match="differ in n"):
        statistics(codes, labels[1:], CLASSES)
    own = Weights(*map(jnp.float32, (1.0, 1.0, 1.0, 1.0)))
    with pytest.raises(ValueError, match=r"must be \[n d\]"):
        improve(codes, features[1:], labels, nothing, semantics, own)
    with pytest.raises(ValueError, match="differ in shape"):
        deep_sketch_hashing(features, codes[1:])
    memory = first_memory(setup(6, 16, np.full((2, 6), 4)))
    with pytest.raises(ValueError, match="needs blocks of sketches and photos"):
        recode(block(memory, 6, 16, 1, 1)._replace(sketches=None), lambda x: x)
