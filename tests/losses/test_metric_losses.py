"""Every metric loss, with every distance and mining, against loops over pairs and triplets."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import metric_loops as loops
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchjax.losses.contrastive import contrastive
from sketchjax.losses.lifted_structure import lifted_structure
from sketchjax.losses.mining import distance_weights
from sketchjax.losses.n_pair import n_pair
from sketchjax.losses.pairs import sum_over_positives
from sketchjax.losses.triplet import triplet
from sketchjax.losses.zero_mean import zero_mean
from sketchjax.ops.distances import DISTANCES

# Name, settings beside the distance, our function, the loop. Margins that some pairs reach.
CASES = [
    *(
        (f"contrastive-{mining}", {"margin": 0.9, "positive_margin": 0.2, "mining": mining},
         contrastive, loops.contrastive)
        for mining in loops.MININGS
    ),
    *(
        (f"triplet-{mining}", {"margin": 0.3, "mining": mining}, triplet, loops.triplet)
        for mining in loops.MININGS
    ),
    ("lifted_structure", {"margin": 0.7, "temperature": 1.0}, lifted_structure,
     loops.lifted_structure),
    ("lifted_structure-cold", {"margin": 0.7, "temperature": 0.3}, lifted_structure,
     loops.lifted_structure),
    ("n_pair", {"temperature": 1.0}, n_pair, loops.n_pair),
    ("n_pair-cold", {"temperature": 0.3}, n_pair, loops.n_pair),
]  # fmt: skip
EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
KINDS = pytest.mark.parametrize("kind", loops.DISTANCES)


def batch(seed, size, width=6, classes=3, spread=1.0):
    random = np.random.default_rng(seed)
    features = random.normal(size=(size, width)) * spread + random.normal()
    return features.astype(np.float32), random.integers(0, classes, size)


@cache
def compiled(name, kind):
    """One program for each size of a batch."""
    own, ours = next((own, ours) for case, own, ours, _ in CASES if case == name)
    return jax.jit(partial(ours, distance=kind, **own))


@cache
def compiled_gradient(name, kind):
    """Value and gradient of eight features f32[8 4]: one program for all tests of them."""
    own, ours = next((own, ours) for case, own, ours, _ in CASES if case == name)
    return jax.jit(jax.value_and_grad(partial(ours, distance=kind, **own)))


def both(case, kind, features, labels):
    """Ours, compiled, and the loop's."""
    name, own, _, loop = case
    found = compiled(name, kind)(features, labels)
    wide = np.asarray(features, np.float64).tolist()
    return float(found), loop(wide, labels.tolist(), kind=kind, **own)


@EACH
@KINDS
@given(st.integers(0, 2**32 - 1), st.sampled_from((3, 18)), st.integers(1, 4))
@settings(deadline=None, max_examples=10)
def test_a_loss_is_its_definition(case, kind, seed, size, classes):
    """Also of batches with one class, without a pair of one class, and of no multiple of 16."""
    found, wanted = both(case, kind, *batch(seed, size, classes=classes))
    assert found == pytest.approx(wanted, rel=2e-4, abs=2e-5)


@EACH
@KINDS
def test_a_balanced_batch_has_a_value_that_depends_on_the_distance(case, kind):
    features, labels = batch(5, 18)
    found, wanted = both(case, kind, features, np.repeat(np.arange(6), 3))
    assert found == pytest.approx(wanted, rel=1e-4)
    others = [both(case, other, features, labels)[0] for other in loops.DISTANCES if other != kind]
    assert all(abs(found - other) > 1e-3 for other in others)


@EACH
@KINDS
def test_a_gradient_is_that_of_the_loop(case, kind):
    name, own, _, loop = case
    features, _ = batch(3, 8, width=4)
    labels = np.repeat(np.arange(4), 2)
    _, found = compiled_gradient(name, kind)(features, labels)
    if own.get("mining") == "distance_weighted":
        # The weights have no gradient, which a difference of the loop would have.
        assert np.isfinite(found).all()
        return
    wide, step = np.asarray(features, np.float64), 1e-6
    wanted = np.zeros_like(wide)
    for place in np.ndindex(wide.shape):
        values = []
        for sign in (1, -1):
            moved = wide.copy()
            moved[place] += sign * step
            values.append(loop(moved.tolist(), labels.tolist(), kind=kind, **own))
        wanted[place] = (values[0] - values[1]) / (2 * step)
    assert np.abs(wanted).max() > 0.01
    np.testing.assert_allclose(found, wanted, atol=3e-4)


@EACH
@KINDS
def test_equal_features_have_finite_gradients(case, kind):
    """All sketches at one point, and only one of them an anchor of equal features."""
    loss = compiled_gradient(case[0], kind)
    labels = np.repeat(np.arange(4), 2)
    random, _ = batch(1, 8, width=4)
    for value in (0.0, 1.0, -0.7):
        one = random.copy()
        one[0] = value
        for features in (np.full_like(random, value), one):
            found, gradient = loss(features, labels)
            assert np.isfinite(found)
            assert np.isfinite(gradient).all()


