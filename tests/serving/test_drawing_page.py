"""The page in a real Chromium: mouse, pen, touch, keys, bad servers, accessibility."""

import contextlib
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from chromium import DOOR, HOUSE, at, draw, shown, strokes_on, until  # noqa: E402
from doodle_server import doodle_app, running  # noqa: E402

from sketchjax.data.sources.doodles import write  # noqa: E402


@pytest.fixture(scope="module")
def address():
    with running(doodle_app()) as address:
        yield address


@pytest.fixture
def page(request, browser, address):
    """The page, loaded; it fails the test where the page's own code fails."""
    options = {"viewport": {"width": 1280, "height": 860}, "reduced_motion": "reduce"}
    options |= {"base_url": address} | getattr(request, "param", {})
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(60_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    until(page, "document.getElementById('about').textContent.startsWith('180 ')")
    yield page
    context.close()
    assert errors == []


def search(page, **body) -> dict:
    """The server's own answer."""
    return page.request.post("/v1/search", data=body).json()


def test_every_stroke_is_answered(page):
    requests = []
    page.on("request", lambda each: each.url.endswith("/v1/search") and requests.append(each))
    draw(page, HOUSE[0])
    shown(page)
    draw(page, HOUSE[1])
    ids = shown(page)
    assert len(requests) == 2
    body = json.loads(requests[1].post_data)
    assert (len(body["drawing"]), body["form"], body["k"]) == (2, "raw", 36)
    found = search(page, **body)
    assert ids == [result["id"] for result in found["results"]]
    assert page.locator("#title").text_content() == "The 36 nearest of 180"
    ties = found["ties"]
    start = (
        f"{ties['shown']} of {ties['all']} at distance" if ties["shown"] < ties["all"] else "all"
    )
    assert page.locator("#ties").text_content().startswith(start)
    assert page.locator("#classes .name").first.text_content() == found["categories"][0]["name"]
    assert "ms on the server" in page.locator("#timing").text_content()
    assert "36 drawings" in page.locator("#live").text_content()
    ones = bin(int(found["code"], 16)).count("1")
    assert page.locator("#code rect.one").count() == ones
    assert page.locator("#hits svg").count() == 36


def test_the_benchmark_times_strokes(address, environment, tmp_path):
    out = tmp_path / "strokes.json"
    command = [sys.executable, "-m", "benchmarks.strokes", address, "--strokes", "3"]
    root = Path(__file__).parents[2]
    environment = environment | {"PYTHONPATH": os.pathsep.join([str(root), *sys.path])}
    subprocess.run([*command, "--json", str(out)], env=environment, cwd=root, check=True)
    found = json.loads(out.read_text())
    assert found["strokes"] == 3
    assert 0 < found["p50_ms"] <= found["p95_ms"] <= found["p99_ms"]


def test_a_pool_that_was_cut_is_said(page):
    def cut(route):
        found = route.fetch().json()
        route.fulfill(json=found | {"pool": {"radius": 2, "compared": 200_000, "all": 1_234_567}})

    page.route("**/v1/search", cut)
    draw(page, HOUSE[0])
    shown(page)
    words = "; the features of 200,000 of 1,234,567 equally near ones were compared"
    assert page.locator("#ties").text_content().endswith(words)


def test_ties_are_said_in_words(page):
    ties = {"distance": 20, "all": 4231}
    pool = {"radius": 2, "compared": 9, "all": 9}
    page.route(
        "**/v1/search",
        lambda route: route.fulfill(json=route.fetch().json() | {"ties": ties, "pool": pool}),
    )
    for count, words in ((0, "none of the 4,231"), (36, "36 of 4,231"), (4231, "all 4,231")):
        ties["shown"] = count
        draw(page, HOUSE[0])
        shown(page)
        said = page.locator("#ties").text_content()
        assert said == f"{words} at distance 20; ordered by features"


def test_the_ink_is_on_the_canvas(page):
    def ink():
        return page.evaluate(
            """() => { const c = document.getElementById('canvas');
            return c.getContext('2d').getImageData(0, 0, c.width, c.height).data
              .reduce((sum, v, i) => sum + (i % 4 === 3 && v > 128), 0) }"""
        )

    assert ink() == 0
    draw(page, HOUSE[0])
    whole = ink()
    assert whole > 1000
    draw(page, [(0.3, 0.3), (0.3, 0.3)])  # a tap is a dot
    assert ink() > whole
    assert strokes_on(page) == 2


def test_undo_redo_and_clear_by_button_and_key(page):
    draw(page, *HOUSE, DOOR)
    three = shown(page)
    page.keyboard.press("Control+z")
    assert strokes_on(page) == 2
    two = shown(page)
    page.locator("#undo").click()
    assert strokes_on(page) == 1
    page.keyboard.press("Control+Shift+Z")
    assert (strokes_on(page), shown(page)) == (2, two)
    page.locator("#redo").click()
    assert (strokes_on(page), shown(page)) == (3, three)
    assert page.locator("#redo").is_disabled()
    page.locator("#clear").click()
    assert strokes_on(page) == 0
    assert page.locator("#examples").is_visible()
    page.keyboard.press("Control+z")
    assert (strokes_on(page), shown(page)) == (3, three)
    page.keyboard.press("Control+z")
    draw(page, DOOR)  # a new stroke ends what could be redone
    assert page.locator("#redo").is_disabled()


def test_a_hit_shows_the_bits_that_differ(page):
    draw(page, *HOUSE)
    shown(page)
    page.locator("#hits li").nth(4).hover()
    until(page, "document.getElementById('compare').textContent.includes('bits')")
    distance = int(page.locator("#hits li").nth(4).locator("b").text_content())
    page.wait_for_selector("#code .differs", state="attached")
    assert page.locator("#code .differs").count() == distance
    assert page.locator("#compare").text_content().startswith(f"{distance} of 64 bits")
    page.mouse.move(5, 5)
    page.wait_for_selector("#code .differs", state="detached")


@pytest.mark.parametrize("page", [{"reduced_motion": "no-preference"}], indirect=True)
def test_a_hit_is_replayed_stroke_by_stroke(page):
    draw(page, *HOUSE)
    shown(page)
    hit = page.locator("#hits li").nth(2)
    hit.hover()
    page.wait_for_selector("#hits svg.replay", state="attached")
    waits = hit.locator("path").evaluate_all(
        "all => all.map((path) => parseFloat(getComputedStyle(path).animationDelay))"
    )
    assert waits == sorted(waits)
    assert waits[0] == 0


def test_more_like_this_by_keys(page):
    draw(page, *HOUSE)
    ids = shown(page)
    page.locator("#hits button").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.closest('li').dataset.id") == ids[1]
    page.keyboard.press("Enter")
    page.wait_for_selector("#badge:not([hidden])")
    until(page, f"document.querySelector('#hits li').dataset.id === '{ids[1]}'")
    found = search(page, like=ids[1], k=36)
    assert shown(page) == [result["id"] for result in found["results"]]
    # The focus is still in the list, where the keys were.
    assert page.evaluate("document.activeElement.closest('#hits') !== null")
    page.keyboard.press("Control+z")
    page.wait_for_selector("#badge", state="hidden")
    assert shown(page) == ids


def test_an_example_draws_itself(page):
    page.locator("#examples button", has_text="umbrella").click()
    source = (Path(__file__).parents[2] / "sketchjax/serving/page/examples.js").read_text()
    line = next(line for line in source.splitlines() if '"umbrella"' in line)
    count = len(json.loads(line.split("drawing: ")[1].split(" }")[0]))
    page.wait_for_selector(f"#canvas[aria-label='Your drawing, {count} strokes']")
    assert len(shown(page)) == 36


def test_categories_filter_and_can_be_browsed_without_a_drawing(page):
    page.locator("#filter summary").click()
    until(page, "document.activeElement.id === 'find'")
    page.keyboard.type("su")
    assert page.locator("#categories li").all_text_contents() == ["sun30"]
    page.locator("#categories input").check()
    until(page, "document.getElementById('title').textContent === 'Drawings of sun'")
    assert len(shown(page)) == 30
    page.keyboard.press("Escape")
    draw(page, *HOUSE)
    until(page, "document.getElementById('title').textContent === 'The 30 nearest of sun'")
    assert {*page.locator("#hits .caption span").all_text_contents()} == {"sun"}
    page.locator("#filter summary").click()
    page.locator("#all").click()
    until(page, "document.querySelectorAll('#hits li').length === 36")


def test_a_probable_class_becomes_the_filter(page):
    draw(page, *HOUSE)
    shown(page)
    name = page.locator("#classes .name").first.text_content()
    page.locator("#classes button").first.click()
    until(page, f"document.getElementById('title').textContent.endsWith('of {name}')")
    assert {*page.locator("#hits .caption span").all_text_contents()} == {name}


def test_files_are_opened_and_hits_saved(page, tmp_path):
    (path,) = write(tmp_path, per_category=5, seed=8, categories=["clock"])
    page.set_input_files("#file", path)
    until(page, "document.getElementById('title').textContent.includes('clock.ndjson')")
    assert page.locator("#examples li").count() == 5
    page.locator("#examples button").nth(1).click()
    page.wait_for_selector("#canvas[aria-label*='stroke']")
    ids = shown(page)
    with page.expect_download() as download:
        page.locator("#download").click()
    lines = [json.loads(line) for line in Path(download.value.path()).read_text().splitlines()]
    items = [page.request.get(f"/v1/sketches/{id_}").json() for id_ in ids]
    assert [line["drawing"] for line in lines] == [item["drawing"] for item in items]
    assert [line["key_id"] for line in lines] == [item["key_id"] for item in items]


def test_an_svg_is_opened(page, tmp_path):
    path = tmp_path / "house.svg"
    path.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" onload="document.title=1"><script>document.title=1'
        '</script><g transform="translate(50 20)"><rect x="0" y="40" width="80" height="60"/>'
        '<path d="M0 40L40 0L80 40M30 100V70H50V100"/></g></svg>'
    )
    page.set_input_files("#file", path)
    page.wait_for_selector("#canvas[aria-label*='stroke']")
    shown(page)
    assert strokes_on(page) == 3  # the path has two subpaths
    assert page.title() == "Search by drawing · sketchjax"


