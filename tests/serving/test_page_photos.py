"""Photos on the page: their pictures load under its CSP, and more like one of them is found."""

import io

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from chromium import HOUSE, draw, shown, until
from doodle_server import GridEncoder, doodle_index, running
from PIL import Image
from test_static import called, opened, without_times

from sketchjax.data.sources.doodles import sketches
from sketchjax.index.engine import Items, Photos, Scale
from sketchjax.index.search import Query, answer
from sketchjax.serving.app import create_app
from sketchjax.serving.settings import Settings
from sketchjax.serving.static import Graph, gallery_files, page_files


def photo_index():
    """Doodles, and `photos`."""
    engine = doodle_index()
    engine.add(photos())
    return engine


def photos() -> Items:
    """Three photos of houses whose codes and features are those of doodles."""
    outputs = GridEncoder().outputs(sketches("house", 3, seed=7))
    pictures = [io.BytesIO() for _ in range(3)]
    for number, file in enumerate(pictures):
        Image.new("RGB", (96, 64), (200, 60 * number, 30)).save(file, "JPEG")
    own = Photos(
        points=np.zeros((0, 3), np.uint8),
        offsets=np.zeros(4, np.int64),
        categories=["house"] * 3,
        key_ids=np.arange(3, dtype=np.uint64),
        recognized=np.full(3, -1, np.int8),
        places=np.arange(3),
        thumbnails=[file.getvalue() for file in pictures],
        names=["a.jpg", "b.jpg", "c.jpg"],
    )
    return Items.of(own, outputs, Scale.of(outputs.features), "album")


def test_photos_are_seen_and_lead_to_more(browser):
    app = create_app(photo_index(), GridEncoder(), Settings())
    app.state.service.warm()
    with running(app) as address:
        page = browser.new_page(viewport={"width": 1280, "height": 860}, reduced_motion="reduce")
        page.set_default_timeout(60_000)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: said.type == "error" and errors.append(said.text))
        page.goto(address)
        draw(page, *HOUSE)
        ids = shown(page)
        photos = [str(number) for number in (180, 181, 182) if str(number) in ids]
        assert photos
        until(
            page,
            "[...document.querySelectorAll('#hits img')].every((i) => i.naturalWidth === 96)",
        )
        assert page.locator("#hits img").count() == len(photos)
        page.locator(f"#hits li[data-id='{photos[0]}'] button").click()
        until(page, "document.querySelector('#badge').textContent === 'Like this house'")
        assert shown(page)[0] == photos[0]
        page.locator("#clear").click()
        until(page, "document.querySelector('#hits').hidden")
        page.close()
    assert errors == []


def test_a_page_without_a_server_shows_photos(browser):
    """The answers are the server's, but for where the pictures are, and these load."""
    engine = photo_index()
    graph = Graph(b"", GridEncoder.fingerprint, 96, ["cat"])
    with opened(browser, page_files() | gallery_files(engine.snapshot(), graph)) as page:
        (found,) = called(page, "v1/search", {"like": "181", "categories": ["house"], "k": 40})
        expected = without_times(answer(engine, Query(like=181, categories=["house"], k=40)))
        photos = [result for result in found["results"] if result["kind"] == "photo"]
        assert [result["id"] for result in photos[:1]] == ["181"]
        assert len(photos) == 3
        for result in photos:
            width = page.evaluate(
                """async (address) => {
                  const image = new Image();
                  image.src = address;
                  await image.decode();
                  return image.naturalWidth;
                }""",
                result["thumbnail"],
            )
            assert width == 96
            assert result["thumbnail"].startswith(f"photos/{result['id']}.jpg?")
            result["thumbnail"] = f"v1/sketches/{result['id']}/thumbnail"
        assert without_times(found) == expected
        (sketch,) = called(page, "v1/sketches/182", None)
        assert (sketch["kind"], sketch["drawing"]) == ("photo", [])