@EACH
@KINDS
def test_bfloat16_is_computed_in_float32(case, kind):
    _, own, ours, loop = case
    features, labels = batch(2, 16, width=16)
    found = ours(jnp.asarray(features, jnp.bfloat16), jnp.asarray(labels), distance=kind, **own)
    assert found.dtype == jnp.float32
    rounded = np.asarray(jnp.asarray(features, jnp.bfloat16), np.float64)
    wanted = loop(rounded.tolist(), labels.tolist(), kind=kind, **own)
    assert float(found) == pytest.approx(wanted, rel=1e-3)


@EACH
def test_a_batch_without_pairs_is_refused(case):
    _, own, ours, _ = case
    with pytest.raises(ValueError, match="differ in b"):
        ours(jnp.zeros((3, 4)), jnp.zeros(2, int), **own)
    with pytest.raises(ValueError, match="at least two"):
        ours(jnp.zeros((1, 4)), jnp.zeros(1, int), **own)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_sums_over_positives_count_each_pair_once(share):
    """In no, some and all blocks of pairs, with the gradient of a masked sum."""
    random = np.random.default_rng(0)
    values = random.normal(size=(11, 11)).astype(np.float32)
    mask = random.random((11, 11)) < share

    def sums(values):
        found = sum_over_positives(
            jnp.asarray(mask), lambda i, j: (values[i, j], values[i, j] ** 2)
        )
        return found[0] + found[1], found

    (_, found), gradient = jax.value_and_grad(sums, has_aux=True)(jnp.asarray(values))
    np.testing.assert_allclose(found, [values[mask].sum(), (values[mask] ** 2).sum()], rtol=1e-5)
    np.testing.assert_allclose(gradient, mask * (1 + 2 * values), rtol=1e-5)


def test_values_by_hand():
    # Zero means; lengths² 2, 2 and 8. From a: b is its opposite, at 8/2; c its double, at 2/2.
    features = jnp.array([[1.0, -1.0], [-1.0, 1.0], [2.0, -2.0]])
    labels = jnp.array([0, 0, 1])
    # Positives: 4 and 4. Negatives under 10: a-c 1, b-c 9, c-a 2/8, c-b 18/8.
    push = np.mean([10 - 1, 10 - 9, 10 - 0.25, 10 - 2.25])
    assert contrastive(features, labels, margin=10.0) == pytest.approx(4 + push)
    # Triplets: a, b, c: 4 - 1; b, a, c: 4 - 9 < 0, but not by more than 6.
    assert triplet(features, labels, margin=0.0) == pytest.approx(3.0)
    assert triplet(features, labels, margin=6.0) == pytest.approx((9 + 1) / 2)
    # Of these only the second has its negative farther than its positive.
    assert triplet(features, labels, margin=6.0, mining="semi_hard") == pytest.approx(1.0)
    assert n_pair(features, labels) == pytest.approx(
        (np.log(1 + np.exp(3)) + np.log(1 + np.exp(-5))) / 2, rel=1e-5
    )
    assert zero_mean(jnp.array([[1.0, 2.0], [-3.0, 1.0]])) == pytest.approx(2.5)


@KINDS
def test_distance_weights_are_probabilities_of_negatives(kind):
    features, _ = batch(8, 12, width=5)
    labels = np.repeat(np.arange(4), 3)
    negatives = labels[:, None] != labels
    found = np.asarray(distance_weights(jnp.asarray(features), jnp.asarray(negatives), kind))
    wanted = np.zeros_like(found)
    wide = np.asarray(features, np.float64).tolist()
    for anchor in range(len(labels)):
        for other, weight in loops.weights_of(wide, labels.tolist(), anchor, kind).items():
            wanted[anchor, other] = weight
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-6)
    assert not found[~negatives].any()


def test_distance_weights_are_zero_where_all_negatives_are_far():
    features = jnp.array([[1.0, 0.0, 0.0], [1.0, 0.1, 0.0], [-1.0, 0.0, 0.0], [-1.0, 0.1, 0.0]])
    negatives = jnp.array([0, 0, 1, 1])[:, None] != jnp.array([0, 0, 1, 1])
    assert not distance_weights(features, negatives, "cosine").any()


def test_snr_losses_ignore_shift_and_scale():
    features, labels = batch(4, 12)
    for loss in (contrastive, triplet, lifted_structure, n_pair):
        found = float(loss(jnp.asarray(features), labels))
        assert loss(jnp.asarray(3 * features + 5), labels) == pytest.approx(found, rel=1e-3)


def test_every_distance_is_tested():
    assert tuple(DISTANCES) == loops.DISTANCES
