"""A page without a server whose files are missing, damaged, mixed or forbidden, in Chromium."""

import contextlib
import zlib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from chromium import HOUSE, draw, shown, until
from test_static import NO_GRAPH, index_of
from web_host import hosted

from sketchjax.packaged import MODEL
from sketchjax.serving.static import Graph, gallery_files, page_files, read_runtime

SNAPSHOT = index_of(50).snapshot()


@pytest.fixture
def files() -> dict[str, bytes]:
    """A page that can do all but draw: it has no model."""
    return page_files() | gallery_files(SNAPSHOT, NO_GRAPH)


@pytest.fixture(scope="module")
def parts(runtime) -> dict[str, bytes]:
    """The files of a page with the model of the package."""
    graph = Graph.of(MODEL)
    ort = {f"ort/{name}": content for name, content in read_runtime(runtime).items()}
    return page_files() | gallery_files(SNAPSHOT, graph) | ort


@pytest.fixture
def whole_page(parts) -> dict[str, bytes]:
    """These files, to change."""
    return dict(parts)


@contextlib.contextmanager
def loaded(browser, files, headers=None):
    """The page, whether it works or not."""
    context = browser.new_context(reduced_motion="reduce", viewport={"width": 1280, "height": 860})
    with hosted(files, headers) as address, contextlib.closing(context):
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(address)
        yield page


def trouble(page) -> str:
    """What the page says is wrong, once it says so."""
    page.wait_for_selector("#notice:not([hidden])")
    assert page.locator("#results").get_attribute("aria-busy") != "true"
    return page.locator("#trouble").text_content()


def let_pass(page, seconds: float):
    """Let a time of the page's animations pass, twenty times as fast."""
    session = page.context.new_cdp_session(page)
    session.send("Animation.enable")
    session.send("Animation.setPlaybackRate", {"playbackRate": 20})
    page.wait_for_timeout(1000 * seconds / 20)


def until_ready(page):
    """Wait for the number of drawings in the heading."""
    until(page, "document.getElementById('about').textContent.startsWith('42 drawings')")


def changed(content: bytes) -> bytes:
    """The same size, and one byte other."""
    return content[:-1] + bytes([content[-1] ^ 1])


def test_checksums_are_those_of_zlib(browser, files):
    contents = [np.random.default_rng(n).bytes(n) for n in (0, 1, 3, 4, 5, 8, 1023, 70_000)]
    with loaded(browser, files) as page:
        found = page.evaluate(
            """async (contents) => {
              const { crc32 } = await import('./crc32.js');
              return contents.map((bytes) => crc32(Uint8Array.from(bytes)));
            }""",
            [list(content) for content in contents],
        )
    assert found == [zlib.crc32(content) for content in contents]


def test_a_missing_file_is_reported_and_tried_again(browser, files):
    with loaded(browser, files) as page:
        for name, said in (
            ("gallery.json", "gallery.json cannot be loaded (404)"),
            ("gallery.bin", "gallery.bin cannot be loaded (404)"),
            ("worker.js", "The scripts of the search"),
            ("search.js", "The scripts of the search"),
        ):
            content = files.pop(name)
            page.reload()
            assert trouble(page).startswith(said)
            files[name] = content
            page.locator("#again").click()
            until_ready(page)
            assert page.locator("#notice").is_hidden()


def test_a_missing_local_js_is_loaded_again(browser, files):
    content = files.pop("local.js")
    with loaded(browser, files) as page:
        assert trouble(page) == "local.js cannot be loaded. Is the network there?"
        files["local.js"] = content
        page.locator("#again").click()
        until_ready(page)


def test_another_gallery_of_the_same_size(browser, files):
    files["gallery.bin"] = changed(files["gallery.bin"])
    with loaded(browser, files) as page:
        assert trouble(page).startswith("gallery.bin is damaged, or of another export than")


def test_a_damaged_description(browser, files):
    with loaded(browser, files) as page:
        for content in (b'{"name": "a", "cr', b"\xff\xfe", b"null", b"{}"):
            files["gallery.json"] = content
            page.reload()
            assert trouble(page).startswith("gallery.json is ")


