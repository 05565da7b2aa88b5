"""The map from drawing units to pixels, by hand."""

import pytest

from sketchjax.data.canvas import to_pixels


def test_to_pixels_centres_and_fills():
    assert to_pixels(30.0, 10.0, 50.0, 64, 2.0) == 32.0
    assert to_pixels(0.0, 0.0, 255.0, 64, 2.0) == pytest.approx(1.8)
    assert to_pixels(255.0, 0.0, 255.0, 64, 2.0) == pytest.approx(64 - 1.8)
