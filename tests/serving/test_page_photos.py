"""Photos on the page: their pictures load under its CSP, and more like one of them is found."""

import io

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from chromium import HOUSE, draw, shown, until
from doodle_server import GridEncoder, doodle_index, running
from PIL import Image

from sketchjax.data.sources.doodles import sketches
from sketchjax.index.engine import Items, Photos
from sketchjax.serving.app import Settings, create_app


def photo_app():
    """Doodles, and three photos of houses whose codes and features are those of doodles."""
    engine = doodle_index()
    outputs = GridEncoder().outputs(sketches("house", 3, seed=7))
    pictures = [io.BytesIO() for _ in range(3)]
    for number, file in enumerate(pictures):
        Image.new("RGB", (96, 64), (200, 60 * number, 30)).save(file, "JPEG")
    photos = Photos(
        points=np.zeros((0, 3), np.uint8),
        offsets=np.zeros(4, np.int64),
        categories=["house"] * 3,
        key_ids=np.arange(3, dtype=np.uint64),
        recognized=np.full(3, -1, np.int8),
        places=np.arange(3),
        thumbnails=[file.getvalue() for file in pictures],
        names=["a.jpg", "b.jpg", "c.jpg"],
    )
    engine.add(Items.of(photos, outputs, engine.snapshot().describe().scale, "album"))
    app = create_app(engine, GridEncoder(), Settings())
    app.state.service.warm()
    return app


def test_photos_are_seen_and_lead_to_more(browser):
    with running(photo_app()) as address:
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
