"""Pictures drawn for a graph against those that a graph draws."""

import numpy as np
import onnxruntime
import pytest
from random_models import POINTS, all_drawings

import sketchjax
from sketchjax.data.feed.batch import pad_points
from sketchjax.data.sketch import Sketches
from sketchjax.export import drawing
from sketchjax.export.graph import Graph
from sketchjax.export.pictures import pictures_of
from sketchjax.models.architecture import Drawing
from sketchjax.retrieval.drawings import as_sketches

DRAWINGS = {
    "of tests": Drawing(48, 1.5, 21.5),
    "large": Drawing(224, 1.5, 30.0),
    "thin and small": Drawing(17, 0.5, 30.0),
    "wide": Drawing(37, 5.0, 30.0),
}


def drawn_by_a_graph(
    points: np.ndarray, lengths: np.ndarray, own: Drawing, mirrored: bool
) -> np.ndarray:
    """What a graph draws, f32[b 1 s s], by onnxruntime."""
    graph = Graph()
    inputs = (
        graph.input("points", "uint8", ["batch", points.shape[1], 3]),
        graph.input("lengths", "int32", ["batch"]),
    )
    strokes = drawing.strokes_of(graph, *inputs)
    strokes = drawing.mirrored(strokes) if mirrored else strokes
    (drawn,) = drawing.picture(graph, strokes, own)
    graph.output("pictures", drawn, "float32", ["batch", 1, own.size, own.size])
    session = onnxruntime.InferenceSession(
        graph.model("pictures", {}), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"points": points, "lengths": lengths})[0]


def check(drawings: Sketches, own: Drawing, mirrored: bool, points: int = POINTS) -> None:
    padded = pad_points(drawings.points, drawings.offsets, points)
    wanted = drawn_by_a_graph(*padded, own, mirrored)
    assert 0.01 < wanted.mean() < 0.5
    found = pictures_of(*padded, own, mirrored=mirrored)
    np.testing.assert_array_equal(found, wanted, strict=True)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("name", DRAWINGS)
def test_pictures_are_those_of_the_graph(name, mirrored):
    check(all_drawings(), DRAWINGS[name], mirrored)


def test_random_points_are_those_of_the_graph():
    random = np.random.default_rng(0)
    points = np.append(random.integers(0, 256, (40, 20, 2)), np.zeros((40, 20, 1)), axis=2)
    points[random.random((40, 20)) < 0.2, 2] = 1
    check(as_sketches(list(points.astype(np.uint8))), DRAWINGS["of tests"], False)


def test_real_drawings_are_those_of_the_graph(real_data):
    (chunk,) = sketchjax.read(real_data / "quickdraw" / "airplane.ndjson.gz", chunk=10_000)
    some = as_sketches([chunk.points_of(row) for row in range(0, len(chunk), 4)])
    check(some, Drawing(64, 1.5, 30.0), False, points=96)