def test_an_svg_is_opened_as_it_looks(page, tmp_path):
    path = tmp_path / "corner.svg"
    path.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><path d="M0 0H100"/>'
        '<g style="display:none"><path d="M0 0H900"/></g><path visibility="hidden" d="M0 0H900"/>'
        '<g transform="translate(50 0)"><svg width="50%" height="100%" viewBox="0 0 5 10">'
        '<line x1="100%" x2="100%" y2="10"/></svg></g></svg>'
    )
    requests = []
    page.on("request", lambda each: each.url.endswith("/v1/search") and requests.append(each))
    page.set_input_files("#file", path)
    page.wait_for_selector("#canvas[aria-label*='2 strokes']")
    shown(page)
    body = json.loads(requests[-1].post_data)
    (across, top), (right, down) = (np.array(stroke[:2]) for stroke in body["drawing"])
    assert np.ptp(across) == np.ptp(down) > 0
    assert set(top) == {down[0]}
    assert set(right) == {across[-1]}


def test_files_that_hold_no_drawing(page, tmp_path):
    for name, content, words in (
        ("a.ndjson", b"not json\n", "a.ndjson, line 1 is not JSON"),
        ("a.ndjson", b'{"drawing": [[[1, 2], [3]]]}\n', "line 1 has no"),
        ("a.ndjson", b"\n\n", "has no drawing"),
        ("a.svg", b"<svg", "a.svg cannot be used: it is not well-formed XML."),
        ("a.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "no path, line or other"),
    ):
        (tmp_path / name).write_bytes(content)
        page.set_input_files("#file", tmp_path / name)
        until(page, f"document.getElementById('trouble').textContent.includes({json.dumps(words)})")
        assert page.locator("#notice").is_visible()


def test_an_old_answer_never_replaces_a_newer_one(page):
    held = []

    def hold_the_first(route):
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/v1/search", hold_the_first)
    draw(page, HOUSE[0])
    page.wait_for_selector("#progress:not([hidden])")  # it takes long, and says so
    draw(page, HOUSE[1])
    ids = shown(page)
    assert page.locator("#progress").is_hidden()
    answer = {"code": "00" * 8, "categories": [], "results": [], "ties": None, "pool": None,
              "milliseconds": {}, "index": {"count": 0}}  # fmt: skip
    with contextlib.suppress(playwright.Error):  # the page has cancelled the request
        held[0].fulfill(json=answer)
    page.wait_for_timeout(200)
    assert shown(page) == ids


def test_a_failing_server_is_reported_and_tried_again(page):
    page.route("**/v1/search", lambda route: route.abort())
    draw(page, HOUSE[0])
    page.wait_for_selector("#notice:not([hidden])")
    assert "cannot be reached" in page.locator("#trouble").text_content()
    problem = {"title": "", "status": 500, "detail": "Something in the server went wrong."}
    page.unroute("**/v1/search")
    page.route("**/v1/search", lambda route: route.fulfill(status=500, json=problem))
    page.locator("#again").click()
    until(page, "document.getElementById('trouble').textContent.includes('went wrong')")
    page.unroute("**/v1/search")
    page.locator("#again").click()
    assert len(shown(page)) == 36
    assert page.locator("#notice").is_hidden()


def test_a_proxys_own_errors_are_sentences(page):
    def answers(**options):
        page.unroute_all()
        page.route("**/v1/search", lambda route: route.fulfill(**options))
        draw(page, HOUSE[0])
        page.wait_for_selector("#results[aria-busy=false] #notice:not([hidden])")
        return page.locator("#trouble").text_content()

    for detail in ({"error": "no route"}, ["no route"], 7, "", None):
        assert answers(status=502, json={"detail": detail}).endswith("an error (502).")
    assert answers(status=502, body="<html>") == "The server answered with an error (502)."
    assert "Is a proxy in between?" in answers(status=200, body="<html>")
    assert answers(status=502, json={"detail": "No route."}) == "No route."


def test_a_busy_server_is_asked_again_by_itself(page):
    answers = []

    def busy_twice(route):
        answers.append(route)
        if len(answers) > 2:
            route.continue_()
            return
        problem = {"title": "", "status": 503, "detail": "The server is busy."}
        route.fulfill(status=503, json=problem, headers={"retry-after": "1"})

    page.route("**/v1/search", busy_twice)
    draw(page, *HOUSE[:1])
    assert len(shown(page)) == 36
    assert len(answers) == 3


class Hand:
    """Fingers on the screen, through the browser's debugger."""

    def __init__(self, page):
        self._page, self._session = page, page.context.new_cdp_session(page)

    def touch(self, kind, *points):
        """Send an event; points: of all fingers that are down after it, on the sheet."""
        fingers = [
            {"x": x, "y": y, "id": number}
            for number, (x, y) in enumerate(at(self._page, point) for point in points)
        ]
        self._session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})


PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_a_finger_draws_and_picks(page):
    hand = Hand(page)
    for stroke in HOUSE:
        hand.touch("touchStart", stroke[0])
        for start, end in itertools.pairwise(stroke):
            for share in (0.25, 0.5, 0.75, 1):
                hand.touch(
                    "touchMove",
                    [a + (b - a) * share for a, b in zip(start, end, strict=True)],
                )
        hand.touch("touchEnd")
    shown(page)
    assert strokes_on(page) == 2
    assert page.evaluate("scrollY") == 0  # the sheet does not scroll under the finger
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    hit = page.locator("#hits li").nth(5)
    wanted = hit.get_attribute("data-id")
    hit.locator("button").tap()
    page.wait_for_selector("#picked:not([hidden])")
    page.wait_for_selector("#picked-code .differs", state="attached")
    assert "of 64 bits differ" in page.locator("#picked-name").text_content()
    page.locator("#more").tap()
    until(page, f"document.querySelector('#hits li').dataset.id === '{wanted}'")
    assert page.locator("#picked").is_hidden()


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_a_second_finger_does_not_disturb_the_first(page):
    hand = Hand(page)
    hand.touch("touchStart", (0.2, 0.2))
    hand.touch("touchStart", (0.2, 0.2), (0.8, 0.8))
    hand.touch("touchMove", (0.5, 0.2), (0.8, 0.4))
    hand.touch("touchEnd")
    shown(page)
    assert strokes_on(page) == 1


