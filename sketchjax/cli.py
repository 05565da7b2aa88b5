"""The `sketchjax` command: everything but training, which is `python -m sketchjax.main`.

A command imports what it needs when it runs, so that `--help` answers at once and the commands for
data never load jax. A new one is a function under `@app.command()`; it raises the project's errors,
and `main` turns them into a message and an exit code.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

import sketchjax
from sketchjax import packaged
from sketchjax.errors import ConfigError, DataError, SketchjaxError, on_disk
from sketchjax.fields import home_path

_DOODLES = 60  # of a category, where there is nothing else to search

app = typer.Typer(
    name="sketchjax",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def path(metavar: str, meaning: str) -> Any:
    """An argument that is a path."""
    return typer.Argument(parser=home_path, metavar=metavar, help=meaning)


class OnBad(StrEnum):
    """What to do with bad input."""

    STOP = "stop"
    SKIP = "skip"


class Contours(StrEnum):
    """Where the contour maps of photos come from."""

    NONE = "none"
    CANNY = "canny"
    FILES = "files"


class Form(StrEnum):
    """The forms in which Google publishes QuickDraw."""

    SIMPLIFIED = "simplified"
    RAW = "raw"
    BIN = "bin"
    SKETCHRNN = "sketchrnn"


class Runtime(StrEnum):
    """What runs a model."""

    AUTO = "auto"
    ONNX = "onnx"
    JAX = "jax"


RunsModel = Annotated[
    Runtime,
    typer.Option(
        "--encoder",
        help="What runs the model: onnxruntime or jax; by default onnxruntime on a CPU where it "
        "is installed and has a graph of the model.",
    ),
]
RunData = Annotated[
    Path | None,
    typer.Option(parser=home_path, metavar="DIR", help="By default the run's own data folder."),
]
EngineUrl = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="URL",
        help="A database of ClickHouse, in place of a folder: clickhouse://HOST:8123/DATABASE.",
    ),
]
Copies = Annotated[int, typer.Option(metavar="N", help="Augmented copies of each training sketch.")]
Categories = Annotated[
    list[str] | None,
    typer.Option(
        "--categories",
        "--classes",
        metavar="NAMES",
        help="Only these categories: names separated by commas, or the option repeated. A name "
        "with a comma is quoted: '\"salt, pepper\",cat'.",
    ),
]


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error, not only its message.")
    ] = False,
) -> None:
    """Sketch files, data folders, codes. Training: python -m sketchjax.main --help"""
    del debug  # `main` takes it from any place; it is here for --help
    if version:
        print(f"sketchjax {sketchjax.__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def convert(
    paths: Annotated[
        list[Path],
        typer.Argument(
            parser=home_path,
            metavar="[SOURCE]... OUT",
            help="Sketch files, or folders of them (QuickDraw .ndjson, simplified or raw, .bin and "
            "Kaggle's .csv, each plain or .gz; sketch-rnn .npz; .svg), and picture folders (photo/ "
            "and sketch/, pairs.csv, splits.csv), then the data folder to write. Without SOURCE: "
            "the folder `quickdraw` in $SKETCHJAX_DATA.",
        ),
    ],
    train: Annotated[
        str | None,
        typer.Option(
            metavar="N|SHARE",
            help="Training sketches of each category: a count (9000) or a share (0.8), of the same "
            "kind for all four splits; by default 0.8, 0.05, 0.1, 0.05.",
        ),
    ] = None,
    validation: Annotated[
        str | None, typer.Option(metavar="N|SHARE", help="The same for the validation split.")
    ] = None,
    gallery: Annotated[
        str | None, typer.Option(metavar="N|SHARE", help="The same for the gallery.")
    ] = None,
    query: Annotated[
        str | None, typer.Option(metavar="N|SHARE", help="The same for the queries.")
    ] = None,
    split_file: Annotated[
        Path | None,
        typer.Option(
            parser=home_path,
            metavar="CSV",
            help="Splits from a file with the heading key_id,split; other drawings are left out.",
        ),
    ] = None,
    categories: Categories = None,
    recognized_only: Annotated[
        bool,
        typer.Option("--recognized-only", help="Only drawings that the game recognised."),
    ] = False,
    min_per_category: Annotated[
        int, typer.Option(metavar="N", help="Leave out categories with fewer sketches.")
    ] = 0,
    max_per_category: Annotated[
        int | None, typer.Option(metavar="N", help="Use at most N sketches of each category.")
    ] = None,
    shards: Annotated[int, typer.Option(metavar="N", help="Files per split.")] = 8,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Seed of the splits and of the order.")
    ] = 0,
    on_bad: Annotated[
        OnBad,
        typer.Option(
            help="Bad input: stop at the first (exit code 65), or skip it and list it in the "
            "manifest."
        ),
    ] = OnBad.STOP,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Processes; by default one per core.")
    ] = None,
    photo_validation: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Share of the training photos of a splits.csv that become the validation split, "
            "by a hash of the photo's name; their sketches go with them.",
        ),
    ] = 0.1,
    names: Annotated[
        Path | None,
        typer.Option(
            parser=home_path,
            metavar="CSV",
            help="Other names for the categories of pictures: the first two columns are the old "
            "and the new one.",
        ),
    ] = None,
    both_sides: Annotated[
        bool,
        typer.Option("--both-sides", help="Only categories that have photos and sketches."),
    ] = False,
    contours: Annotated[
        Contours,
        typer.Option(help="Contour maps of photos: none, Canny's, or those in contour/."),
    ] = Contours.NONE,
    contour_sigma: Annotated[
        float, typer.Option(metavar="PX", help="Smoothing of Canny's contours.")
    ] = 2.0,
    most_side: Annotated[
        int, typer.Option(metavar="PX", help="Scale larger pictures down to this longer side.")
    ] = 512,
) -> None:
    """Convert sketch files and pictures into a data folder: ArrayRecord shards and a manifest.

    The same sources and options give the same bytes. After a stop, rerun the same command.
    """
    from sketchjax.data.folder.conversion.convert import convert as run
    from sketchjax.data.folder.conversion.picture_pieces import Look
    from sketchjax.data.folder.conversion.with_pictures import PictureOptions

    sources, out = _sources(paths)
    shares = {"train": train, "validation": validation, "gallery": gallery, "query": query}
    manifest = run(
        sources,
        out,
        splits=_splits(shares, split_file),
        categories=_names(categories),
        recognized_only=recognized_only,
        min_per_category=min_per_category,
        max_per_category=max_per_category,
        shards=shards,
        seed=seed,
        on_bad=on_bad.value,
        workers=workers,
        photo_options=PictureOptions(
            photo_validation, names, both_sides, Look(most_side, contours.value, contour_sigma)
        ),
    )
    print(f"{out}: {len(manifest.categories)} categories, {_contents(manifest)}")
    for title, numbers in (("Left out", manifest.left_out), ("Bad", manifest.bad)):
        if numbers:
            print(f"{title}: {_count_list(numbers)}")
    if manifest.dropped:
        print(f"Categories dropped: {', '.join(manifest.dropped)}")


@app.command("categories")
def list_categories(
    sources: Annotated[
        list[Path],
        typer.Argument(
            parser=home_path,
            metavar="SOURCE...",
            help="Sketch files, folders of them, or data folders.",
        ),
    ],
) -> None:
    """List the categories of sketch files or data folders, with their numbers of sketches."""
    from sketchjax.data.folder.manifest import count_categories

    for name, number in sorted(count_categories(sources).items()):
        print(f"{number:>9,}  {name}")


@app.command()
def download(
    folder: Annotated[Path, path("DIR", "Where to put the files.")],
    categories: Categories = None,
    form: Annotated[Form, typer.Option(help="Which of Google's forms.")] = Form.SIMPLIFIED,
    mirror: Annotated[
        str | None,
        typer.Option("--from", metavar="URL", help="A mirror with the same paths as the bucket."),
    ] = None,
) -> None:
    """Download QuickDraw from Google's public bucket; rerun the same command to resume."""
    from sketchjax.data.sources.download import BASE_URL
    from sketchjax.data.sources.download import download as run

    paths = run(folder, _names(categories), form.value, base_url=mirror or BASE_URL)
    print(f"{folder}: {len(paths)} files")


