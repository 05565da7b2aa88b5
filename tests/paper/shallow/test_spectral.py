"""Spectral hashing against its formula in a double loop."""

import math

import numpy as np

from sketchjax.paper.shallow import HASHERS
from sketchjax.paper.shallow.spectral import smoothest


def test_the_smoothest_eigenfunctions_by_hand():
    # Frequencies k / R: 1/4 2/4 3/4 1 ..., 1/2 1 ..., 1/1 ...; ties go by direction.
    axes, modes = smoothest(np.array([4.0, 2.0, 1.0]), 7)
    assert list(zip(axes, modes, strict=True)) == [
        (0, 1), (0, 2), (1, 1), (0, 3), (0, 4), (1, 2), (2, 1),
    ]  # fmt: skip


def test_smoothest_matches_sorting_all():
    span = np.random.default_rng(0).uniform(0.5, 5, 6)
    axes, modes = smoothest(span, 20)
    ranked = sorted((k / span[i], i, k) for i in range(6) for k in range(1, 100))[:20]
    assert [(i, k) for _, i, k in ranked] == list(zip(axes, modes, strict=True))


def test_bits_are_signs_of_eigenfunctions(clusters):
    rows, _ = clusters
    bits = 9
    wide = rows.astype(np.float64)
    method = HASHERS["sh"](bits).fit(rows)
    _, vectors = np.linalg.eigh(np.cov(wide, rowvar=False))
    rotated = (wide - wide.mean(axis=0)) @ vectors[:, ::-1][:, :bits]
    # The sign of a direction is arbitrary: take the method's, found from its values.
    own = method._rotated(rows)
    rotated *= np.sign((rotated * own).sum(axis=0))
    low, high = rotated.min(axis=0), rotated.max(axis=0)
    ranked = sorted((k / (high[i] - low[i]), i, k) for i in range(bits) for k in range(1, 50))
    expected = np.empty((len(rows), bits))
    for place, row in enumerate(rotated):
        for bit, (_, i, k) in enumerate(ranked[:bits]):
            phase = k * math.pi / (high[i] - low[i]) * (row[i] - low[i])
            expected[place, bit] = math.sin(math.pi / 2 + phase)
    np.testing.assert_allclose(method.project(rows), expected, atol=1e-4)
    clear = np.abs(expected) > 1e-3
    np.testing.assert_array_equal(method.encode(rows)[clear], (expected > 0)[clear])


def test_a_line_is_cut_in_halves_then_quarters():
    line = np.linspace(0, 1, 1001, dtype=np.float32)[:, None]
    codes = HASHERS["sh"](2).fit(line).encode(line)
    position = line[:, 0]
    first = codes[:, 0] if codes[0, 0] else ~codes[:, 0]
    clear = np.abs(position - 0.5) > 1e-3
    np.testing.assert_array_equal(first[clear], (position < 0.5)[clear])
    clear = np.abs(np.abs(position - 0.5) - 0.25) > 1e-3
    np.testing.assert_array_equal(codes[clear, 1], (np.abs(position - 0.5) > 0.25)[clear])


def test_a_direction_without_spread_is_unused():
    rows = np.zeros((50, 3), np.float32)
    rows[:, 1] = np.arange(50)
    method = HASHERS["sh"](4).fit(rows)
    assert (method.axes == 0).all()
    assert method.encode(rows).any(axis=0).all()
