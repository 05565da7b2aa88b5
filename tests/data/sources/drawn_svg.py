"""What is drawn of an SVG document, for its tests."""

import numpy as np

from sketchjax.data.sources.svg import _Document, _flattened


def drawn(inside: str, attributes: str = "") -> list[np.ndarray]:
    """The flattened strokes of a document, in its own units."""
    document = _Document()
    document.parse(f"<svg {attributes}>{inside}</svg>".encode())
    return _flattened(document.strokes) if document.strokes else []


def corners(inside: str, attributes: str = "") -> list[list[list[float]]]:
    return [stroke.round(6).tolist() for stroke in drawn(inside, attributes)]
