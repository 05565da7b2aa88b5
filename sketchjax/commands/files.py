"""Commands for sketch files and data folders; none of them loads jax."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from sketchjax.commands.program import Categories, OnBad, app, names_of, path, stoppable
from sketchjax.errors import ConfigError, DataError, on_disk
from sketchjax.fields import home_path
from sketchjax.wording import counted


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


@app.command()
@stoppable("the conversion")
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
    extra_train: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Of each category, train on this many drawings too, at most, that the split file "
            "does not name.",
        ),
    ] = 0,
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
    from sketchjax.data.folder.conversion.picture_options import PictureOptions
    from sketchjax.data.folder.conversion.picture_pieces import Look

    sources, out = _sources(paths)
    shares = {"train": train, "validation": validation, "gallery": gallery, "query": query}
    manifest = run(
        sources,
        out,
        splits=_splits(shares, split_file, extra_train),
        categories=names_of(categories),
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
    size = counted(len(manifest.categories), "category", "categories")
    print(f"{out}: {size}, {_contents(manifest)}")
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

    paths = run(folder, names_of(categories), form.value, base_url=mirror or BASE_URL)
    print(f"{folder}: {counted(len(paths), 'file')}")


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
    from sketchjax.data.sources.doodles import write
    from sketchjax.data.sources.doodles.photos import write_photos
    from sketchjax.files import sole_writer

    names = names_of(categories)
    # Locked inside: the folder above may not be writable, and nothing is left here.
    with on_disk(f"{folder} cannot be written"), sole_writer(folder / "drawings"):
        if photos:
            write_photos(folder, per_category=per_category, seed=seed, categories=names)
            made = f"{per_category:,} photos of each category, three doodles of each photo"
        else:
            paths = write(folder, per_category=per_category, seed=seed, categories=names)
            made = f"{counted(len(paths), 'file')}, {counted(per_category, 'doodle')} each"
    print(f"{folder}: {made}")


@app.command()
def verify(
    folder: Annotated[Path, path("FOLDER", "A data folder.")],
) -> None:
    """Check every shard and every record of a data folder against its manifest."""
    from rich.console import Console

    from sketchjax.data.folder.verify import verify as run

    if (folder / "index.duckdb").exists():
        raise DataError(f"{folder} is an index; use `sketchjax index verify {folder}`")
    with Console(stderr=True).status("") as status:
        manifest = run(folder, progress=lambda name: status.update(f"checking {name}"))
    files = sum(file.name.endswith(".arrayrecord") for file in manifest.files())
    print(f"{folder} is sound: {counted(files, 'shard')}, {_contents(manifest)}")


def _sources(paths: list[Path]) -> tuple[list[Path], Path]:
    """Sources and the folder to write, from the paths of the command line."""
    *sources, out = paths
    if not sources:
        from sketchjax.config import real_data

        drawings = real_data("quickdraw")
        if not drawings:
            raise DataError(
                f"only one path is given, {out}; name the sources first, then the folder to write "
                "(or set SKETCHJAX_DATA to a folder that has drawings in its folder quickdraw)"
            )
        sources = [home_path(drawings)]
    return sources, out


def _splits(shares: dict[str, str | None], split_file: Path | None, extra_train: int):
    """What `convert` takes as splits: a file, counts, fractions, or None for its default."""
    from sketchjax.data.folder.splits import SplitFile

    given = {name: value for name, value in shares.items() if value is not None}
    if split_file is not None:
        if given:
            raise ConfigError(f"--split-file and --{next(iter(given))} cannot be used together")
        return SplitFile.read(split_file, extra_train=extra_train) if extra_train else split_file
    if extra_train:
        raise ConfigError(f"--extra-train {extra_train} adds to a split file; give --split-file")
    problems = [
        f"--{name} {value}: give a count such as 9000 or a share such as 0.8"
        for name, value in given.items()
        if not re.fullmatch(r"\d{1,18}|\d*\.\d+|\d+\.", value, re.ASCII)
    ]
    if problems:
        raise ConfigError(problems)
    return {n: int(v) if v.isdigit() else float(v) for n, v in given.items()} or None


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
