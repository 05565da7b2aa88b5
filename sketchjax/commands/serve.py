"""Commands that serve a search, and write models and pages for others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from sketchjax import packaged
from sketchjax.commands.encoders import (
    EngineUrl,
    RunsModel,
    Runtime,
    encoder_for,
    encoder_of,
    tasks,
)
from sketchjax.commands.program import app, path
from sketchjax.errors import ConfigError, DataError
from sketchjax.fields import home_path
from sketchjax.wording import counted

_DOODLES = 60  # of a category, where there is nothing else to search


@app.command()
def serve(
    source: Annotated[
        Path | None,
        typer.Argument(
            parser=home_path,
            metavar="[WORKDIR|INDEX]",
            help="The workdir of a finished run, or an index; by default synthetic doodles, and "
            "the model that comes with sketchjax.",
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(metavar="NAME", help="Where to listen; 0.0.0.0 is every network."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="0: any that is free.")] = 8000,
    public: Annotated[
        bool,
        typer.Option("--public", help="Take at most 20 requests a second from one address."),
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A name by which browsers reach this server; may be repeated."
        ),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Other pages that may call it, by scheme, name and port: https://draw.example; * "
            "for all; may be repeated.",
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            parser=home_path,
            metavar="FILE",
            help="Its first line lets whoever sends it add and delete drawings.",
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="That search; by default one per core.")
    ] = None,
    encoder: RunsModel = Runtime.AUTO,
    engine: EngineUrl = None,
) -> None:
    """Serve search by drawing: a page to draw on, and its HTTP interface.

    It listens on this machine only, unless --host says otherwise.
    """
    try:
        from sketchjax.serving.app import create_app
        from sketchjax.serving.server import address_of, listen, run
        from sketchjax.serving.settings import Settings, host_name, origin_of, read_token
    except ModuleNotFoundError as error:
        raise ConfigError(f"serve needs {error.name}: pip install 'sketchjax[serve]'") from error
    from sketchjax.data.workers import cores
    from sketchjax.index.sources import is_workdir

    if threads is not None and threads < 1:
        raise ConfigError(f"--threads {threads}: must be at least 1")
    if engine is not None and source is None:
        raise ConfigError("--engine needs the name of an index")
    if token_file is not None and engine is None and (source is None or is_workdir(source)):
        raise ConfigError(
            "--token-file needs an index, where changes are kept: sketchjax index INDEX SOURCE..."
        )
    settings = Settings(
        threads=threads or cores(),
        hosts=tuple(map(host_name, allow_host or ())),
        origins=tuple(map(origin_of, allow_origin or ())),
        public=public,
        token=None if token_file is None else read_token(token_file),
    )
    with listen(host, port) as listening:
        index, model = _served(source, engine, encoder, read_only=token_file is None)
        address = address_of(listening)
        run(
            create_app(index, model, settings),
            listening,
            lambda: print(f"Draw at {address} (Ctrl+C stops the server)", flush=True),
        )


@app.command()
def export(
    source: Annotated[
        Path, path("WORKDIR|MODEL", "The workdir of a finished run, or a model file.")
    ],
    folder: Annotated[
        Path | None,
        typer.Argument(parser=home_path, metavar="[DIR]", help="The folder of the model to write."),
    ] = None,
    half: Annotated[
        bool,
        typer.Option(
            "--half", help="Store kernels as float16: half the size, and a few other bits."
        ),
    ] = False,
    jax_batch: Annotated[
        list[int] | None,
        typer.Option(
            metavar="N", help="Also a program of jax.export for N drawings; may be repeated."
        ),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(
            "--license", metavar="NAME", help="Of the weights, for the model card: apache-2.0."
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            parser=home_path,
            metavar="DIR",
            help="Write the page of `serve` as a folder for any web host: it searches a gallery "
            "in the browser, without a server.",
        ),
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(
            parser=home_path,
            metavar="INDEX|WORKDIR",
            help="What the page searches; by default the gallery of the run.",
        ),
    ] = None,
    ort: Annotated[
        Path | None,
        typer.Option(
            parser=home_path,
            metavar="TGZ|DIR",
            help="The npm package onnxruntime-web, which runs the model in the page.",
        ),
    ] = None,
) -> None:
    """Write a model for others: safetensors, config.json, a model card, and its ONNX graph.

    With --page also, or only, a page that searches by drawing without a server.
    """
    from sketchjax.export.folder import export as run

    if folder is None and page is None:
        raise ConfigError("name the folder of the model to write, or --page DIR")
    if page is None and (gallery or ort):
        raise ConfigError(f"--{'gallery' if gallery else 'ort'} needs --page DIR")
    if page is not None and half:
        raise ConfigError(
            "--half gives other codes than the gallery has: export a folder with --half, index the "
            "drawings with it, and give both to --page"
        )
    if page is not None and gallery is None and not (source / "results.json").is_file():
        raise ConfigError(f"{source} has no gallery; name what the page searches: --gallery INDEX")
    try:
        if page is not None:
            _export_page(source, page, gallery or source, ort)
        if folder is None:
            return
        found = run(source, folder, half=half, batches=jax_batch or (), licence=licence)
    except ModuleNotFoundError as error:
        raise ConfigError(f"export needs {error.name}: pip install 'sketchjax[export]'") from error
    for file in sorted(folder.iterdir()):
        print(f"{file.stat().st_size:>12,}  {file}")
    print(f"{folder}: {found.bits} bits, {found.weights}, model {found.fingerprint[:12]}")


def _served(
    source: Path | None, engine: str | None, runtime: Runtime, *, read_only: bool
) -> tuple[Any, Any]:
    """An index and what encodes for it; the gallery of a run becomes an index in memory.

    source: of the index or the run; None: synthetic doodles, and the model in the package.
    """
    from sketchjax.index.doodles import DoodleSource
    from sketchjax.index.places import place_of
    from sketchjax.index.sources import find_sources, is_workdir
    from sketchjax.run.progress import TrainingProgress
    from sketchjax.serving.gallery import index_in_memory

    with TrainingProgress() as progress:
        note = progress.note
        if source is None:
            encoder = encoder_for(packaged.MODEL, runtime, threads=1, note=note)
            doodles = DoodleSource(_DOODLES)
            return index_in_memory(doodles.name, doodles, encoder, tasks(progress)), encoder
        if engine is not None or not is_workdir(source):
            place = place_of(source, engine)
            opened = place.open(read_only=read_only)
            return opened, encoder_of(place, runtime, threads=1, note=note)
        encoder = encoder_for(source, runtime, threads=1, photos=True, note=note)
        if encoder.reads == {"photo"}:
            raise DataError(f"{source}: this model reads photos only, and the page is for drawings")
        (gallery,) = find_sources([source], encoder, split="gallery", skip_bad=False, note=note)
        name = source.resolve().name
        return index_in_memory(name, gallery, encoder, tasks(progress)), encoder


def _export_page(source: Path, page: Path, gallery: Path, ort: Path | None) -> None:
    """Write the page without a server."""
    from contextlib import closing

    from sketchjax.files import check_absent
    from sketchjax.run.compilation import keep_compiled
    from sketchjax.serving.static import Graph, read_runtime, write_page

    check_absent(page)
    runtime = read_runtime(ort)
    graph = Graph.of(source)
    keep_compiled()
    engine, _ = _served(gallery, None, Runtime.AUTO, read_only=True)
    with closing(engine):
        snapshot = engine.snapshot()
        count = counted(write_page(page, snapshot, graph, runtime), snapshot.describe().noun)
    size = sum(file.stat().st_size for file in page.rglob("*") if file.is_file())
    print(f"{page}: {count}, {size / 1e6:.1f} MB; python -m http.server -d {page}")
