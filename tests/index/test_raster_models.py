"""Models of raster sketches answer strokes: they are drawn first, as Pillow draws them."""

import sys
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from drawings_and_codes import items_of, memory_of
from paired_folder import paired_folder
from PIL import Image
from tiny_run import CONFIG
from untrained import save_untrained

import sketchjax
from sketchjax.config import architecture, set_photo_encoders
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.pictures import PictureRecord, PictureShards, scaled
from sketchjax.data.inputs import Form
from sketchjax.errors import DataError
from sketchjax.index.asking import ask
from sketchjax.index.search import Query, answer
from sketchjax.index.sources import find_sources
from sketchjax.report.thumbnails import thumbnail
from sketchjax.retrieval.drawings import as_sketches
from sketchjax.retrieval.pictures import draw_pictures
from sketchjax.serving.gallery import index_in_memory

sys.path.insert(0, str(CONFIG.parent))
from tiny_pairs import get_config

HOUSE = [[[40, 40, 200, 200, 40], [110, 240, 240, 110, 110]], [[40, 120, 200], [110, 30, 110]]]
LINE = [[[0, 255], [0, 128]]]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network of raster sketches only, with random weights."""
    config = get_config()
    set_photo_encoders(config)
    config.drawing.fit = "ink"
    own = architecture(config, ["arrow", "box", "roof"], 1.0)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    return sketchjax.load(save_untrained(path, own))


def by_pillow(sketches, number: int, size: int, width: float) -> Image.Image:
    picture = thumbnail(sketches.points_of(number), size, stroke_width=width)
    return picture.convert("L")


@pytest.mark.parametrize("fit", [False, True])
def test_strokes_are_drawn_as_pillow_draws_them(fit):
    random = np.random.default_rng(0)
    scribbles = [[random.integers(0, 256, (2, 7)).tolist() for _ in range(30)] for _ in range(70)]
    sketches = as_sketches([HOUSE, LINE, *scribbles])
    assert sketches.lengths.max() > 128
    drawn = draw_pictures(sketches, Form("raster", 40, fit=fit), 2.0).pixels
    assert drawn.shape == (72, 40, 40, 1)
    for number in (0, 1, 2, 71):
        expected = scaled(by_pillow(sketches, number, 40, 2.0), 40, "L", fit)
        gap = np.abs(drawn[number].astype(int) - expected)
        assert gap.mean() < 8, number
        assert drawn[number].min() < 80, "there is ink"


def test_a_drawing_may_be_strokes_points_or_a_picture(model):
    sketches = as_sketches([HOUSE])
    picture = by_pillow(sketches, 0, 24, model.architecture.drawing.stroke_width)
    of_strokes, of_picture = model.features(HOUSE), model.features(picture)
    nearness = (of_strokes * of_picture).sum() / np.linalg.norm(of_strokes)
    assert nearness / np.linalg.norm(of_picture) > 0.99
    points = sketches.points_of(0)
    for form in (points, [points], sketches, [HOUSE]):
        np.testing.assert_allclose(model.features(form), model.features(points), atol=1e-5)
        np.testing.assert_array_equal(model.encode(form).packed, model.outputs(points).codes.packed)
    np.testing.assert_allclose(model.predict(HOUSE), model.outputs(HOUSE).probabilities, atol=1e-6)


def test_the_rasters_of_a_run_are_its_gallery(model, tmp_path):
    folder = paired_folder(tmp_path)
    notes = []
    (source,) = find_sources([folder], model, split="query", skip_bad=False, note=notes.append)
    assert (source.name, source.count()) == ("data/query", 24)
    every = sum(Manifest.load(folder).pictures["raster"].counts.values())
    assert notes == [f"data/query: 24 of the {every} sketches of all splits"]
    engine = index_in_memory("rasters", source, model, lambda name, total: nullcontext(id))
    shards = PictureShards(folder, "raster", "query")
    records = [PictureRecord.decode(blob) for blob in shards.read_bytes(np.arange(24))]
    shards.close()
    items = engine.snapshot().get(range(24))
    expected = model.encode([record.picture for record in records])
    np.testing.assert_array_equal(items.codes, expected.packed)
    # A sketch that is a picture finds itself, where ties are in the order of their ids.
    picture = tmp_path / "sketch.PNG"
    picture.write_bytes(records[0].picture)
    ((points, own),) = ask(engine, lambda: model, picture, k=24)
    assert (len(points), own.results[0].distance) == (0, 0)
    assert "0" in [result.id for result in own.results if not result.distance]
    strokes = memory_of(items_of())
    plain: Any = SimpleNamespace(
        fingerprint=strokes.snapshot().describe().model, reads=frozenset({"strokes"})
    )
    with pytest.raises(DataError, match=r"sketch\.PNG is a picture, and the model .* strokes"):
        ask(strokes, lambda: plain, picture)
    found = answer(engine, Query.of(model.outputs(HOUSE), k=3))
    assert len(found.results) == 3
    assert all(result.thumbnail for result in found.results)
