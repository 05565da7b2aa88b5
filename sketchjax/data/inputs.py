"""What an encoder reads of one drawing: one value from the feed to the view.

These are plain tuples, so jax treats them as pytrees; this file itself needs only numpy.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Strokes(NamedTuple):
    """b drawings as points.

    points: u8|f[b t 3], columns x, y (drawing units, y downwards) and end of stroke; zero-padded.
    length: i32[b], points that are not padding, at least 1.
    center: f32[b 2], the middle of each drawing's bounding box as it was recorded. Augmentation
      keeps it, so that a shift moves the drawing within its picture.
    """

    points: Any
    length: Any
    center: Any

    @classmethod
    def of(cls, points: np.ndarray, length: np.ndarray) -> Strokes:
        """Strokes with their centre, on the host; `ops.draw.strokes_of` does it on a device."""
        places = np.asarray(points)[..., :2].astype(np.float32)
        valid = (np.arange(places.shape[1]) < np.asarray(length)[:, None])[..., None]
        low = np.where(valid, places, np.float32(1e9)).min(axis=1)
        high = np.where(valid, places, np.float32(-1e9)).max(axis=1)
        return cls(points, length, (low + high) * np.float32(0.5))