@app.command()
def synthesize(
    folder: Annotated[Path, path("DIR", "Where to put the files.")],
    per_category: Annotated[int, typer.Option(metavar="N", help="Doodles per category.")] = 1_000,
    seed: Annotated[
        int, typer.Option(metavar="N", help="The same seed draws the same doodles.")
    ] = 0,
    categories: Categories = None,
    photos: Annotated[
        bool,
        typer.Option(
            "--photos",
            help="Paint objects as photos, each with three doodles of it: a picture folder. Then "
            "--per-category counts photos.",
        ),
    ] = False,
) -> None:
    """Draw synthetic doodles as ordinary ndjson files: no data or network needed."""
    if photos:
        from sketchjax.data.sources.doodles.photos import write_photos

        names = _names(categories)
        write_photos(folder, per_category=per_category, seed=seed, categories=names)
        print(f"{folder}: {per_category:,} photos of each category, three doodles of each photo")
        return
    from sketchjax.data.sources.doodles import write

    paths = write(folder, per_category=per_category, seed=seed, categories=_names(categories))
    print(f"{folder}: {len(paths)} files, {per_category:,} doodles each")


@app.command()
def verify(
    folder: Annotated[Path, path("FOLDER", "A data folder.")],
) -> None:
    """Check every shard and every record of a data folder against its manifest."""
    from rich.console import Console

    from sketchjax.data.folder.verify import verify as run

    with Console(stderr=True).status("") as status:
        manifest = run(folder, progress=lambda name: status.update(f"checking {name}"))
    files = sum(file.name.endswith(".arrayrecord") for file in manifest.files())
    print(f"{folder} is sound: {files} shards, {_contents(manifest)}")


