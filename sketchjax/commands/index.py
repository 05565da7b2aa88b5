"""Commands that make an index of drawings and change it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from sketchjax import packaged
from sketchjax.commands.encoders import (
    Drawings,
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
from sketchjax.commands.program import OnBad, app, path, stoppable
from sketchjax.errors import ConfigError, DataError
from sketchjax.fields import home_path
from sketchjax.wording import counted


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
    from sketchjax.index.sources import find_sources, is_workdir
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
        encoder = encoder_for(model, runtime, photos=True, note=note)
        with stoppable("the index"):
            found = find_sources(
                sources, encoder, split=split, skip_bad=on_bad is OnBad.SKIP, note=note
            )
            place_of(index, engine).build(
                found, encoder, save_model=encoder.save, task=tasks(progress), note=note
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
    from sketchjax.index.sources import find_sources
    from sketchjax.run.progress import TrainingProgress

    place = place_of(index, engine)
    with TrainingProgress() as progress:
        note = progress.note
        encoder = encoder_of(place, runtime, photos=True, note=note)
        with stoppable("the addition"):
            found = find_sources(
                sources, encoder, split=split, skip_bad=on_bad is OnBad.SKIP, note=note
            )
            count = place.add(found, encoder, task=tasks(progress), note=note)
    print(f"{index}: {items(count, encoder)} added")


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
        noun = opened.snapshot().describe().noun
        count = opened.delete(ids)
        missing = len(set(ids)) - count
    print(
        f"{index}: {counted(count, noun)} deleted" + (f", {missing:,} not there" if missing else "")
    )


@indexes.command()
def compact(index: IndexFolder, engine: EngineUrl = None) -> None:
    """Remove deleted drawings from the file of an index, and join what was added in pieces."""
    from contextlib import closing

    from sketchjax.index.places import place_of

    with closing(place_of(index, engine).open(read_only=False)) as opened:
        noun = opened.snapshot().describe().noun
        count = opened.compact()
    print(f"{index}: {counted(count, f'deleted {noun}')} removed")


@indexes.command()
def describe(index: IndexFolder, engine: EngineUrl = None) -> None:
    """Print what an index holds."""
    from contextlib import closing

    from sketchjax.index.places import place_of

    with closing(place_of(index, engine).open()) as opened:
        state = opened.snapshot().describe()
    print(
        f"{index}: {counted(state.count, state.noun)} of "
        f"{counted(len(state.categories), 'category', 'categories')}, "
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
    print(f"{index} is sound: {counted(state.count, state.noun)}")