def test_a_pen_draws(page):
    session = page.context.new_cdp_session(page)
    for kind, point in (("mousePressed", (0.2, 0.2)), ("mouseMoved", (0.7, 0.3)),
                        ("mouseMoved", (0.5, 0.8)), ("mouseReleased", (0.5, 0.8))):  # fmt: skip
        x, y = at(page, point)
        session.send("Input.dispatchMouseEvent", {
            "type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1,
            "pointerType": "pen", "force": 0.5,
        })  # fmt: skip
    shown(page)
    assert strokes_on(page) == 1


@pytest.mark.parametrize(
    "page",
    [{}, {"color_scheme": "dark"}, PHONE, PHONE | {"color_scheme": "dark"}],
    ids=["light", "dark", "phone", "dark phone"],
    indirect=True,
)
def test_axe_finds_nothing_wrong(page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")

    def problems():
        found = axe.Axe().run(page).response["violations"]
        return [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]

    # The page's CSP keeps scripts of others out, so axe is evaluated by the debugger.
    assert problems() == []
    draw(page, *HOUSE)
    shown(page)
    assert problems() == []
    page.locator("#filter summary").click()
    assert problems() == []


def test_all_that_acts_is_reached_by_tab(page):
    draw(page, *HOUSE)
    shown(page)
    page.locator("body").focus()
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
        assert page.evaluate(
            "getComputedStyle(document.activeElement).outlineStyle !== 'none' "
            "|| document.activeElement === document.body"
        )
    assert {"skip", "undo", "clear", "open", "download", "hit"} <= reached


def test_the_example_doodles_are_those_of_the_project():
    from sketchjax.data.sources.doodles import CATEGORIES

    source = (Path(__file__).parents[2] / "sketchjax/serving/page/examples.js").read_text()
    names = re.findall(r'name: "([^"]+)"', source)
    assert len(names) == 12
    assert {*names} <= {*CATEGORIES}