@app.command()
def evaluate(
    model: Annotated[Path, path("MODEL", "A model file, or the workdir of a run.")],
    folder: Annotated[Path, path("FOLDER", "A data folder with gallery and queries.")],
    out: Annotated[Path, path("OUT", "Where to write results, codes and report.")],
    rankings: Annotated[
        list[str] | None,
        typer.Option(
            "--ranking",
            metavar="QUERIES:GALLERY",
            help="Splits to rank, the first for the headline; by default query:gallery, or "
            "query:photo/gallery for a model of sketches and photos.",
        ),
    ] = None,
) -> None:
    """Score a trained model on other drawings; write results, codes and report as a run does.

    Categories are matched by name; those that only the model or only the data has are listed.
    """
    from sketchjax.retrieval.model import load
    from sketchjax.run.compilation import keep_compiled
    from sketchjax.run.elsewhere import default_rankings, evaluate_model
    from sketchjax.run.progress import TrainingProgress
    from sketchjax.run.summary import print_summary

    pairs = _rankings(rankings)
    keep_compiled()
    loaded = load(model)
    with on_disk("the evaluation cannot be written"), TrainingProgress() as progress:
        results = evaluate_model(
            loaded,
            folder,
            out,
            pairs=pairs or default_rankings(loaded),
            title=f"{model.resolve().name} on {folder.resolve().name}",
            task=lambda name, total: progress.task(name, total=total),
            note=progress.note,
        )
    print_summary(results, out)


@app.command()
def recode(
    model: Annotated[Path, path("MODEL", "The workdir of a finished run, or a model file of one.")],
    bits: Annotated[
        str, typer.Option(metavar="N,...", help="Lengths of the codes, multiples of 8.")
    ] = "16,32,64",
    data: RunData = None,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=home_path,
            metavar="DIR",
            help="Where to write a folder per length; by default `recode` next to the model.",
        ),
    ] = None,
    copies: Copies = 2,
    epochs: Annotated[int, typer.Option(metavar="N", help="Epochs of the classifier.")] = 30,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same codes.")] = 0,
) -> None:
    """Give a trained model posterior codes of other lengths, in minutes: no encoder is trained.

    Each length gets a model file, codes, results and report. Rerun the same command to resume.
    """
    from sketchjax.run.compilation import keep_compiled
    from sketchjax.run.posterior import Settings
    from sketchjax.run.progress import TrainingProgress
    from sketchjax.run.recode import recode as run
    from sketchjax.run.summary import print_recoded

    lengths = _lengths(bits)
    keep_compiled()
    with on_disk("the codes cannot be written"), TrainingProgress() as progress:
        folder, results = run(
            model,
            lengths,
            data=data,
            out=out,
            settings=Settings(copies, epochs, seed),
            task=lambda name, total: progress.task(name, total=total),
            note=progress.note,
        )
    print_recoded(results, folder)


