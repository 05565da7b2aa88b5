"""Commands that encode drawings and find the nearest ones."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
import typer.core

from sketchjax.commands.encoders import (
    EngineUrl,
    IndexFolder,
    RunsModel,
    Runtime,
    SkipBad,
    Split,
    encoder_for,
    encoder_of,
    items,
    tasks,
)
from sketchjax.commands.program import Categories, OnBad, app, names_of, path, stoppable
from sketchjax.errors import DataError, on_disk
from sketchjax.fields import home_path


@app.command()
def encode(
    model: Annotated[Path, path("MODEL", "A model file, or the workdir of a run.")],
    paths: Annotated[
        list[Path],
        typer.Argument(
            parser=home_path,
            metavar="SOURCE... OUT",
            help="Drawings as `sketchjax index` takes them, then the folder to write.",
        ),
    ],
    split: Split = "gallery",
    on_bad: SkipBad = OnBad.STOP,
    runtime: RunsModel = Runtime.AUTO,
) -> None:
    """Encode drawings into files that others read: codes.npy, features.npy and items.parquet."""
    from sketchjax.index.encoded import write_encoded
    from sketchjax.index.sources import encode_sources, find_sources
    from sketchjax.run.progress import TrainingProgress

    *sources, out = paths
    if not sources:
        raise DataError(f"only one path is given, {out}; name the drawings first, then the folder")
    with TrainingProgress() as progress:
        encoder = encoder_for(model, runtime, photos=True, note=progress.note)
        with stoppable("the encoding", "rerun the same command to repeat it"):
            found = find_sources(
                sources, encoder, split=split, skip_bad=on_bad is OnBad.SKIP, note=progress.note
            )
            parts = encode_sources(found, encoder, tasks(progress))
            count = write_encoded(out, encoder.fingerprint, parts)
    print(f"{out}: {items(count, encoder)}, {encoder.bits} bits")


@app.command()
def search(
    index: IndexFolder,
    drawing: Annotated[
        str | None,
        typer.Argument(
            metavar="[DRAWING]",
            help="A sketch file of any form, JSON [[xs, ys], ...] in a file, or - for stdin; a "
            "picture, where the model reads pictures.",
        ),
    ] = None,
    like: Annotated[
        int | None,
        typer.Option(metavar="ID", help="Search for what is like a drawing of the index."),
    ] = None,
    k: Annotated[int, typer.Option("-k", metavar="N", help="How many to find.")] = 10,
    categories: Categories = None,
    rerank: Annotated[
        bool, typer.Option(help="Order equally near drawings by their features.")
    ] = True,
    json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each query.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(parser=home_path, metavar="FILE", help="Write a page with pictures."),
    ] = None,
    pictures: Annotated[
        bool | None, typer.Option(help="Draw in the terminal; by default where it can.")
    ] = None,
    runtime: RunsModel = Runtime.AUTO,
    engine: EngineUrl = None,
) -> None:
    """Find the nearest drawings of an index."""
    from contextlib import closing

    import msgspec
    from rich.console import Console

    from sketchjax.index.asking import ask, is_picture
    from sketchjax.index.places import place_of
    from sketchjax.index.show import can_draw, print_answer, write_page

    if bool(drawing) == (like is not None):
        raise DataError(
            "name a drawing to search for, - for stdin, or --like ID of one in the index"
        )
    place = place_of(index, engine)
    given = sys.stdin.buffer if drawing == "-" else home_path(drawing) if drawing else None
    with closing(place.open()) as opened:
        asked = ask(
            opened,
            lambda: encoder_of(place, runtime, photos=is_picture(given)),
            given,
            like=like,
            k=k,
            categories=names_of(categories),
            rerank=rerank,
        )
        if html is not None:
            answers, drawings = [answer for _, answer in asked], [points for points, _ in asked]
            with on_disk(f"{html} cannot be written"):
                write_page(html, answers, drawings, opened.snapshot().thumbnail)
            print(html, file=sys.stderr if json else sys.stdout)
    console = Console()
    draw = can_draw(console) if pictures is None else pictures
    for points, answer in asked:
        if json:
            print(msgspec.json.encode(answer).decode())
        elif html is None:
            print_answer(console, answer, points, pictures=draw)
