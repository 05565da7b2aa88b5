"""Files that the page opens, in Chromium: their drawings are those that Python reads."""

import base64
import json
import random
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from web_host import hosted

from sketchjax.data.sketch import drawing_of
from sketchjax.data.sources.records import Refused
from sketchjax.data.sources.svg import points_of_svg
from sketchjax.serving.static import page_files

READ = """async ([name, bytes]) => {
  const { readDrawings } = await import('./files.js');
  const content = Uint8Array.from(atob(bytes), (character) => character.charCodeAt(0));
  try {
    return await readDrawings(new File([content], name));
  } catch (error) {
    return error.constructor.name === 'Problem' ? error.message : `${error}`;
  }
}"""


@pytest.fixture(scope="module")
def reader(browser):
    """An empty page next to the page's scripts."""
    with hosted(page_files() | {"index.html": b"<!doctype html><title>empty</title>"}) as address:
        page = browser.new_page()
        page.goto(address)
        yield page
        page.close()


def read(reader, name: str, content: bytes | str):
    """The drawings of a file, or the sentence that refuses it."""
    content = content.encode() if isinstance(content, str) else content
    return reader.evaluate(READ, [name, base64.b64encode(content).decode()])


def assert_read_as_in_python(reader, content: bytes | str):
    content = content.encode() if isinstance(content, str) else content
    found = read(reader, "a.svg", content)
    try:
        points, _ = points_of_svg(content)
    except Refused:
        expected = "refused"
    else:
        expected = [{"name": "a.svg", "drawing": drawing_of(points), "form": "simplified"}]
    refused = isinstance(found, str) and found.startswith("a.svg cannot be used: ")
    assert ("refused" if refused else found) == expected, content


LINE = '<path d="M0 0L100 0L100 50"/>'
LONG = '<path d="M0 0L300 300"/>'
CURVES = (
    "M10 80C40 10 65 10 95 80S150 150 180 80Q200 0 220 80T260 80",
    "m10 10l20 0 0 20zm50 50h10v10h-10zh-5a20 10 30 01.5.5",
    "M10 80a45 45 0 0 0 125 45A5 5 0 1 1 9 9L125 80Z",
)


@pytest.mark.parametrize(
    "inside",
    [
        *(f'<path d="{data}"/>' for data in CURVES),
        '<path d="M0 0L50 0M51 0L100 0"/>',  # neighbours are two strokes
        f'<path d="{"".join(f"M{x} 0l.5 9" for x in range(100))}"/>',
        f'<path d="M0 0{"".join(f"H{100 * (y % 2)}V{y}" for y in range(1, 60))}"/>',
        "".join(f'<line x1="{x}" x2="{x}" y2="200"/>' for x in range(256)),
        *(f"{empty}{LINE}" for empty in ('<path d=""/>', "<path/>", '<circle r="0"/>')),
        f'<path d="M9 9"/><rect width="-5" height="9"/><polyline points=""/>{LINE}',
        '<polygon points="0,0 100,0 100,70"/><polyline points="1 2 3 4"/>',
        '<rect x="5" y="5" width="50" height="80" rx="10"/><ellipse rx="9" ry="5"/>',
        f'<g transform="translate(10,20) rotate(30 5 5)">{LINE}</g>',
        f'<g transform="matrix(1 2 3 4 5 6), skewX(20)">{LINE}</g>',
        '<svg x="5" width="50" height="9" viewBox="1 1 9 9"><path d="M0 0H9V9"/></svg>',
        '<svg width="50%" height="9"><line x2="50%" y2="1mm"/></svg><line y2="5in"/>',
        *(
            f"<{name}>{LONG}</{name}>{LINE}"
            for name in (
                *("linearGradient", "metadata", "title", "foreignObject", "filter", "text"),
                *("defs", "symbol", "clipPath", "mask", "marker", "pattern", "desc", "a"),
            )
        ),
        f'<svg width="0">{LONG}</svg>{LINE}',
        *(
            f'<g {hidden}>{LONG}<path visibility="visible" d="M0 0L7 9"/></g>{LINE}'
            for hidden in (
                *('display="NONE"', 'display=" none "', 'visibility="HIDDEN"', ""),
                *('style="display:none !important;display:inline"', 'style="visibility:hidden"'),
            )
        ),
        f'<g visibility="hidden"><g visibility="other">{LONG}</g></g>{LINE}',
        f"<style>.a{{fill:none;stroke-width:2}}</style>{LINE}",
        f"<style>.a{{display:none}}</style>{LINE}",
        f"<style>path{{transform:none}}</style>{LINE}",
        '<path style="transform:scale(1,3)" d="M0 0L9 5"/>',
        f'<path style="d:path(&quot;M0 0L5 5&quot;)" d="M0 0L9 5"/>{LINE}',
        f'<g transform-origin="5 5">{LINE}</g>',
        '<rect style="width:9px;height:5px"/>',
        '<line x2="5em"/>',
        '<polyline points="0,0 100,0 100"/>',
        '<path d="M0 0L100 0L5 x"/>',
        '<path d="M0 0A1 1 10 1 3 3"/>',
        f'<g transform="rotate(30deg)">{LINE}</g>',
        f'<g transform="foo(3)">{LINE}</g>',
        f'<g transform="matrix(1e308 0 0 1e308 0 0)">{LINE}</g>',
        f"{'<g>' * 70}{LINE}{'</g>' * 70}",
        "",
    ],
)
@pytest.mark.parametrize("attributes", ["", 'viewBox="0 0 30 40"'])
def test_svg_is_read_as_in_python(reader, inside, attributes):
    space = 'xmlns="http://www.w3.org/2000/svg"'
    assert_read_as_in_python(reader, f"<svg {space} {attributes}>{inside}</svg>")