@app.command()
def compare(
    model: Annotated[Path, path("MODEL", "The workdir of a finished run, or a model file of one.")],
    out: Annotated[Path, path("OUT", "Where to write compare.json; rerun to resume.")],
    bits: Annotated[str, typer.Option(metavar="N,...", help="Lengths of the codes.")] = "16,64",
    objectives: Annotated[
        str, typer.Option(metavar="NAME,...", help="Objectives to compare; by default all.")
    ] = "",
    seeds: Annotated[int, typer.Option(metavar="N", help="Heads of each objective.")] = 3,
    epochs: Annotated[int, typer.Option(metavar="N", help="Epochs of each head.")] = 10,
    copies: Copies = 0,
    data: RunData = None,
) -> None:
    """Compare hashing objectives on your drawings, in minutes: heads train, encoders do not.

    Every head is scored by the MAP of the validation sketches; no query is looked at.
    """
    from sketchjax.run.compare import FILE
    from sketchjax.run.compare import compare as run
    from sketchjax.run.compilation import keep_compiled
    from sketchjax.run.progress import TrainingProgress
    from sketchjax.run.summary import print_compared

    lengths = _lengths(bits)
    keep_compiled()
    with on_disk("the comparison cannot be written"), TrainingProgress() as progress:
        rows = run(
            model,
            out,
            lengths,
            objectives=[name for name in map(str.strip, objectives.split(",")) if name],
            seeds=seeds,
            epochs=epochs,
            copies=copies,
            data=data,
            task=lambda name, total: progress.task(name, total=total),
            note=progress.note,
        )
    print_compared(rows, out / FILE)


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
        typer.Option(metavar="URL", help="Another page that may call it; may be repeated."),
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
        from sketchjax.serving.app import Settings, create_app, read_token
        from sketchjax.serving.server import address_of, listen, run
    except ModuleNotFoundError as error:
        raise ConfigError(f"serve needs {error.name}: pip install 'sketchjax[serve]'") from error
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
        threads=threads or os.cpu_count() or 1,
        hosts=tuple(allow_host or ()),
        origins=tuple(allow_origin or ()),
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
def report(
    workdir: Annotated[Path, path("WORKDIR", "Of a finished run, or the OUT of evaluate.")],
) -> None:
    """Regenerate the report of a finished run or evaluation from the files that it left."""
    from sketchjax.run.rebuild import rebuild

    print(rebuild(workdir))


@app.command()
def study(
    workdir: Annotated[Path, path("WORKDIR", "Of a study.")],
    markdown: Annotated[
        Path | None,
        typer.Option(
            parser=home_path, metavar="FILE", help="Also write it as Markdown, with its pictures."
        ),
    ] = None,
) -> None:
    """Print a study's progress and results, and regenerate its report."""
    from rich.console import Console

    from sketchjax.paper.report.markdown import write_markdown
    from sketchjax.paper.report.material import load_study
    from sketchjax.paper.report.page import rebuild_study
    from sketchjax.paper.report.terminal import progress_table, result_tables

    material = load_study(workdir / "report" / "material.json")
    out = Console(highlight=False)
    for table in (progress_table(material.runs), *result_tables(material)):
        out.print(table)
    print(rebuild_study(workdir))
    if markdown is not None:
        write_markdown(markdown, material)
        print(markdown)


