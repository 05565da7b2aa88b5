"""What people see: braille, tables and sentences; and the drawings that they ask for."""

import io

import numpy as np
import pytest
from drawings_and_codes import items_of, memory_of
from projecting import Projecting
from rich.console import Console

from sketchjax.errors import DataError
from sketchjax.index import search
from sketchjax.index.asking import ask, read_drawings
from sketchjax.index.braille import braille
from sketchjax.index.search import Query, answer
from sketchjax.index.show import can_draw, print_answer, summary, write_page

SQUARE = np.array([[0, 0, 0], [200, 0, 0], [200, 200, 0], [0, 200, 0], [0, 0, 1]], np.uint8)
NOTHING = np.zeros((0, 3), np.uint8)


def dots_of(text: str) -> list[str]:
    """Braille as rows of # and ., by the standard's numbering of dots."""
    lines = text.splitlines()
    order = [[1, 4], [2, 5], [3, 6], [7, 8]]
    return [
        "".join(
            "#" if ord(char) - 0x2800 >> (dot - 1) & 1 else "."
            for char in line
            for dot in order[row]
        )
        for line in lines
        for row in range(4)
    ]


def test_a_square_is_a_square_of_dots():
    assert dots_of(braille(SQUARE, 4, 2)) == ["#" * 8, *["#......#"] * 6, "#" * 8]


def test_a_point_and_a_flat_line_are_drawn():
    assert sum(row.count("#") for row in dots_of(braille(SQUARE[-1:], 4, 2))) == 1
    assert dots_of(braille(np.array([[0, 9, 0], [90, 9, 1]], np.uint8), 2, 1))[2] == "####"
    assert set("".join(dots_of(braille(NOTHING, 3, 2)))) == {"."}


@pytest.mark.parametrize("seed", range(5))
def test_any_sketch_stays_inside(seed):
    random = np.random.default_rng(seed)
    points = random.integers(0, 256, (20, 3)).astype(np.uint8)
    points[:, 2] = random.random(20) < 0.3
    points[-1, 2] = 1
    lines = braille(points, 10, 5).splitlines()
    assert [len(line) for line in lines] == [10] * 5


def printed(found, **options) -> str:
    file = io.StringIO()
    print_answer(Console(file=file, width=120), found, SQUARE, **options)
    return file.getvalue()


def test_tables_have_pictures_only_where_they_can_be_seen():
    assert not can_draw(Console(file=io.StringIO()))
    assert can_draw(Console(file=io.StringIO(), force_terminal=True))
    found = answer(memory_of(items_of(300)), Query(like=5, k=3))
    plain, drawn = printed(found, pictures=False), printed(found, pictures=True)
    assert not any(0x2800 <= ord(char) < 0x2900 for char in plain)
    # The query in 8 rows, and each result in 5.
    assert (
        sum(any(0x2800 <= ord(char) < 0x2900 for char in line) for line in drawn.splitlines()) == 23
    )
    assert f"{found.results[0].source}:{found.results[0].place}" in plain


def test_sentences_say_what_is_not_shown(monkeypatch):
    items = items_of(300, distinct=1)
    engine = memory_of(items)
    assert "36 of 300 drawings at distance 0." in summary(answer(engine, Query(like=0)))
    whole = answer(engine, Query(like=0, k=300))
    assert "All 300 drawings up to distance 0 are shown." in summary(whole)
    apart = answer(memory_of(items_of(3, distinct=3)), Query(like=0))
    assert len({result.distance for result in apart.results}) > 1
    assert f"All 3 drawings up to distance {apart.results[-1].distance} are" in summary(apart)
    assert "The only drawing up to distance 0 is shown." in summary(
        answer(memory_of(items_of(1)), Query(like=0))
    )
    assert "Nothing was found." in summary(answer(engine, Query(like=0, categories=[])))
    monkeypatch.setattr(search, "MOST", 50)
    assert "50 of 300 equally near" in summary(answer(engine, Query(like=0)))


def test_pages_escape_names(tmp_path):
    items = items_of(20)
    engine = memory_of(items)
    engine.add(items[[0]].with_ids(np.zeros(0, np.int64)))
    bad = "<script>alert(1)</script>"
    ids = engine.add(type(items)(**{**vars(items[[1]]), "categories": [bad], "sources": [bad]}))
    found = answer(engine, Query(like=int(ids[0]), k=30))
    write_page(tmp_path / "page.html", [found], [SQUARE])
    text = (tmp_path / "page.html").read_text()
    assert bad not in text
    assert text.count("&lt;script&gt;") >= 2


@pytest.mark.parametrize(
    "content, count",
    [
        ("[[[0, 9, 9], [0, 0, 9]]]", 1),
        (" [[[[0, 9], [0, 9]]], [[[0, 7], [3, 9]]]]", 2),
        ('{"word": "cat", "drawing": [[[0, 255], [0, 9]]]}\n' * 3, 3),
        ('\n[ {"drawing": [[[0, 255], [0, 9]]]},\n {"drawing": [[[0, 255], [0, 9]]]}]', 2),
    ],
)
def test_drawings_are_read_from_files_and_stdin(tmp_path, content, count):
    path = tmp_path / "drawing.json"
    path.write_text(content)
    assert sum(map(len, read_drawings(path))) == count
    assert sum(map(len, read_drawings(io.BytesIO(content.encode())))) == count


@pytest.mark.parametrize("content", ["[1, 2", "[]", "[[]]", "[1, 2]", "[{}]", '[["a"]]', "", "{}"])
def test_what_is_no_drawing_is_refused(tmp_path, content):
    path = tmp_path / "drawing.json"
    path.write_text(content)
    engine = memory_of(items_of(20, 16, 16))
    for given in (path, io.BytesIO(content.encode())):
        with pytest.raises(DataError):
            ask(engine, Projecting, given)


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "stdin holds no drawing"),
        ('{"drawing": [[[0, 9], [0]]]}', "stdin, line 1: .*; fix or remove it$"),
        ('{"drawing": [[[0, 9], [0, 9]]]}\n{', "stdin, line 2: .*; fix or remove it$"),
    ],
)
def test_what_stdin_lacks_is_said_of_stdin(content, message):
    """Not of the file that it is copied to; nor is an option named that a search does not have."""
    engine = memory_of(items_of(20, 16, 16))
    with pytest.raises(DataError, match=message):
        ask(engine, Projecting, io.BytesIO(content.encode()))


def test_queries_of_another_model_are_refused_before_encoding():
    engine, encoder = memory_of(items_of(20, 16, 16)), Projecting()
    with pytest.raises(DataError, match="encode with the model of the index"):
        ask(engine, lambda: encoder, io.BytesIO(b"[[[0, 9], [0, 9]]]"))
    assert encoder.encoded == 0
