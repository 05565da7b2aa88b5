"""Answers for people: a table for the terminal, and a page of pictures."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sketchjax.data.sketch import points_of_strokes
from sketchjax.files import write_whole
from sketchjax.index.braille import braille
from sketchjax.index.engine import noun_of
from sketchjax.index.search import Answer, Result
from sketchjax.report.svg import path_data, view_box
from sketchjax.report.template import environment
from sketchjax.wording import counted

_TEMPLATES = Path(__file__).parent / "templates"


def can_draw(console: Console) -> bool:
    """Whether a terminal shows braille: a file or a pipe gets no pictures."""
    return console.is_terminal and "utf" in (console.encoding or "").lower()


def print_answer(console: Console, answer: Answer, drawing: np.ndarray, *, pictures: bool) -> None:
    """Print what was found as a table.

    answer: of the index.
    drawing: u8[t 3], the query; empty where there was only a code or an id.
    pictures: whether to draw.
    """
    if pictures and len(drawing):
        console.print(Text(braille(drawing, 16, 8)))
    console.print(summary(answer), highlight=False, markup=False)
    table = Table(box=None, pad_edge=False, show_edge=False)
    for heading in ("", *([""] if pictures else []), "category", "id", "distance", "features"):
        table.add_column(
            heading, justify="right" if heading in ("distance", "features") else "left"
        )
    table.add_column("from", overflow="fold")
    for rank, result in enumerate(answer.results, 1):
        drawn = [Text(braille(points_of(result)))] if pictures else []
        features = "" if result.feature_distance is None else f"{result.feature_distance:.3g}"
        table.add_row(
            str(rank),
            *drawn,
            Text(result.category),
            result.id,
            str(result.distance),
            features,
            Text(origin(result)),
        )
    console.print(table)


def write_page(
    path: Path,
    answers: Sequence[Answer],
    drawings: Sequence[np.ndarray],
    thumbnail: Callable[[int], bytes] = lambda id_: b"",
) -> None:
    """Write answers as one HTML page with all its pictures, readable without a network.

    path: of the file.
    answers: of the index.
    drawings: u8[t 3], the query of each; empty where there was only a code or an id.
    thumbnail: gives the JPEG file of a photo by its id.
    """
    found = [
        {
            "summary": summary(answer),
            "drawing": _picture(drawing),
            "results": [
                {
                    "picture": _picture(points_of(result)),
                    "photo": _data_address(thumbnail(int(result.id)))
                    if result.kind == "photo"
                    else "",
                    "origin": origin(result),
                    "own": result,
                }
                for result in answer.results
            ],
        }
        for answer, drawing in zip(answers, drawings, strict=True)
    ]
    template = environment(_TEMPLATES).get_template("answers.html")
    write_whole(path, template.render(found=found).encode())


def summary(answer: Answer) -> str:
    """Probable categories and ties in a sentence."""
    parts = []
    if answer.categories:
        named = ", ".join(f"{own.name} {own.probability:.0%}" for own in answer.categories)
        parts.append(f"Probably {named}.")
    ties, noun = answer.ties, noun_of(answer.index.count, answer.index.photos)
    if ties is None:
        parts.append("Nothing was found.")
    elif ties.shown == ties.all:
        count = len(answer.results)
        shown = f"All {count:,} {noun}s up to distance {ties.distance} are"
        if count == 1:
            shown = f"The only {noun} up to distance {ties.distance} is"
        parts.append(f"{shown} shown.")
    else:
        parts.append(f"{ties.shown:,} of {ties.all:,} {noun}s at distance {ties.distance}.")
    if answer.pool and answer.pool.compared < answer.pool.all:
        pool = answer.pool
        parts.append(
            f"Features of {pool.compared:,} of {pool.all:,} equally near {noun}s were compared."
        )
    took = answer.milliseconds.search
    shown = f"{took:.3g}" if took < 100 else f"{took:,.0f}"
    parts.append(f"{counted(answer.index.count, noun)} in {shown} ms.")
    return " ".join(parts)


def origin(result: Result) -> str:
    """Where a drawing came from: a file, and the line or record in it."""
    return f"{result.source}:{result.place}" if result.source else f"key {result.key_id}"


def points_of(result: Result) -> np.ndarray:
    """The points u8[t 3] of a result."""
    strokes = msgspec.json.decode(result.points) if result.points else []
    return points_of_strokes([np.array(stroke).T for stroke in strokes])


def _picture(points: np.ndarray) -> dict[str, str]:
    return {"path": path_data(points), "box": view_box(points)}


def _data_address(content: bytes) -> str:
    """A JPEG file as an address that has all of it."""
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"