class IndexGroup(typer.core.TyperGroup):
    """`sketchjax index INDEX SOURCE...` is `sketchjax index build INDEX SOURCE...`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Name the command where the first word is not one."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["build", *args]
        return super().parse_args(ctx, args)


indexes = typer.Typer(
    cls=IndexGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Make an index of drawings: sketchjax index INDEX SOURCE... --model MODEL; and change it.",
)
app.add_typer(indexes, name="index")

Drawings = Annotated[
    list[Path],
    typer.Argument(
        parser=home_path,
        metavar="SOURCE...",
        help="Sketch files of any form, folders of them, data folders, workdirs of finished runs, "
        "folders that `sketchjax encode` wrote; folders of photos, for a model that reads photos.",
    ),
]
Split = Annotated[str, typer.Option(metavar="SPLIT", help="Which split of data folders and runs.")]
SkipBad = Annotated[
    OnBad, typer.Option(help="Bad drawings: stop before any work, or leave them out.")
]
IndexFolder = Annotated[
    Path, path("INDEX", "A folder that `sketchjax index` wrote; with --engine, the index's name.")
]


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
        encoder = _encoder(model, runtime, photos=True, note=progress.note)
        found = find_sources(
            sources, encoder, split=split, skip_bad=on_bad is OnBad.SKIP, note=progress.note
        )
        parts = encode_sources(found, encoder, _tasks(progress))
        count = write_encoded(out, encoder.fingerprint, parts)
    print(f"{out}: {count:,} drawings, {encoder.bits} bits")


@indexes.command()
def build(
    index: Annotated[Path, path("INDEX", "The folder to write; with --engine, a name.")],
    sources: Drawings,
    model: Annotated[
        Path | None,
        typer.Option(
            parser=home_path,
            metavar="MODEL",
            help="A model file, or the workdir of a run; by default the run among the sources, "
            "or else the model that comes with sketchjax.",
        ),
    ] = None,
    split: Split = "gallery",
    on_bad: SkipBad = OnBad.STOP,
    runtime: RunsModel = Runtime.AUTO,
    engine: EngineUrl = None,
) -> None:
    """Make an index of drawings; the word build may be left out. After a stop, run it again."""
    from sketchjax.index.places import place_of
    from sketchjax.index.sources import find_sources, have_photos, is_workdir
    from sketchjax.run.progress import TrainingProgress

    if model is None:
        runs = [source for source in sources if is_workdir(source)]
        if len(runs) > 1:
            raise ConfigError("name the model that encodes the drawings: --model MODEL")
        model = runs[0] if runs else packaged.MODEL
    with TrainingProgress() as progress:
        note = progress.note
        if model == packaged.MODEL:
            note("model: the one that comes with sketchjax, of QuickDraw's 345 categories")
        encoder = _encoder(model, runtime, photos=have_photos(sources), note=note)
        found = find_sources(
            sources, encoder, split=split, skip_bad=on_bad is OnBad.SKIP, note=note
        )
        place_of(index, engine).build(
            found, encoder, save_model=encoder.save, task=_tasks(progress), note=note
        )
    describe(index, engine)


@indexes.command()
def add(
    index: IndexFolder,
    sources: Drawings,
    split: Split = "gallery",
    on_bad: SkipBad = OnBad.STOP,
    runtime: RunsModel = Runtime.AUTO,
    engine: EngineUrl = None,
) -> None:
    """Add drawings to an index. Files that are in it already are passed over."""
    from sketchjax.index.places import place_of
    from sketchjax.index.sources import find_sources, have_photos
    from sketchjax.run.progress import TrainingProgress

    place = place_of(index, engine)
    with TrainingProgress() as progress:
        note = progress.note
        encoder = _encoder_of(place, runtime, photos=have_photos(sources), note=note)
        found = find_sources(
            sources, encoder, split=split, skip_bad=on_bad is OnBad.SKIP, note=note
        )
        count = place.add(found, encoder, task=_tasks(progress), note=note)
    print(f"{index}: {count:,} drawings added")


@indexes.command()
def delete(
    index: IndexFolder,
    ids: Annotated[list[int], typer.Argument(metavar="ID...", help="As `search` shows them.")],
    engine: EngineUrl = None,
) -> None:
    """Delete drawings from an index."""
    from contextlib import closing

    from sketchjax.index.places import place_of

    with closing(place_of(index, engine).open(read_only=False)) as opened:
        count = opened.delete(ids)
        missing = len(set(ids)) - count
    print(f"{index}: {count:,} drawings deleted" + (f", {missing:,} not there" if missing else ""))


@indexes.command()
def compact(index: IndexFolder, engine: EngineUrl = None) -> None:
    """Remove deleted drawings from the file of an index, and join what was added in pieces."""
    from contextlib import closing

    from sketchjax.index.places import place_of

    with closing(place_of(index, engine).open(read_only=False)) as opened:
        count = opened.compact()
    print(f"{index}: {count:,} deleted drawings removed")


@indexes.command()
def describe(index: IndexFolder, engine: EngineUrl = None) -> None:
    """Print what an index holds."""
    from contextlib import closing

    from sketchjax.index.places import place_of

    with closing(place_of(index, engine).open()) as opened:
        state = opened.snapshot().describe()
    print(
        f"{index}: {state.count:,} drawings of {len(state.categories):,} categories, "
        f"{state.bits} bits and {state.features} features, model {state.model[:12]}"
    )
    for name, number in state.categories.items():
        print(f"{number:>9,}  {name}")


@indexes.command("verify")
def verify_index(index: IndexFolder, engine: EngineUrl = None) -> None:
    """Check everything in an index against what was written."""
    from sketchjax.index.places import place_of
    from sketchjax.models.card import fingerprint, model_file, read_model_file

    place = place_of(index, engine)
    state = place.verify()
    with place.model() as path:
        arrays, card = read_model_file(model_file(path))
    if fingerprint(arrays, card.architecture) != state.model:
        raise DataError(f"{index} holds another model than its codes come from; build it again")
    print(f"{index} is sound: {state.count:,} drawings")


@app.command()
def search(
    index: IndexFolder,
    drawing: Annotated[
        str | None,
        typer.Argument(
            metavar="[DRAWING]",
            help="A sketch file of any form, JSON [[xs, ys], ...] in a file, or - for stdin.",
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

    from sketchjax.index.asking import ask
    from sketchjax.index.places import place_of
    from sketchjax.index.show import can_draw, print_answer, write_page

    if bool(drawing) == (like is not None):
        raise DataError(
            "name a drawing to search for, - for stdin, or --like ID of one in the index"
        )
    place = place_of(index, engine)
    with closing(place.open()) as opened:
        asked = ask(
            opened,
            lambda: _encoder_of(place, runtime),
            sys.stdin.buffer if drawing == "-" else home_path(drawing) if drawing else None,
            like=like,
            k=k,
            categories=_names(categories),
            rerank=rerank,
        )
        if html is not None:
            answers, drawings = [answer for _, answer in asked], [points for points, _ in asked]
            with on_disk(f"{html} cannot be written"):
                write_page(html, answers, drawings, opened.snapshot().thumbnail)
            print(html)
    console = Console()
    draw = can_draw(console) if pictures is None else pictures
    for points, answer in asked:
        if json:
            print(msgspec.json.encode(answer).decode())
        elif html is None:
            print_answer(console, answer, points, pictures=draw)


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


def main() -> None:
    """Run the command line; exits with the code of the error's kind, see `errors`."""
    debug = "--debug" in sys.argv
    # What a terminal cannot show is escaped: names of categories may be of any script.
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # closed by the shell, as in `>&-`
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]
    # It may be anywhere: `sketchjax convert --debug …` like `sketchjax --debug convert …`.
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(arguments, prog_name="sketchjax")
    except SketchjaxError as error:
        if debug:
            traceback.print_exc()
        else:
            for line in error.problems if isinstance(error, ConfigError) else [error]:
                print(f"sketchjax: {line}", file=sys.stderr)
        sys.exit(error.exit_code)


