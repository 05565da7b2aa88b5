"""LSH: two rows differ in a bit with probability angle / π."""

import numpy as np

from sketchjax.paper.shallow import HASHERS


def test_bits_differ_with_probability_angle_over_pi():
    angles = np.array([0.1, 0.5, 1.0, 2.0, 3.0])
    rotated = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    # Angles are seen from the mean, (7, 7). Rows: (1, 0), the others, then their mirror images.
    rows = np.concatenate([[[1.0, 0.0]], rotated])
    rows = np.concatenate([rows, -rows]).astype(np.float32) + 7
    bits = 40_000
    codes = HASHERS["lsh"](bits).fit(rows).encode(rows)
    share = (codes[0] != codes[1:6]).mean(axis=1)
    deviation = np.sqrt(angles / np.pi * (1 - angles / np.pi) / bits)
    assert (np.abs(share - angles / np.pi) < 4 * deviation).all()
    np.testing.assert_array_equal(codes[:6], ~codes[6:])
