"""What encodes drawings, and the options that commands for search share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from sketchjax.commands.program import OnBad, path
from sketchjax.fields import home_path
from sketchjax.wording import counted


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
EngineUrl = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="URL",
        help="A database of ClickHouse, in place of a folder: clickhouse://HOST:8123/DATABASE.",
    ),
]
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


def encoder_for(
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
        from sketchjax.data.workers import cores
        from sketchjax.export.onnx_encoder import OnnxEncoder

        return OnnxEncoder.load(model, threads=threads or cores())
    from sketchjax.retrieval.model import load
    from sketchjax.run.compilation import keep_compiled

    keep_compiled()
    return load(model)


def encoder_of(place: Any, runtime: Runtime, **options: Any) -> Any:
    """What encodes queries of an index, by its `Place`; see `encoder_for`."""
    with place.model() as path:
        return encoder_for(path, runtime, **options)


def tasks(progress: Any) -> Any:
    """Tasks of a `TrainingProgress` as (name, total) -> context."""
    return lambda name, total: progress.task(name, total=total)


def items(count: int, encoder: Any) -> str:
    """A number of what an encoder encodes: drawings, or items, where there may be photos."""
    from sketchjax.data.inputs import PHOTO

    return counted(count, "item" if PHOTO in encoder.reads else "drawing")
