"""Semantic factorisation against loops over its objective, brute force, and least squares."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sketchjax.losses.quantization import quantization
from sketchjax.losses.semantic_codes import decoder, factor_codes, first_codes, scaled, statistics


def random_sketches(seed, count=6, bits=5, dimensions=4):
    random = np.random.default_rng(seed)
    features = random.uniform(size=(count, bits)).astype(np.float32)
    vectors = random.normal(size=(count, dimensions)).astype(np.float32)
    readout = random.normal(size=(dimensions, bits)).astype(np.float32)
    codes = random.integers(0, 2, (count, bits)).astype(np.float32)
    return features, vectors, readout, codes


def objective(feature, vector, readout, code, weight):
    """λ ‖φ - D b‖² + ‖2f - 1 - b‖² of one sketch, in f64, number by number."""
    signs = [1.0 if bit else -1.0 for bit in code]
    total = 0.0
    for row, value in zip(readout.tolist(), vector.tolist(), strict=True):
        read = sum(entry * sign for entry, sign in zip(row, signs, strict=True))
        total += weight * (value - read) ** 2
    for value, sign in zip(feature.tolist(), signs, strict=True):
        total += (2 * value - 1 - sign) ** 2
    return total


def loop_descent(features, vectors, readout, codes, weight, sweeps):
    """Gives each bit in turn the better value by the whole objective; yields after each bit."""
    codes = codes.copy()
    for _ in range(sweeps):
        for bit in range(codes.shape[1]):
            for sketch in range(len(codes)):
                values = []
                for choice in (0.0, 1.0):
                    codes[sketch, bit] = choice
                    values.append(
                        objective(features[sketch], vectors[sketch], readout, codes[sketch], weight)
                    )
                codes[sketch, bit] = float(values[1] < values[0])
            yield codes.copy()


@given(st.integers(0, 2**32 - 1), st.sampled_from((0.0, 0.3, 1.0)), st.integers(0, 3))
@settings(deadline=None, max_examples=20)
def test_codes_are_those_of_a_loop(seed, weight, sweeps):
    features, vectors, readout, codes = random_sketches(seed)
    steps = [codes, *loop_descent(features, vectors, readout, codes, weight, sweeps)]
    totals = [
        [
            objective(*of_one, readout, code, weight)
            for *of_one, code in zip(features, vectors, step, strict=True)
        ]
        for step in steps
    ]
    assert (np.diff(totals, axis=0) <= 1e-9).all()
    found = jax.jit(factor_codes, static_argnames=("weight", "sweeps"))(
        *map(jnp.array, (features, vectors, readout, codes)), weight=weight, sweeps=sweeps
    )
    np.testing.assert_array_equal(found, steps[-1])


def test_in_the_end_no_single_bit_is_better():
    """Codes one bit away are no better; without a decoder the best of all 2^d is found."""
    features, vectors, readout, codes = random_sketches(11, count=40)
    found = np.array(factor_codes(features, vectors, readout, codes, sweeps=20))
    for sketch, code in enumerate(found):
        of_one = features[sketch], vectors[sketch]
        values = {
            other: objective(*of_one, readout, other, 1.0)
            for other in itertools.product((0.0, 1.0), repeat=5)
        }
        own = values[tuple(code.tolist())]
        near = [v for other, v in values.items() if np.sum(np.array(other) != code) == 1]
        assert len(near) == 5
        assert own <= min(near) + 1e-5
        alone = min(values, key=lambda other: objective(*of_one, 0 * readout, other, 1.0))
        np.testing.assert_array_equal(alone, features[sketch] > 0.5)
    plain = factor_codes(features, vectors, 0 * readout, codes, sweeps=1)
    np.testing.assert_array_equal(plain, features > 0.5)


def test_a_bit_that_does_not_matter_stays():
    features, vectors, readout, codes = random_sketches(2)
    found = factor_codes(0 * features + 0.5, vectors, 0 * readout, codes)
    np.testing.assert_array_equal(found, codes)


def test_feature_term_is_four_times_quantization():
    features, vectors, readout, codes = random_sketches(5)
    rows = zip(features, vectors, codes, strict=True)
    values = [objective(feature, vector, readout, code, 0.0) for feature, vector, code in rows]
    found = 4 * quantization(jnp.array(features), jnp.array(codes))
    assert found == pytest.approx(np.mean(values), rel=1e-5)


@given(st.integers(0, 2**32 - 1), st.sampled_from((1e-3, 0.5)))
@settings(deadline=None, max_examples=20)
def test_decoder_is_ridge_regression(seed, ridge):
    _, vectors, _, codes = random_sketches(seed, count=30)
    signs = 2 * codes.astype(np.float64) - 1
    gram, cross = statistics(jnp.array(codes), jnp.array(vectors))
    products = (
        [np.outer(b, b) for b in signs],
        [np.outer(v, b) for v, b in zip(vectors, signs, strict=True)],
    )
    np.testing.assert_allclose(gram, np.mean(products[0], axis=0), atol=1e-6)
    np.testing.assert_allclose(cross, np.mean(products[1], axis=0), atol=1e-6)
    # Rows of √(n ridge) I with targets of zero add n ridge ‖D‖² to the sum of squares.
    rows = np.concatenate([signs, np.sqrt(30 * ridge) * np.eye(5)])
    wanted = np.linalg.lstsq(rows, np.pad(vectors, ((0, 5), (0, 0))), rcond=None)[0].T
    np.testing.assert_allclose(decoder(gram, cross, ridge=ridge), wanted, rtol=1e-3, atol=1e-4)


def test_bits_that_always_agree_share_their_weight():
    codes = jnp.array([[1.0, 1.0], [0.0, 0.0]])
    found = decoder(*statistics(codes, jnp.array([[2.0], [-2.0]])))
    np.testing.assert_allclose(found, [[1, 1]], rtol=1e-3)


def test_scaled_vectors_have_the_norm_of_a_code():
    random = np.random.default_rng(0)
    vectors = random.normal(size=(20, 7)).astype(np.float32) + 5
    found = scaled(vectors, 16)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 4, rtol=1e-5)
    for row, vector in zip(found, vectors - vectors.mean(0, dtype=np.float64), strict=True):
        np.testing.assert_allclose(row / 4, vector / np.linalg.norm(vector), atol=1e-5)


def test_vectors_without_direction_stay_zero():
    same = np.full((10, 4), 0.1)
    assert (same != same.mean(0)).any(), "rounding alone differs from the mean"
    np.testing.assert_array_equal(scaled(same, 16), 0)
    # The middle one of three on a line is their mean.
    line = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
    np.testing.assert_allclose(scaled(line, 4), [[-2, 0], [0, 0], [2, 0]])


@pytest.mark.parametrize("bits", (9, 16, 64))
def test_first_codes_differ_and_halve_the_classes(bits):
    vectors = np.random.default_rng(4).normal(size=(345, 50)) + 3
    vectors[1] = vectors[0]  # a word that two names share
    found = first_codes(vectors, bits, seed=0)
    assert found.shape == (345, bits)
    assert found.dtype == np.float32
    assert set(np.unique(found)) == {0.0, 1.0}
    assert len(np.unique(found, axis=0)) == 345
    # The median gives 172 of 345. Flips of taken codes move a few; with 9 bits (512 codes), more.
    assert abs(found.mean(0) - 0.5).max() < (0.1 if bits == 9 else 0.02)
    np.testing.assert_array_equal(found, first_codes(vectors, bits, seed=0))
    assert (found != first_codes(vectors, bits, seed=1)).any()


def test_first_codes_are_near_for_near_vectors():
    random = np.random.default_rng(0)
    middles = np.repeat(random.normal(size=(10, 30)), 4, axis=0)
    codes = first_codes(middles + 0.2 * random.normal(size=middles.shape), 64, seed=0)
    distances = (codes[:, None] != codes[None]).sum(-1)
    groups = np.arange(40) // 4
    alike = groups[:, None] == groups[None]
    assert distances[alike & ~np.eye(40, dtype=bool)].max() < distances[~alike].min()


def test_a_taken_code_flips_its_least_certain_bit():
    vectors = np.random.default_rng(4).normal(size=(10, 5))
    vectors[1] = vectors[0]
    codes = first_codes(vectors, 32, seed=7)
    heights = (vectors - vectors.mean(0)) @ np.random.default_rng(7).standard_normal((5, 32))
    margins = np.abs(heights[1] - np.median(heights, axis=0))
    np.testing.assert_array_equal(np.flatnonzero(codes[0] != codes[1]), [margins.argmin()])


def test_first_codes_use_all_codes_of_few_bits():
    codes = first_codes(np.zeros((8, 3)), 3, seed=0)
    assert len(np.unique(codes, axis=0)) == 8
    assert len(np.unique(first_codes(np.zeros((9, 3)), 3, seed=0), axis=0)) == 8


def test_shapes_that_do_not_fit_are_refused():
    features, vectors, readout, codes = map(jnp.array, random_sketches(0))
    with pytest.raises(ValueError, match="differ in shape"):
        factor_codes(features[:, :1], vectors, readout, codes)
    with pytest.raises(ValueError, match="differ in n"):
        factor_codes(features, vectors[:1], readout, codes)
    with pytest.raises(ValueError, match=r"\(4, 5\)"):
        factor_codes(features, vectors, readout.T, codes)
    with pytest.raises(ValueError, match="differ in n"):
        statistics(codes, vectors[:1])
    with pytest.raises(ValueError, match="differ in d"):
        decoder(jnp.eye(4), jnp.zeros((3, 5)))
