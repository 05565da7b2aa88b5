"""The tie-aware loss against all orders of ties, a run's scores, and the authors' own form."""

import itertools
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma

from sketchjax.losses.tie_aware import expected, histogram, mean_harmonic, simplified, tie_aware
from sketchjax.ops.hamming import pack_codes
from sketchjax.retrieval.metrics import evaluate


@pytest.fixture(autouse=True, scope="module")
def quickly(environment):
    """Compile with little optimisation."""


def all_orders(distances, relevant):
    """The mean of the average precision over all orders that keep to the distances."""
    groups = [np.flatnonzero(distances == d) for d in np.unique(distances)]
    values = []
    for orders in itertools.product(*map(itertools.permutations, groups)):
        hits = relevant[np.concatenate(orders)]
        precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
        values.append((precision * hits).sum() / hits.sum())
    return np.mean(values)


@pytest.mark.parametrize("seed", range(12))
def test_whole_counts_give_the_mean_over_all_orders(seed):
    random = np.random.default_rng(seed)
    distances, relevant = random.integers(0, 3, 8), random.integers(0, 2, 8)
    relevant[0] = 1
    every = np.bincount(distances, minlength=4)[None].astype(np.float32)
    found = np.bincount(distances, relevant, minlength=4)[None].astype(np.float32)
    value = expected(jnp.array(found), jnp.array(every)).sum() / relevant.sum()
    assert value == pytest.approx(all_orders(distances, relevant), rel=1e-5)


@pytest.mark.parametrize("bits, batch", [(16, 24), (64, 200)])
def test_codes_give_the_score_of_a_run(bits, batch):
    """Whose measure is exact: each code ranks all others."""
    random = np.random.default_rng(bits)
    labels = random.integers(0, 5, batch)
    centers = random.normal(size=(5, bits))
    codes = np.sign(centers[labels] + 1.5 * random.normal(size=(batch, bits)))
    value = jax.jit(tie_aware)(50.0 * codes.astype(np.float32), labels)
    packed = pack_codes(codes > 0)
    scores = evaluate(packed, labels, packed, labels, bits=bits, exclude_self=True)
    assert 0.1 < value < 0.9
    assert value == pytest.approx(1 - scores.map, abs=2e-5)


@cache
def compiled(**settings):
    return jax.jit(partial(tie_aware, **settings))


def loop(outputs, labels, bins, sharpness):
    """The authors' objective, one query and one bin at a time, in f64."""
    codes = np.tanh(sharpness * np.asarray(outputs, np.float64))
    count, bits = codes.shape
    precisions = []
    for q in range(count):
        others = [i for i in range(count) if i != q]
        positives = sum(labels[i] == labels[q] for i in others)
        if not positives:
            continue
        value = seen = found = 0.0
        for center in np.linspace(0, bits, bins + 1):
            here = here_found = 0.0
            for i in others:
                distance = (bits - codes[q] @ codes[i]) / 2
                pulse = max(1 - abs(distance - center) / (bits / bins), 0)
                here += pulse
                here_found += pulse * (labels[i] == labels[q])
            value += here_found * (found + found + here_found + 1) / (seen + seen + here + 1)
            seen, found = seen + here, found + here_found
        precisions.append(value / positives)
    return 1 - np.mean(precisions) if precisions else 0.0


@given(st.integers(0, 2**32 - 1), st.sampled_from((2, 7)), st.sampled_from((4, 8)), st.booleans())
@settings(deadline=None, max_examples=20)
def test_the_simplified_form_is_the_authors_own(seed, batch, bins, sharp):
    random = np.random.default_rng(seed)
    outputs = random.normal(size=(batch, 8)).astype(np.float32)
    labels = random.integers(0, 3, batch)
    sharpness = 3.0 if sharp else 1.0
    value = compiled(form="simplified", sharpness=sharpness, bins=bins)(outputs, labels)
    assert value == pytest.approx(loop(outputs, labels, bins, sharpness), rel=1e-4, abs=1e-5)


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_both_forms_are_perfect_where_all_are_relevant(seed):
    """Whatever the soft counts are: distances between two bins gain nothing."""
    counts = jnp.array(np.random.default_rng(seed).gamma(0.5, 2.0, (3, 9)), jnp.float32)
    for form in (expected, simplified):
        np.testing.assert_allclose(form(counts, counts), counts, rtol=1e-4, atol=1e-5)


def test_a_perfect_ranking_costs_nothing_and_its_reverse_most():
    labels = jnp.array([0, 0, 1, 1])
    codes = 50.0 * jnp.where(labels[:, None] == 1, 1.0, -1.0) * jnp.ones((4, 8))
    assert tie_aware(codes, labels) == pytest.approx(0, abs=1e-6)
    # All at one distance: 1 of 3 is relevant; (1 + ½ + ⅓) / 3.
    assert tie_aware(jnp.full((4, 8), 50.0), labels) == pytest.approx(1 - 11 / 18, abs=1e-5)


def test_a_step_along_the_gradient_ranks_better():
    random = np.random.default_rng(0)
    labels = jnp.array(np.resize(np.arange(4), 32))
    outputs = jnp.array(random.normal(size=(32, 16)), jnp.float32)
    slope = jax.grad(tie_aware)

    @jax.jit
    def descend(outputs):
        return jax.lax.fori_loop(0, 30, lambda _, u: u - 20.0 * slope(u, labels), outputs)

    before, after = (compiled()(100.0 * each, labels) for each in (outputs, descend(outputs)))
    # Of the codes themselves, not only of their relaxation.
    assert after < 0.5 * before


def test_the_gradient_is_a_difference_of_values():
    random = np.random.default_rng(1)
    outputs, labels = random.normal(size=(6, 4)), jnp.array([0, 1, 0, 1, 0, 2])
    found = jax.jit(jax.grad(tie_aware))(jnp.array(outputs, jnp.float32), labels)
    for place in np.ndindex(outputs.shape):
        step = np.zeros(outputs.shape)
        step[place] = 1e-3
        higher, lower = (
            float(compiled()(jnp.array(outputs + s, jnp.float32), labels)) for s in (step, -step)
        )
        assert float(found[place]) == pytest.approx((higher - lower) / 2e-3, abs=2e-3)


def test_a_histogram_keeps_every_distance():
    random = np.random.default_rng(2)
    distances = jnp.array(random.uniform(0, 16, (3, 50)), jnp.float32)
    where = jnp.array(random.integers(0, 2, (3, 50)), jnp.float32)
    for bins in (16, 4):
        found = histogram(distances, where, 16, bins)
        assert found.shape == (3, bins + 1)
        np.testing.assert_allclose(found.sum(1), where.sum(1), rtol=1e-5)
        # And so does its mean.
        centers = np.linspace(0, 16, bins + 1)
        np.testing.assert_allclose(found @ centers, (where * distances).sum(1), rtol=1e-4)


def test_harmonic_means_are_differences_of_digamma():
    random = np.random.default_rng(3)
    first, count = random.uniform(1, 400, 2000), random.uniform(-0.5, 300, 2000)
    first, count = (np.float64(np.float32(each)) for each in (first, count))
    first = np.where(count < 0, first + 1, first)
    wanted = (digamma(first + count) - digamma(first)) / count
    found = mean_harmonic(jnp.array(first, jnp.float32), jnp.array(count, jnp.float32))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert mean_harmonic(jnp.array([2.0]), jnp.array([0.0])) == pytest.approx(np.pi**2 / 6 - 1)
