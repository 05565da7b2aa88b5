"""Codes of what the page opens, in Chromium: those that the same file gets by POST."""

import contextlib
import gzip
import json
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from chromium import draw, shown, until
from doodle_server import doodle_app, running

LINES = "application/x-ndjson"


@pytest.fixture(scope="module")
def address():
    with running(doodle_app()) as address:
        yield address


@pytest.fixture
def page(browser, address):
    """The page of a server."""
    context = browser.new_context(base_url=address, reduced_motion="reduce")
    with contextlib.closing(context):
        page = context.new_page()
        page.goto(address)
        until(page, "document.getElementById('about').textContent.startsWith('180 ')")
        yield page


def searched(page, act, strokes: int) -> tuple[dict, dict]:
    """The search that an action ends with, for so many strokes: what was asked, and the answer."""
    asked = []
    page.on("request", lambda each: each.url.endswith("/v1/search") and asked.append(each))
    act()
    noun = "1 stroke" if strokes == 1 else f"{strokes} strokes"
    page.wait_for_selector(f"#canvas[aria-label='Your drawing, {noun}']")
    shown(page)
    return asked[-1].post_data_json, asked[-1].response().json()


def opened(page, path: Path, strokes: int) -> tuple[dict, dict]:
    if page.locator("#clear").is_enabled():
        page.locator("#clear").click()
    return searched(page, lambda: page.set_input_files("#file", path), strokes)


def assert_found_as_by_post(page, path: Path, kind: str, strokes: int):
    body, answer = opened(page, path, strokes)
    content, headers = path.read_bytes(), {"content-type": kind}
    posted = page.request.post("/v1/search", data=content, headers=headers).json()
    assert answer["code"] == posted["code"], body
    assert answer["results"] == posted["results"]


def test_lines_get_the_codes_that_they_get_by_post(page, tmp_path):
    for drawing in (
        [[[10, 100], [10, 40]]],  # simplified, though it does not fill the square
        [[[0, 128, 255], [0, 1, 0]], [[3], [4]]],
        [[[10.0, 200.0], [10.0, 40.0]]],
        [[[10, 300], [10, 40]], [[3], [4]]],
        [[[10.5, 200], [10, 40]]],
        [[[10, 20, 30], [10, 40, 10], [0, 5, 9]], [[3], [4], [9]]],  # times make it raw
        [[[0, 1e-9, 1e-9], [0, 0, 4e-10]]],
    ):
        (tmp_path / "a.ndjson").write_text(json.dumps({"drawing": drawing}))
        assert_found_as_by_post(page, tmp_path / "a.ndjson", LINES, len(drawing))


def test_an_svg_gets_the_code_that_it_gets_by_post(page, tmp_path):
    (tmp_path / "a.svg").write_text('<svg><path d="M0 9Q5 1 9 9T30 5"/><path d="M1 1H9"/></svg>')
    assert_found_as_by_post(page, tmp_path / "a.svg", "image/svg+xml", 2)


def test_real_lines_get_the_codes_that_they_get_by_post(page, real_data, tmp_path):
    for folder in ("quickdraw", "quickdraw-raw"):
        path = min((real_data / folder).glob("*.ndjson.gz"))
        for line in gzip.decompress(path.read_bytes()).splitlines()[:4]:
            (tmp_path / "a.ndjson").write_bytes(line)
            strokes = len(json.loads(line)["drawing"])
            assert_found_as_by_post(page, tmp_path / "a.ndjson", LINES, strokes)


def test_what_is_drawn_on_a_file_is_raw(page, tmp_path):
    two = [[[10, 100], [10, 40]], [[50, 60], [70, 80]]]
    (tmp_path / "a.ndjson").write_text(json.dumps({"drawing": two}))
    whole, _ = opened(page, tmp_path / "a.ndjson", 2)
    assert (whole["drawing"], whole["form"]) == (two, "simplified")
    before, _ = searched(page, lambda: page.locator("#undo").click(), 1)
    assert (len(before["drawing"]), before["form"]) == (1, "raw")
    again, _ = searched(page, lambda: page.locator("#redo").click(), 2)
    assert again == whole
    more, _ = searched(page, lambda: draw(page, [(0.1, 0.1), (0.2, 0.4)]), 3)
    assert (len(more["drawing"]), more["form"]) == (3, "raw")
    # The line from (10, 10) to (100, 40), 90 wide, is 720 units wide on the sheet, in its middle.
    assert more["drawing"][0][0] == [140, 860]
    back, _ = searched(page, lambda: page.locator("#undo").click(), 2)
    assert back == whole


def test_an_example_is_searched_in_its_own_numbers(page):
    body, _ = searched(page, page.locator("#examples button", has_text="cat").click, 11)
    numbers = [value for stroke in body["drawing"] for axis in stroke for value in axis]
    assert body["form"] == "simplified"
    assert (min(numbers), max(numbers)) == (0, 255)
    assert all(type(value) is int for value in numbers)


def test_a_hit_that_is_saved_finds_itself(page, tmp_path):
    draw(page, [(0.2, 0.2), (0.8, 0.3), (0.5, 0.9)])
    ids = shown(page)
    with page.expect_download() as download:
        page.locator("#download").click()
    lines = Path(download.value.path()).read_text().splitlines()
    for id_, line in list(zip(ids, lines, strict=True))[:8]:
        (tmp_path / "hit.ndjson").write_text(line)
        _, answer = opened(page, tmp_path / "hit.ndjson", len(json.loads(line)["drawing"]))
        assert answer["code"] == page.request.get(f"/v1/sketches/{id_}").json()["code"]


def test_a_file_of_many_points_fits_into_a_request(page, tmp_path):
    drawing = [[[x / 3 for x in range(39)], [y] * 39] for y in range(256)]
    text = json.dumps({"drawing": drawing}, separators=(",", ":"))
    (tmp_path / "a.ndjson").write_text(text)
    body, _ = opened(page, tmp_path / "a.ndjson", 256)
    assert body["drawing"] == drawing
    before, _ = searched(page, lambda: page.locator("#undo").click(), 255)
    assert len(json.dumps(before)) < 1 << 18
