"""Sketches held by the device, compared with the host's shuffle and a plain loop."""

from functools import partial

import jax
import numpy as np
import pytest

from sketchjax.data.feed import permutation
from sketchjax.ops.resident import Resident, permute, take


@pytest.mark.parametrize("size", [1, 5, 257, 29_662, 3_105_000])
def test_the_shuffle_equals_that_of_the_host(size):
    places = np.random.default_rng(0).integers(0, size, 500)
    for epoch in range(3):
        keys = permutation.round_keys(11, epoch)
        ours = jax.jit(partial(permute, size=size))(places, keys=keys)
        np.testing.assert_array_equal(ours, permutation.permute(places, size, keys))


@pytest.fixture
def drawings() -> list[np.ndarray]:
    """Sketches of 1 to 30 points; the last point of each ends a stroke."""
    rng = np.random.default_rng(1)
    made = []
    for length in [1, 30, 2, *rng.integers(1, 31, 20)]:
        points = rng.integers(0, 256, (length, 3)).astype(np.uint8)
        points[:, 2] = rng.random(length) < 0.2
        points[-1, 2] = 1
        made.append(points)
    return made


@pytest.mark.parametrize("points", [1, 12, 30, 40])
def test_take_cuts_and_pads_as_a_plain_loop_does(drawings, points):
    offset = np.cumsum([0, *map(len, drawings)]).astype(np.int32)
    label = np.arange(len(drawings), dtype=np.int32) % 7
    held = Resident(np.concatenate(drawings), offset, label)
    index = np.array([2, 0, 1, len(drawings) - 1, 5, 5])
    strokes, names = jax.jit(partial(take, points=points))(held, index)
    found, length, center = strokes
    assert found.dtype == np.uint8
    for row, number in enumerate(index):
        own = drawings[number][:points].copy()
        own[-1, 2] = 1
        assert length[row] == len(own)
        np.testing.assert_array_equal(found[row, : len(own)], own)
        assert not np.asarray(found[row, len(own) :]).any()
        corners = own[:, :2].min(0).astype(float) + own[:, :2].max(0)
        np.testing.assert_array_equal(center[row], corners / 2)
        assert names[row] == label[number]