def _encoder(
    model: Path,
    runtime: Runtime,
    *,
    threads: int | None = None,
    photos: bool = False,
    note: Any = None,
) -> Any:
    """What encodes with a model; jax is imported only where it runs it.

    model: a model file, the workdir of a run, or an exported folder.
    threads: of onnxruntime; None: all cores.
    photos: whether there may be photos to encode.
    note: gets a line on what runs the model.
    """
    from sketchjax.export.choice import reason_for_jax

    reason = "asked for"
    if runtime is not Runtime.JAX:
        reason = reason_for_jax(model, wanted=runtime is Runtime.ONNX, photos=photos)
    if note is not None:
        note("encoder: " + ("onnxruntime" if reason is None else f"jax ({reason})"))
    if reason is None:
        from sketchjax.export.onnx_encoder import OnnxEncoder

        return OnnxEncoder.load(model, threads=threads or os.cpu_count() or 1)
    from sketchjax.retrieval.model import load
    from sketchjax.run.compilation import keep_compiled

    keep_compiled()
    return load(model)


def _encoder_of(place: Any, runtime: Runtime, **options: Any) -> Any:
    """What encodes queries of an index, by its `Place`; see `_encoder`."""
    with place.model() as path:
        return _encoder(path, runtime, **options)


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
            encoder = _encoder(packaged.MODEL, runtime, threads=1, note=note)
            doodles = DoodleSource(_DOODLES)
            return index_in_memory(doodles.name, doodles, encoder, _tasks(progress)), encoder
        if engine is not None or not is_workdir(source):
            place = place_of(source, engine)
            opened = place.open(read_only=read_only)
            return opened, _encoder_of(place, runtime, threads=1, note=note)
        encoder = _encoder(source, runtime, threads=1, photos=True, note=note)
        (gallery,) = find_sources([source], encoder, split="gallery", skip_bad=False, note=note)
        name = source.resolve().name
        return index_in_memory(name, gallery, encoder, _tasks(progress)), encoder


