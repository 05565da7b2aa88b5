"""The model in the package: its size, its card's figures, and a search without any data."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

import sketchjax
from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.shards import Shards
from sketchjax.data.sketch import strokes
from sketchjax.data.sources import doodles
from sketchjax.packaged import MODEL

DATA = os.environ.get("SKETCHJAX_DATA", "")
CARD = MODEL.with_name("README.md")


@pytest.fixture(scope="module")
def model():
    return sketchjax.load()


def test_it_is_small_and_knows_every_category_of_quickdraw(model):
    assert MODEL.stat().st_size < 3_000_000
    assert len(model.categories) == 345
    assert model.bits == 64
    card = CARD.read_text()
    assert "CC BY 4.0" in card
    assert all(name in card for name in model.categories)


def test_it_finds_doodles_of_what_is_drawn(model):
    """Of categories that QuickDraw has too; doodles by programs are none that it was trained on."""
    names = [name for name in doodles.CATEGORIES if name in model.categories]
    assert len(names) > 15
    first, last = [], []
    for name in names:
        drawn = doodles.sketches(name, 24, seed=3, spoilt=False)
        codes = model.encode(drawn)
        first.append(codes.packed[:20])
        last.append(codes.packed[20:])
    gallery, queries = np.concatenate(first), np.concatenate(last)
    labels, asked = np.repeat(np.arange(len(names)), 20), np.repeat(np.arange(len(names)), 4)
    distances = np.bitwise_count(queries[:, None] ^ gallery[None]).sum(-1)
    nearest = labels[distances.argsort(1, kind="stable")[:, :10]]
    precision = (nearest == asked[:, None]).mean()
    assert precision > 10 / len(names)  # ten times what chance gives


@pytest.mark.skipif(not DATA, reason="SKETCHJAX_DATA is not set")
def test_its_card_says_what_it_does_on_held_out_drawings(model, tmp_path):
    """The split is the config's: a hash of each key id."""
    splits = {"train": 0.8, "validation": 0.05, "gallery": 0.1, "query": 0.05}
    convert([Path(DATA) / "quickdraw"], tmp_path / "data", splits=splits, workers=1)
    with Shards(tmp_path / "data", "query") as shards:
        names, records = shards.manifest.categories, shards.read(np.arange(len(shards)))
    assert names == model.categories
    rows = range(0, len(records.labels), 8)  # an eighth of the queries
    edges = records.offsets
    shares = model.predict([records.points[edges[row] : edges[row + 1]] for row in rows])
    right, total = int((shares.argmax(1) == records.labels[rows]).sum()), len(rows)
    (said,) = re.findall(r"Accuracy of the categories, queries \| (0\.\d+)", CARD.read_text())
    assert total > 400
    assert right / total == pytest.approx(float(said), abs=4 * (0.25 / total) ** 0.5)


def test_serve_without_arguments_searches_doodles(environment):
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    from test_serve import finish, free_port, start, until_ready

    from sketchjax.serving.client import Client

    port = free_port()
    process = start(environment, "--port", port)
    try:
        assert str(port) in until_ready(process)
        client = Client(f"http://127.0.0.1:{port}")
        apple = doodles.sketches("apple", 100, seed=0, spoilt=False).points_of(99)
        drawing = [stroke.T.tolist() for stroke in strokes(apple)]
        found = client.search(drawing, k=12)
        assert len(found["results"]) == 12
        assert found["categories"][0]["name"] == "apple"
        assert [row["category"] for row in found["results"]].count("apple") >= 6
        assert found["index"]["count"] == 60 * len(doodles.CATEGORIES)
    finally:
        process.terminate()
        finish(process)
