"""Commands for finished runs and studies."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer
import typer.core

from sketchjax.commands.program import app, path, stoppable
from sketchjax.errors import ConfigError, DataError, on_disk
from sketchjax.fields import home_path

RunData = Annotated[
    Path | None,
    typer.Option(parser=home_path, metavar="DIR", help="By default the run's own data folder."),
]
Copies = Annotated[int, typer.Option(metavar="N", help="Augmented copies of each training sketch.")]


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
    with (
        stoppable("the evaluation", "rerun the same command to repeat it"),
        on_disk("the evaluation cannot be written"),
        TrainingProgress() as progress,
    ):
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
    epochs: Annotated[int, typer.Option(metavar="N", help="Epochs of a fitted classifier.")] = 30,
    steps: Annotated[
        int, typer.Option(metavar="N", help="Steps of training the codes; 0: their closed form.")
    ] = 1500,
    starts: Annotated[
        int, typer.Option(metavar="N", help="Trainings, of which validation sketches choose.")
    ] = 4,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same codes.")] = 0,
    mirrored: Annotated[
        bool,
        typer.Option(
            "--mirrored",
            help="Encode drawings with their mirror images: better codes, twice the work.",
        ),
    ] = False,
) -> None:
    """Give a trained model posterior codes of other lengths, in minutes: no encoder is trained.

    Each length gets a model file, codes, results and report. Rerun the same command to resume.
    """
    from sketchjax.run.compilation import keep_compiled
    from sketchjax.run.posterior.source import Settings
    from sketchjax.run.progress import TrainingProgress
    from sketchjax.run.recode import recode as run
    from sketchjax.run.summary import print_recoded

    lengths = _lengths(bits)
    keep_compiled()
    with (
        stoppable("the work on codes"),
        on_disk("the codes cannot be written"),
        TrainingProgress() as progress,
    ):
        folder, results = run(
            model,
            lengths,
            data=data,
            out=out,
            settings=Settings(copies, epochs, steps, starts, seed),
            mirrored=mirrored,
            task=lambda name, total: progress.task(name, total=total),
            note=progress.note,
        )
    print_recoded(results, folder)


@app.command()
def compare(
    runs: Annotated[
        list[Path],
        path("RUN...", "Workdirs of finished runs, seeds of one config, or their model files."),
    ],
    out: Annotated[Path, path("OUT", "Where to write rows and heads; rerun to resume.")],
    bits: Annotated[str, typer.Option(metavar="N,...", help="Lengths of the codes.")] = "16,64",
    objectives: Annotated[
        str, typer.Option(metavar="NAME,...", help="Rows to compare; by default all.")
    ] = "",
    seeds: Annotated[
        int | None,
        typer.Option(metavar="N", help="Heads of each run; by default 3 of one run, 1 of several."),
    ] = None,
    epochs: Annotated[int, typer.Option(metavar="N", help="Epochs of each head.")] = 10,
    copies: Copies = 0,
    score: Annotated[
        bool, typer.Option("--score", help="Then score what was chosen on the runs' rankings.")
    ] = False,
    data: RunData = None,
) -> None:
    """Compare hashing objectives on your drawings, in minutes: heads train, encoders do not.

    Rows are trained heads, posterior codes and shallow methods. Each is chosen and compared by the
    MAP of the validation sketches; no query is looked at before all rows are written.
    """
    from sketchjax.paper.objectives.shallow import SHALLOW
    from sketchjax.run.compare import compare as run
    from sketchjax.run.compare_scores import score as run_scores
    from sketchjax.run.compilation import keep_compiled
    from sketchjax.run.progress import TrainingProgress
    from sketchjax.run.summary import print_compared

    lengths = _lengths(bits)
    keep_compiled()
    with (
        stoppable("the comparison"),
        on_disk("the comparison cannot be written"),
        TrainingProgress() as progress,
    ):
        task = lambda name, total: progress.task(name, total=total)  # noqa: E731
        found = run(
            runs,
            out,
            lengths,
            objectives=[name for name in map(str.strip, objectives.split(",")) if name],
            others=SHALLOW,
            seeds=seeds,
            epochs=epochs,
            copies=copies,
            data=data,
            task=task,
            note=progress.note,
        )
        scores = run_scores(found, task) if score else []
    print_compared(found, scores)


@app.command()
def report(
    workdir: Annotated[Path, path("WORKDIR", "Of a finished run, or the OUT of evaluate.")],
) -> None:
    """Regenerate the report of a finished run or evaluation from the files that it left."""
    from sketchjax.run.output import console
    from sketchjax.run.rebuild import rebuild
    from sketchjax.train.workdir import STUDY

    if (workdir / STUDY).exists():
        raise DataError(f"{workdir} is the workdir of a study; use `sketchjax study {workdir}`")
    console().print(str(rebuild(workdir)), markup=False)


@app.command()
def study(
    workdir: Annotated[Path, path("WORKDIR", "Of a study.")],
    markdown: Annotated[
        Path | None,
        typer.Option(
            parser=home_path,
            metavar="FILE",
            help="Also write it as Markdown, with its pictures: to a new FILE, or between the "
            "marks that FILE has for it.",
        ),
    ] = None,
) -> None:
    """Print a study's progress and results, and regenerate its report."""
    from sketchjax.paper.objectives import results as objectives
    from sketchjax.paper.objectives import table as objectives_table
    from sketchjax.paper.report.markdown import write_markdown
    from sketchjax.paper.report.material import load_study
    from sketchjax.paper.report.page import rebuild_study
    from sketchjax.paper.report.terminal import progress_table, result_tables
    from sketchjax.paper.variants import results as variants
    from sketchjax.paper.variants import table as variants_table
    from sketchjax.paper.workdir import kind_in
    from sketchjax.run.output import console
    from sketchjax.run.writers import read_results

    kind = kind_in(workdir)
    if kind is None and "config" in (read_results(workdir) or {}):
        raise DataError(
            f"{workdir} is a run or an evaluation, not a study; use `sketchjax report {workdir}`"
        )
    out = console()
    small = {"objectives": (objectives, objectives_table), "variants": (variants, variants_table)}
    if kind in small:
        results, table = small[kind]
        found = results.read(workdir)
        table.print_results(found)
        if markdown is not None:
            table.write_table(markdown, found)
            out.print(str(markdown), markup=False)
        return
    material = load_study(workdir / "report" / "material.json")
    for table in (progress_table(material.runs), *result_tables(material)):
        out.print(table)
    out.print(str(rebuild_study(workdir)), markup=False)
    if markdown is not None:
        write_markdown(markdown, material)
        out.print(str(markdown), markup=False)


def _lengths(given: str) -> list[int]:
    """Numbers from a text such as 16,32,64."""
    words = [word.strip() for word in given.split(",")]
    if not all(re.fullmatch(r"\d{1,9}", word, re.ASCII) for word in words):
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