@pytest.mark.parametrize(
    "document",
    [
        '<svg width="100" height="400" viewBox="0 0 9 9" preserveAspectRatio="none">{}</svg>',
        '<svg style="width:100px;height:300px"><rect width="100%" height="100%"/></svg>',
        '<svg><rect width="100%" height="100%"/></svg>',
        '<svg viewBox="0 0 10">{}</svg>',
        '<svg viewBox="0 0 -1 10">{}</svg>',
        '<s:svg xmlns:s="http://www.w3.org/2000/svg"><s:path d="M0 0L9 5"/></s:svg>',
        "<html><svg>{}</svg></html>",
        "<svg>{}",
        "<svg><path d='M0 0L9 5'></svg>",
        '<!DOCTYPE svg [<!ENTITY a "M0 0L9 5">]><svg><path d="&a;"/></svg>',
        '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://a.b/c.dtd"><svg>{}</svg>',
        "<!-- <!DOCTYPE a [ --><svg>{}</svg>",
    ],
)
def test_svg_documents_are_read_as_in_python(reader, document):
    assert_read_as_in_python(reader, document.replace("{}", LINE))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "iso-8859-1", "ascii"])
def test_svg_in_other_encodings(reader, encoding):
    declared = "" if encoding.startswith("utf") else f'<?xml version="1.0" encoding="{encoding}"?>'
    text = "" if encoding == "ascii" else "<desc>é</desc>"
    assert_read_as_in_python(reader, f"{declared}<svg>{text}{LINE}</svg>".encode(encoding))


def test_svg_of_random_paths(reader):
    """Without arcs, whose sines a browser may round otherwise."""
    chance = random.Random(1)
    needs = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "T": 2, "Z": 0}
    for _ in range(100):
        data = f"M{chance.uniform(0, 9):.3f} 5"
        for command in chance.choices("MmLlHhVvCcSsQqTtZz", k=12):
            numbers = (f"{chance.uniform(-50, 99):.2f}" for _ in range(needs[command.upper()]))
            data += command + " ".join(numbers)
        turn = f"matrix({' '.join(f'{chance.uniform(-2, 2):.3f}' for _ in range(6))})"
        assert_read_as_in_python(reader, f'<svg><path transform="{turn}" d="{data}"/></svg>')


def test_tu_berlins_files_are_read_as_in_python(reader, real_data: Path):
    paths = sorted((real_data / "other" / "tu-berlin").rglob("*.svg"))
    assert len(paths) == 15
    for path in paths:
        assert_read_as_in_python(reader, path.read_bytes())


def ndjson(*drawings) -> str:
    return "".join(json.dumps({"word": "a", "drawing": drawing}) + "\n" for drawing in drawings)


DOT = [[0], [0]]


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("a.ndjson", ndjson([DOT] * 257), "line 1 has 257 strokes; a search takes at"),
        (
            "a.ndjson",
            ndjson([[[0] * 10_001] * 2]),
            "10,001 points; a search takes at most 10,000",
        ),
        ("a.ndjson", ndjson([DOT], [[[0, 1e308], [0, 1]]]), "line 2 has the coordinate 1e+308"),
        ("a.ndjson", ndjson([[[0] * 99_999] * 2]), "no line within its first 256 KiB"),
        ("a.svg", f"<svg>{LINE * 257}</svg>", "it has 257 strokes, and a search takes at most"),
        ("a.svg", f"<svg>{LINE}{' ' * (1 << 20)}</svg>", "larger than 1 MiB"),
    ],
)
def test_files_beyond_what_a_search_takes(reader, name, content, words):
    found = read(reader, name, content)
    assert isinstance(found, str)
    assert words in found


def test_files_of_the_largest_drawings(reader):
    limit = [[list(range(40)), [0.5] * 40]] * 250
    (found,) = read(reader, "a.ndjson", ndjson(limit))
    assert found == {"name": "a", "drawing": limit, "form": "raw"}
    many = [DOT] * 256
    assert read(reader, "a.ndjson", ndjson(many))[0]["drawing"] == many
