"""The `sketchjax` command: verbs for files. Training is `python -m sketchjax.main`.

A verb imports what it needs when it runs, so that `--help` answers at once and the verbs for data
never load jax. A new verb is a function under `@app.command()`; it raises the project's errors,
and `main` turns them into a message and an exit code.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import sketchjax
from sketchjax.errors import ConfigError, DataError, SketchjaxError

app = typer.Typer(
    name="sketchjax",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class OnBad(StrEnum):
    """What to do at bad input."""

    STOP = "stop"
    SKIP = "skip"


class Form(StrEnum):
    """The forms in which Google publishes QuickDraw."""

    SIMPLIFIED = "simplified"
    RAW = "raw"
    BIN = "bin"
    SKETCHRNN = "sketchrnn"


Categories = Annotated[
    list[str] | None,
    typer.Option(
        "--categories",
        "--classes",
        metavar="NAMES",
        help="Only these categories: names with commas between, or the option several times.",
    ),
]


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error, not its message alone.")
    ] = False,
) -> None:
    """Sketch files, data folders, hash codes. Training: python -m sketchjax.main --help"""
    del debug  # taken by `main` wherever it stands; it is here for --help
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
            metavar="[SOURCE]... OUT",
            help="Sketch files, or folders of them (QuickDraw .ndjson, simplified or raw, and "
            ".bin, each plain or .gz; sketch-rnn .npz), then the data folder to write. "
            "Without SOURCE: the folder `quickdraw` in $SKETCHJAX_DATA.",
        ),
    ],
    train: Annotated[
        str | None,
        typer.Option(
            metavar="N|SHARE",
            help="Training sketches of each category: a count (9000) or a share (0.8). One kind "
            "for all four splits; by default 0.8, 0.05, 0.1, 0.05.",
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
            metavar="CSV",
            help="Splits from a file with the heading key_id,split; the rest is left.",
        ),
    ] = None,
    categories: Categories = None,
    recognized_only: Annotated[
        bool,
        typer.Option(
            "--recognized-only", help="Only drawings that the game is known to have recognised."
        ),
    ] = False,
    min_per_category: Annotated[
        int, typer.Option(metavar="N", help="Leave out categories with fewer sketches.")
    ] = 0,
    max_per_category: Annotated[
        int | None, typer.Option(metavar="N", help="Use at most N sketches of each category.")
    ] = None,
    shards: Annotated[int, typer.Option(metavar="N", help="Files a split.")] = 8,
    seed: Annotated[
        int, typer.Option(metavar="N", help="The key of the splits and of the order.")
    ] = 0,
    on_bad: Annotated[
        OnBad,
        typer.Option(
            help="Bad input: stop at the first (exit code 65), or skip it, listed in the manifest."
        ),
    ] = OnBad.STOP,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Processes; by default one for each core.")
    ] = None,
) -> None:
    """Convert sketch files into a data folder: ArrayRecord shards and a manifest.

    The same sources and options give the same bytes. Stopped or killed, the same command goes on.
    """
    from sketchjax.data.folder.conversion.convert import convert as run

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
    )
    print(f"{out}: {len(manifest.categories)} categories, {_count_list(manifest.counts)} sketches")
    for title, numbers in (("Left out", manifest.left_out), ("Bad", manifest.bad)):
        if numbers:
            print(f"{title}: {_count_list(numbers)}")
    if manifest.dropped:
        print(f"Categories dropped: {', '.join(manifest.dropped)}")


@app.command()
def download(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to put the files.")],
    categories: Categories = None,
    form: Annotated[Form, typer.Option(help="Which of Google's forms.")] = Form.SIMPLIFIED,
    mirror: Annotated[
        str | None,
        typer.Option("--from", metavar="URL", help="A mirror with the same paths as the bucket."),
    ] = None,
) -> None:
    """Download QuickDraw from Google's public bucket. Broken off, the same command goes on."""
    from sketchjax.data.sources.download import BASE_URL
    from sketchjax.data.sources.download import download as run

    paths = run(folder, _names(categories), form.value, base_url=mirror or BASE_URL)
    print(f"{folder}: {len(paths)} files")


@app.command()
def synthesize(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to put the files.")],
    per_category: Annotated[
        int, typer.Option(metavar="N", help="Doodles of each category.")
    ] = 1_000,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed draws the same.")] = 0,
    categories: Categories = None,
) -> None:
    """Draw synthetic doodles as ordinary ndjson files, for use without data or network."""
    from sketchjax.data.sources.doodles import write

    paths = write(folder, per_category=per_category, seed=seed, categories=_names(categories))
    print(f"{folder}: {len(paths)} files, {per_category:,} doodles each")


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A data folder.")],
) -> None:
    """Check every shard and every record of a data folder against its manifest."""
    from rich.console import Console

    from sketchjax.data.folder.verify import verify as run

    with Console(stderr=True).status("") as status:
        manifest = run(folder, progress=lambda name: status.update(f"checking {name}"))
    shards = sum(len(shards) for shards in manifest.shards.values())
    print(f"{folder} is sound: {shards} shards, {_count_list(manifest.counts)} sketches")


@app.command()
def report(
    workdir: Annotated[Path, typer.Argument(metavar="WORKDIR", help="Of a finished run.")],
) -> None:
    """Make the report of a finished run anew, from the files that it left."""
    from sketchjax.run.rebuild import rebuild

    print(rebuild(workdir))


@app.command()
def study(
    workdir: Annotated[Path, typer.Argument(metavar="WORKDIR", help="Of a study.")],
    markdown: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write it as Markdown, with pictures beside it."),
    ] = None,
) -> None:
    """Print how far a study is and what it found, and make its report anew."""
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


def main() -> None:
    """Run the command line; exits with the code of the error's kind, see `errors`."""
    debug = "--debug" in sys.argv
    # It may stand anywhere: `sketchjax convert --debug …` like `sketchjax --debug convert …`.
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(arguments, prog_name="sketchjax")
    except SketchjaxError as error:
        if debug:
            traceback.print_exc()
        else:
            print(f"sketchjax: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _sources(paths: list[Path]) -> tuple[list[Path], Path]:
    """Sources and the folder to write, from the paths of the command line."""
    *sources, out = paths
    if not sources:
        home = os.environ.get("SKETCHJAX_DATA")
        if not home:
            raise DataError(
                f"only one path is given, {out}; name the sources first, then the folder to write "
                "(or set SKETCHJAX_DATA to a folder that has the drawings in `quickdraw`)"
            )
        sources = [Path(home) / "quickdraw"]
    return sources, out


def _splits(shares: dict[str, str | None], split_file: Path | None):
    """What `convert` takes as splits: a file, counts, fractions, or None for its default."""
    given = {name: value for name, value in shares.items() if value is not None}
    if split_file is not None:
        if given:
            raise ConfigError(f"--split-file and --{next(iter(given))} exclude each other")
        return split_file
    problems = [
        f"--{name} {value}: a count such as 9000 or a share such as 0.8 is wanted"
        for name, value in given.items()
        if not re.fullmatch(r"\d+|\d*\.\d+|\d+\.", value)
    ]
    if problems:
        raise ConfigError(problems)
    return {n: int(v) if v.isdigit() else float(v) for n, v in given.items()} or None


def _names(values: list[str] | None) -> list[str] | None:
    """Category names from options that may hold several with commas between."""
    names = [name.strip() for value in values or [] for name in value.split(",")]
    return [name for name in names if name] or None


def _count_list(numbers: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in numbers.items())


if __name__ == "__main__":
    main()
