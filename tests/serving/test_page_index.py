"""The page while the index of its server changes or is replaced, in Chromium."""

import contextlib

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from chromium import DOOR, HOUSE, draw, shown, until
from doodle_server import doodle_app, doodle_index, running

from sketchjax.index.memory import Memory


@pytest.fixture
def app():
    return doodle_app()


@pytest.fixture
def page(browser, app):
    context = browser.new_context(reduced_motion="reduce", viewport={"width": 1280, "height": 860})
    with running(app) as address, contextlib.closing(context):
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(address)
        until(page, says("about", "180 drawings of 6"))
        yield page


def says(id_: str, words: str) -> str:
    """JavaScript that is true once an element's text has these words."""
    return f"document.getElementById('{id_}').textContent.includes('{words}')"


def index_of(rows) -> Memory:
    """An index of these of the doodles, with ids from 0."""
    snapshot = doodle_index().snapshot()
    return Memory(snapshot.describe(), [snapshot.get(rows).with_ids(np.arange(len(rows)))])


def codes(engine) -> list[bytes]:
    """Of all items, by id."""
    return [code.tobytes() for code in engine.snapshot().get(list(range(179))).codes]


def test_the_heading_follows_additions(page, app):
    engine = app.state.service.engine
    draw(page, HOUSE[0])
    shown(page)
    engine.delete([0, 1, 2])
    draw(page, HOUSE[1])
    until(page, says("about", "177 drawings of 6"))
    assert page.locator("#title").text_content() == "The 36 nearest of 177"


def test_a_file_that_was_opened_early_stays(page, tmp_path):
    """Not replaced by the built-in examples when the index is there at last."""
    held = []
    page.route("**/v1/index", lambda route: held.append(route))
    page.reload()
    lines = '{"word":"boat","drawing":[[[0,9],[0,9]]]}\n{"word":"kite","drawing":[[[0,9],[9,0]]]}\n'
    (tmp_path / "two.ndjson").write_text(lines)
    page.set_input_files("#file", tmp_path / "two.ndjson")
    until(page, says("title", "Drawings of two.ndjson"))
    for route in held:
        route.continue_()
    until(page, says("about", "180 drawings of 6"))
    assert page.locator("#examples li").all_text_contents() == ["boat", "kite"]


def test_an_unchanged_index_is_read_once(page):
    asked = []
    page.on("request", lambda each: asked.append(each.url))
    draw(page, *HOUSE, DOOR)
    shown(page)
    assert not any(url.endswith("/v1/index") for url in asked)


def test_a_category_that_is_gone_is_not_searched(page, app):
    page.locator("#filter summary").click()
    page.locator("#find").fill("cat")
    page.locator("#categories input").check()
    until(page, says("title", "Drawings of cat"))
    page.keyboard.press("Escape")
    items = app.state.service.engine.snapshot().get(list(range(180)))
    kept = [row for row in range(180) if items.categories[row] not in ("cat", "sun")]
    app.state.service.engine = index_of(kept)
    draw(page, HOUSE[0])
    until(page, says("title", "The 36 nearest of 120"))
    assert page.locator("#filter-name").text_content() == "All categories"
    assert page.locator("#about").text_content().startswith("120 drawings of 4 categories")
    assert page.locator("#notice").is_hidden()


def test_more_like_a_result_of_the_index_before(page, app):
    draw(page, *HOUSE)
    before = shown(page)
    app.state.service.engine = other = index_of(range(178, -1, -1))
    number = int(before[0])
    assert codes(other)[number] != codes(doodle_index())[number]
    page.locator("#hits button").first.click()
    page.wait_for_selector("#notice:not([hidden])")
    assert "The server has another index now" in page.locator("#trouble").text_content()
    assert page.locator("#about").text_content().startswith("179 drawings")
    page.keyboard.press("Control+z")
    until(page, says("title", "The 36 nearest of 179"))
    assert page.locator("#notice").is_hidden()
    shown(page)
    page.locator("#hits button").first.click()  # a result of the new index
    page.wait_for_selector("#badge:not([hidden])")
    shown(page)
    assert page.locator("#notice").is_hidden()


def test_more_like_a_result_that_is_gone(page, app):
    draw(page, *HOUSE)
    gone = shown(page)[0]
    app.state.service.engine.delete([int(gone)])
    page.locator("#hits button").first.click()
    page.wait_for_selector("#notice:not([hidden])")
    assert f"no drawing {gone} in the index" in page.locator("#trouble").text_content()
    until(page, says("about", "179 drawings"))