def _export_page(source: Path, page: Path, gallery: Path, ort: Path | None) -> None:
    """Write the page without a server."""
    from contextlib import closing

    from sketchjax.run.compilation import keep_compiled
    from sketchjax.serving.static import Graph, check_absent, read_runtime, write_page

    check_absent(page)
    runtime = read_runtime(ort)
    graph = Graph.of(source)
    keep_compiled()
    engine, _ = _served(gallery, None, Runtime.AUTO, read_only=True)
    with closing(engine):
        count = write_page(page, engine.snapshot(), graph, runtime)
    size = sum(file.stat().st_size for file in page.rglob("*") if file.is_file())
    print(f"{page}: {count:,} drawings, {size / 1e6:.1f} MB; python -m http.server -d {page}")


def _tasks(progress: Any) -> Any:
    """Tasks of a `TrainingProgress` as (name, total) -> context."""
    return lambda name, total: progress.task(name, total=total)


def _sources(paths: list[Path]) -> tuple[list[Path], Path]:
    """Sources and the folder to write, from the paths of the command line."""
    *sources, out = paths
    if not sources:
        home = os.environ.get("SKETCHJAX_DATA")
        if not home:
            raise DataError(
                f"only one path is given, {out}; name the sources first, then the folder to write "
                "(or set SKETCHJAX_DATA to a folder that has drawings in its folder quickdraw)"
            )
        sources = [home_path(home) / "quickdraw"]
    return sources, out


def _splits(shares: dict[str, str | None], split_file: Path | None):
    """What `convert` takes as splits: a file, counts, fractions, or None for its default."""
    given = {name: value for name, value in shares.items() if value is not None}
    if split_file is not None:
        if given:
            raise ConfigError(f"--split-file and --{next(iter(given))} cannot be used together")
        return split_file
    problems = [
        f"--{name} {value}: give a count such as 9000 or a share such as 0.8"
        for name, value in given.items()
        if not re.fullmatch(r"\d+|\d*\.\d+|\d+\.", value)
    ]
    if problems:
        raise ConfigError(problems)
    return {n: int(v) if v.isdigit() else float(v) for n, v in given.items()} or None


def _names(values: list[str] | None) -> list[str] | None:
    """Category names from options that may hold several, separated by commas."""
    if not values:
        return None
    from sketchjax.config import split_list

    names = [name for value in values for name in split_list(value)]
    return [name for name in names if name] or None


def _lengths(given: str) -> list[int]:
    """Numbers from a text such as 16,32,64."""
    words = [word.strip() for word in given.split(",")]
    if not all(word.isdigit() for word in words):
        raise ConfigError(f"--bits {given}: give lengths as numbers, such as 16,32,64")
    return [int(word) for word in words]


def _rankings(given: list[str] | None) -> list[tuple[str, str]]:
    """Pairs of splits from texts such as query:gallery."""
    from sketchjax.config import parts_of_ranking
    from sketchjax.config.fields import is_ranking

    wrong = [text for text in given or [] if not is_ranking(text)]
    if wrong:
        raise ConfigError(
            f"--ranking {wrong[0]}: give two splits as QUERIES:GALLERY, such as query:gallery or "
            "query:photo/gallery"
        )
    return [parts_of_ranking(row) for row in given or ()]


def _contents(manifest: Any) -> str:
    """What a data folder holds: "9 train, 3 gallery sketches, 4 train photos"."""
    nouns = {"photo": "photos", "raster": "raster sketches"}
    parts = [
        f"{_count_list(pictures.counts)} {nouns[kind]}"
        for kind, pictures in manifest.pictures.items()
    ]
    if sum(manifest.counts.values()) or not parts:
        parts.insert(0, f"{_count_list(manifest.counts)} sketches")
    return "; ".join(parts)


def _count_list(numbers: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in numbers.items())


if __name__ == "__main__":
    main()
