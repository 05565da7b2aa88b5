"""The page without a server, in Chromium: points and answers as Python's, codes as jax's."""

import contextlib
import dataclasses
import gzip
import io
import json
import tarfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from chromium import HOUSE, draw, shown, until
from command_line import call
from doodle_server import doodle_index, no_progress
from web_host import hosted

import sketchjax
from sketchjax.data.simplify import simplify
from sketchjax.data.sketch import drawing_of
from sketchjax.errors import ConfigError, DataError, InUseError
from sketchjax.export.onnx_encoder import OnnxEncoder
from sketchjax.files import sole_writer
from sketchjax.index import search
from sketchjax.index.engine import Description, Scale
from sketchjax.index.memory import Memory
from sketchjax.index.search import Query, answer
from sketchjax.index.sources import find_sources
from sketchjax.retrieval.codes import Codes
from sketchjax.serving.gallery import index_in_memory
from sketchjax.serving.static import (
    RUNTIME_FILES,
    RUNTIME_URL,
    Graph,
    gallery_files,
    page_files,
    read_runtime,
    write_page,
)

NO_GRAPH = Graph(b"", "ab" * 32, 96, ["cat"])


def index_of(n=600, bits=64, features=64, distinct=15, seed=0) -> Memory:
    """Doodles with few random codes, so that there are ties; every seventh is deleted."""
    random = np.random.default_rng(seed)
    doodles = doodle_index().snapshot()
    items = doodles.get(random.integers(0, len(doodles.ids), n).tolist())
    codes = random.integers(0, 256, (distinct, bits // 8)).astype(np.uint8)
    items = dataclasses.replace(
        items,
        codes=codes[random.integers(0, distinct, n)],
        features=random.integers(0, 256, (n, features)).astype(np.uint8),
        key_ids=random.integers(0, 2**64, n, np.uint64),
        sources=[("one.ndjson", "größer.bin")[i] for i in random.integers(0, 2, n)],
        ids=np.arange(n) * 3 + 5,
    )
    scale = Scale(-1.0, 0.0123)
    engine = Memory(Description("random", "ab" * 32, bits, features, scale, 0, 0, {}), [items])
    engine.delete(items.ids[::7].tolist())
    return engine


@contextlib.contextmanager
def opened(browser, files):
    """The page of these files."""
    context = browser.new_context(reduced_motion="reduce", viewport={"width": 1280, "height": 860})
    with hosted(files) as address, contextlib.closing(context):
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(address)
        ready = "document.getElementById('about').textContent.includes('stays in this browser')"
        until(page, ready)
        yield page


@pytest.fixture(scope="module")
def engine():
    return index_of()


@pytest.fixture(scope="module")
def page(browser, engine):
    with opened(browser, page_files() | gallery_files(engine.snapshot(), NO_GRAPH)) as page:
        yield page


def called(page, path, *bodies):
    """What the page's own search answers to each body."""
    found = page.evaluate(
        """async ([path, bodies]) => {
          const { call } = await import('./api.js');
          const answers = await Promise.all(bodies.map((body) => call(path, { body })));
          return JSON.stringify(answers);
        }""",
        [path, bodies or [None]],
    )
    return json.loads(found)


def without_times(found) -> dict:
    """An answer as it is in JSON."""
    return msgspec.json.decode(msgspec.json.encode(found)) | {"milliseconds": None}


def test_answers_are_those_of_the_server(page, engine):
    _assert_answered_equally(page, engine)


@pytest.mark.parametrize("bits, features, n", [(16, 16, 300), (104, 130, 900)])
def test_answers_of_other_widths(browser, bits, features, n):
    engine = index_of(n, bits, features)
    files = page_files() | gallery_files(engine.snapshot(), NO_GRAPH)
    with opened(browser, files) as page:
        _assert_answered_equally(page, engine)


def _assert_answered_equally(page, engine):
    snapshot = engine.snapshot()
    ids = snapshot.ids[snapshot.rows_of(snapshot.ids)[1]]
    bits = snapshot.describe().bits
    codes = np.random.default_rng(1).integers(0, 256, (5, bits // 8)).astype(np.uint8)
    every = ({}, {"k": 1}, {"k": 200}, {"categories": ["sun", "cat"]}, {"rerank": False})
    asked, expected = [], []
    for options in (*every, {"points": False}):
        for id_ in ids[[0, len(ids) // 2, -1]].tolist():
            asked.append({"like": str(id_), **options})
            expected.append(answer(engine, Query(like=id_, **options)))
        for code in [*codes, snapshot.get([ids[3]]).codes[0]]:
            asked.append({"code": code.tobytes().hex(), **options})
            expected.append(answer(engine, Query(code, **options)))
    assert called(page, "v1/index") == [msgspec.to_builtins(snapshot.describe())]
    found = called(page, "v1/search", *asked)
    for body, one, other in zip(asked, found, expected, strict=True):
        assert without_times(one) == without_times(other), body


def test_a_pool_beyond_the_limit_is_cut_as_on_the_server(browser, monkeypatch):
    monkeypatch.setattr(search, "MOST", 250)
    engine = index_of(2_000, distinct=3)
    files = page_files() | gallery_files(engine.snapshot(), NO_GRAPH)
    files["search.js"] = files["search.js"].replace(b"MOST = 200_000", b"MOST = 250")
    expected = answer(engine, Query(like=8, k=36))
    assert expected.pool.compared == 250 < expected.pool.all
    with opened(browser, files) as page:
        (found,) = called(page, "v1/search", {"like": "8"})
    assert without_times(found) == without_times(expected)


def test_a_drawing_is_that_of_the_index(page, engine):
    items = engine.snapshot().get([11])
    (found,) = called(page, "v1/sketches/11")
    assert (found["key_id"], found["source"]) == (str(items.key_ids[0]), items.sources[0])
    assert found["code"] == items.codes[0].tobytes().hex()
    ends = np.flatnonzero(items.points[:, 2]) + 1
    assert found["drawing"] == [s[:, :2].T.tolist() for s in np.split(items.points, ends)[:-1]]
    with pytest.raises(Exception, match="There is no drawing 5 in the index"):
        called(page, "v1/sketches/5")  # it is deleted


SIMPLIFY = """async (drawings) => {
  const { simplify } = await import('./simplify.js');
  return JSON.stringify(JSON.parse(drawings).map((drawing) => Array.from(simplify(drawing))));
}"""


def test_real_drawings_are_simplified_as_in_python(page, real_data):
    """All 1,551 raw drawings come out equal in every point."""
    drawings = [
        [stroke[:2] for stroke in json.loads(line)["drawing"]]
        for path in sorted((real_data / "quickdraw-raw").glob("*.ndjson.gz"))
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]
    assert len(drawings) > 1_500
    _assert_simplified_equally(page, drawings)


def test_odd_drawings_are_simplified_as_in_python(page):
    random = np.random.default_rng(2)
    scribbles = [
        [random.normal(0, scale, (2, count)).tolist() for _ in range(strokes)]
        for scale in (1e-3, 1, 1e4)
        for count in (1, 2, 3, 40)
        for strokes in (1, 3)
    ]
    steps = [[[0, 1, 2, 3, 3, 3], [0, 0, 0, 0, 4, 4]]]  # lengths that are whole numbers
    halves = [[[0, 510, 255, 1, 3, 5], [0, 0, 510, 1, 3, 7]]]
    dots = [[[7], [7]]], [[[3, 3, 3], [4, 4, 4]], [[9], [1]]]
    _assert_simplified_equally(page, [*scribbles, steps, halves, *dots])


def _assert_simplified_equally(page, drawings):
    found = json.loads(page.evaluate(SIMPLIFY, json.dumps(drawings)))
    for drawing, points in zip(drawings, found, strict=True):
        expected = simplify([np.array(stroke, float).T for stroke in drawing])
        assert points == expected.ravel().tolist(), drawing


def test_a_scribble_is_refused_as_on_the_server(page):
    zigzag = [[list(range(600)), [0, 599] * 300]]
    with pytest.raises(Exception, match="strokes cross it more than 250 times"):
        page.evaluate(SIMPLIFY, json.dumps([zigzag]))


@pytest.fixture(scope="module")
def exported(whole, runtime, tmp_path_factory) -> dict[str, bytes]:
    """The files of a run's page."""
    folder = tmp_path_factory.mktemp("exported") / "page"
    assert call("export", whole, "--page", folder, "--ort", runtime) == 0
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


OUTPUTS = """async () => {
  const { Encoder } = await import('./encode.js');
  const { Gallery } = await import('./search.js');
  const about = await (await fetch('gallery.json')).json();
  const gallery = new Gallery(about, await (await fetch('gallery.bin')).arrayBuffer());
  const encoder = await Encoder.load(about);
  const found = [];
  for (let row = 0; row < gallery.count; row += 1) {
    const points = gallery.points.slice(3 * gallery.offsets[row], 3 * gallery.offsets[row + 1]);
    const { code, features, probable } = await encoder.outputs(points);
    found.push({ code: Array.from(code), features: Array.from(features), probable });
  }
  return JSON.stringify(found);
}"""


def test_codes_in_the_browser_are_those_of_jax(browser, whole, exported):
    model = sketchjax.load(whole)
    (source,) = find_sources([whole], model, split="gallery", skip_bad=False, note=print)
    # With the bytes of the features that the page has.
    engine = index_in_memory("whole", source, OnnxEncoder.load(whole), no_progress)
    snapshot = engine.snapshot()
    items = snapshot.get(snapshot.ids.tolist())
    drawings = [drawing_of(items.points_of(row)) for row in range(len(items))]
    bodies = [{"drawing": drawing, "form": "simplified"} for drawing in drawings]
    with opened(browser, exported) as page:
        outputs = json.loads(page.evaluate(OUTPUTS))
        found = called(page, "v1/search", *bodies)
    wanted = Codes.load(whole / "codes" / "gallery").packed
    np.testing.assert_array_equal([own["code"] for own in outputs], wanted)
    expected = model.outputs([items.points_of(row) for row in range(len(items))])
    np.testing.assert_allclose([own["features"] for own in outputs], expected.features, atol=2e-5)
    for row, own in enumerate(outputs):
        features = np.array(own["features"], np.float32)
        query = Query(wanted[row], features, probable=tuple(own["probable"]))
        assert without_times(found[row]) == without_times(answer(engine, query))
        shares = expected.probabilities[row]
        names = [model.categories.index(each["name"]) for each in own["probable"]]
        np.testing.assert_allclose(shares[names], np.sort(shares)[::-1][: len(names)], atol=2e-5)


def test_nothing_leaves_the_browser(browser, exported):
    asked: list[str] = []
    elsewhere: list[str] = []
    with hosted({"index.html": b""}) as other:
        with opened(browser, exported) as page:
            page.context.on("request", lambda request: asked.append(request.url))
            draw(page, HOUSE[0])
            shown(page)
            elsewhere += page.evaluate(
                "(other) => fetch(other).then(() => ['sent'], () => [])", other
            )
            address = page.url
            counts = len(asked)
            draw(page, HOUSE[1])
            shown(page)
            assert "ms in this browser" in page.locator("#timing").text_content()
        assert elsewhere == []
    assert asked[counts:] == []
    assert all(url.startswith(address) for url in asked if url != other)


def test_a_model_that_takes_long_to_load(browser, exported):
    held = []
    with contextlib.closing(browser.new_context()) as context, hosted(exported) as address:
        context.route("**/encoder.onnx*", lambda route: held.append(route))
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(address)
        until(page, "document.getElementById('about').textContent.includes('stays in this')")
        draw(page, HOUSE[0])
        until(page, "document.getElementById('ties').textContent.includes('is being loaded')")
        assert page.locator("#progress").is_visible()
        held[0].continue_()
        shown(page)
        assert "distance" in page.locator("#ties").text_content()


def test_the_page_works_when_its_host_is_gone(browser, exported):
    context = browser.new_context(reduced_motion="reduce")
    with contextlib.closing(context):
        page = context.new_page()
        page.set_default_timeout(60_000)
        with hosted(exported) as address:
            page.goto(address)
            draw(page, HOUSE[0])
            first = shown(page)
        draw(page, HOUSE[1])
        assert len(shown(page)) == len(first)
        page.locator("#hits button").nth(3).click()
        page.wait_for_selector("#badge:not([hidden])")
        assert page.locator("#notice").is_hidden()


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "name the folder of the model to write, or --page DIR"),
        (["model", "--ort", "some.tgz"], "--ort needs --page DIR"),
        (["--page", "page", "--half"], "--half gives other codes"),
        (["--page", "page"], "name what the page searches: --gallery INDEX"),
        (
            ["--page", "page", "--gallery", "index"],
            "curl -LO https://registry.npmjs.org/onnxruntime-web",
        ),
    ],
)
def test_options_that_cannot_be(tmp_path, capsys, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert call("export", tmp_path / "run", *arguments) == 64
    assert words in capsys.readouterr().err


def test_the_documented_command_gets_the_runtime():
    text = (Path(__file__).parents[2] / "docs" / "search.md").read_text()
    assert f"curl -LO {RUNTIME_URL}" in text
    assert f"--ort {Path(RUNTIME_URL).name}\n" in text


def test_a_folder_that_is_there_is_kept(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    arguments = ("--gallery", "index", "--page", tmp_path, "--ort", "nothing")
    assert call("export", tmp_path / "run", *arguments) == 65
    assert "exists already" in capsys.readouterr().err


def test_two_processes_do_not_write_the_same_page(tmp_path):
    snapshot = index_of().snapshot()
    with sole_writer(tmp_path / "page"), pytest.raises(InUseError, match="another process"):
        write_page(tmp_path / "page", snapshot, NO_GRAPH, {})
    assert list(tmp_path.iterdir()) == []
    write_page(tmp_path / "page", snapshot, NO_GRAPH, {})
    assert (tmp_path / "page" / "gallery.bin").is_file()


def archive_of(path: Path, files: dict[str, bytes]) -> Path:
    """A .tgz with these files, as npm packs them."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_a_runtime_of_another_version_is_refused(tmp_path):
    other = dict.fromkeys(RUNTIME_FILES, b"other")
    folder = tmp_path / "unpacked"
    (folder / "package" / "dist").mkdir(parents=True)
    for name, content in other.items():
        (folder / "package" / "dist" / name).write_bytes(content)
    for path in (folder, archive_of(tmp_path / "other.tgz", other)):
        with pytest.raises(ConfigError, match=r"ort.wasm.min.mjs is not that of onnxruntime-web"):
            read_runtime(path)


def test_a_runtime_that_cannot_be_read_says_how_to_get_it(tmp_path):
    some = archive_of(tmp_path / "some.tgz", {"ort.wasm.min.mjs": b""})
    (tmp_path / "text.tgz").write_bytes(b"text")
    for path in (tmp_path, tmp_path / "nothing", some, tmp_path / "text.tgz"):
        with pytest.raises(ConfigError, match=r"(?s)cannot be read .*curl -LO https://registry"):
            read_runtime(path)
    with pytest.raises(ConfigError, match=r"needs onnxruntime-web .*curl -LO"):
        read_runtime(None)


def test_an_empty_index_is_refused():
    engine = index_of(10)
    engine.delete(engine.snapshot().ids.tolist())
    with pytest.raises(DataError, match="no drawing to show"):
        gallery_files(engine.snapshot(), NO_GRAPH)