def test_an_old_file_in_the_cache_is_replaced(browser, files):
    """The browser got it under the new address while the new export was being uploaded."""
    content = files["gallery.bin"]
    files["gallery.bin"] = changed(content)
    with loaded(browser, files, {"cache-control": "max-age=3600"}) as page:
        assert "gallery.bin is damaged" in trouble(page)
        files["gallery.bin"] = content
        page.locator("#again").click()
        until_ready(page)
        # What the browser keeps is the new one now.
        del files["gallery.bin"]
        page.reload()
        until_ready(page)


def test_another_model_of_the_same_size(browser, whole_page):
    content = whole_page["encoder.onnx"]
    whole_page["encoder.onnx"] = changed(content)
    with loaded(browser, whole_page) as page:
        until_ready(page)
        draw(page, HOUSE[0])
        assert trouble(page).startswith("encoder.onnx is damaged, or of another export than")
        whole_page["encoder.onnx"] = content
        page.locator("#again").click()
        assert shown(page)


@pytest.mark.parametrize(
    "name", ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"]
)
def test_onnxruntime_starts_again_after_a_failure(browser, whole_page, name):
    content = whole_page.pop(f"ort/{name}")
    with loaded(browser, whole_page) as page:
        until_ready(page)
        draw(page, HOUSE[0])
        words = trouble(page)
        assert "ort/" in words
        assert "ERR" not in words
        whole_page[f"ort/{name}"] = content
        page.locator("#again").click()
        assert shown(page)
        assert page.locator("#notice").is_hidden()


def test_what_was_drawn_is_searched_by_try_again(browser, whole_page):
    content = whole_page.pop("gallery.json")
    with loaded(browser, whole_page) as page:
        trouble(page)
        draw(page, HOUSE[0])
        assert "gallery.json" in trouble(page)
        whole_page["gallery.json"] = content
        page.locator("#again").click()
        assert shown(page)
        until_ready(page)
        assert page.locator("#title").text_content() == "The 36 nearest of 42"


def test_a_host_that_forbids_webassembly(browser, whole_page):
    with loaded(browser, whole_page, {"content-security-policy": "default-src 'self'"}) as page:
        until_ready(page)
        draw(page, HOUSE[0])
        assert "script-src needs 'wasm-unsafe-eval'" in trouble(page)


def test_the_documented_policy_of_a_host_suffices(browser, whole_page):
    policy = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'"
    assert policy in (Path(__file__).parents[2] / "docs" / "search.md").read_text()
    with loaded(browser, whole_page, {"content-security-policy": policy}) as page:
        draw(page, HOUSE[0])
        assert shown(page)


@pytest.mark.parametrize("policy", ["require-trusted-types-for 'script'", "worker-src 'none'"])
def test_a_host_that_forbids_workers(browser, files, policy):
    with loaded(browser, files, {"content-security-policy": policy}) as page:
        first = trouble(page)
        draw(page, HOUSE[0])
        assert trouble(page) == first
        assert page.locator("#progress").is_hidden()


@pytest.mark.parametrize("name", ["hits.js", "draw.js"])
def test_a_page_whose_scripts_do_not_load_says_so(browser, files, name):
    del files[name]
    with loaded(browser, files) as page:
        assert page.locator("#late").is_hidden()
        let_pass(page, 10)
        assert page.locator("#late").is_visible()
        assert "reload it" in page.locator("#late").text_content()


def test_a_page_opened_as_a_file_says_so(browser, files, tmp_path):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with contextlib.closing(browser.new_context()) as context:
        page = context.new_page()
        page.goto((tmp_path / "index.html").as_uri())
        let_pass(page, 10)
        assert "needs a web server" in page.locator("#late").text_content()
        assert page.locator("#late").is_visible()


def test_a_page_that_works_takes_the_warning_away(browser, files):
    with loaded(browser, files) as page:
        until_ready(page)
        assert page.locator("#late").count() == 0


def test_without_javascript_there_is_one_warning(browser, files):
    context = browser.new_context(java_script_enabled=False)
    with hosted(files) as address, contextlib.closing(context):
        page = context.new_page()
        page.goto(address)
        let_pass(page, 20)
        assert page.locator("noscript").is_visible()
        assert page.locator("#late").is_hidden()
