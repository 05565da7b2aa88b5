"""Drawings and pictures of files and of stdin as queries."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np

from sketchjax.data.inputs import PHOTO, SKETCH
from sketchjax.data.sketch import Sketches
from sketchjax.data.sources import read, stop_at
from sketchjax.data.sources.pictures.image import EXTENSIONS as PICTURES
from sketchjax.errors import DataError
from sketchjax.index.engine import Engine
from sketchjax.index.search import Answer, Query, answer, check_model
from sketchjax.retrieval.drawings import as_sketches
from sketchjax.retrieval.outputs import Encoder, Outputs

_MOST = 32 << 20  # bytes of stdin


def ask(
    engine: Engine,
    load: Callable[[], Encoder],
    drawings: Path | IO[bytes] | None,
    *,
    like: int | None = None,
    **options: Any,
) -> list[tuple[np.ndarray, Answer]]:
    """Search an index for each drawing of a file, or for a picture.

    engine: the index.
    load: loads its model, where one is needed.
    drawings: a file, or what stdin is; None: only `like`. A JPEG, PNG or WebP file is a sketch for
      a model of raster sketches, else a photo.
    like: the id of a drawing in the index.
    options: other fields of `Query`.
    Returns the points u8[t 3] of each query, none of a picture, and its answer.
    Raises DataError where the drawings cannot be read, or as `answer` does.
    """
    snapshot = engine.snapshot()
    if drawings is None:
        found = answer(snapshot, Query(like=like, **options))
        return [(snapshot.get([like or 0]).points, found)]
    if is_picture(drawings):
        outputs = _outputs_of_picture(load(), drawings, snapshot.describe().model)
        return [(np.zeros((0, 3), np.uint8), answer(snapshot, Query.of(outputs, **options)))]
    encoder, answers = None, []
    for sketches in read_drawings(drawings):
        if encoder is None:
            encoder = load()
            check_model(encoder.fingerprint, snapshot.describe().model)
        outputs = encoder.outputs(sketches)
        for i in range(len(sketches)):
            query = Query.of(outputs, i, **options)
            answers.append((sketches.points_of(i), answer(snapshot, query)))
    if not answers:
        where = drawings if isinstance(drawings, Path) else "stdin"
        raise DataError(f"{where} holds no drawing")
    return answers


def is_picture(drawings: Path | IO[bytes] | None) -> bool:
    """Whether it is a JPEG, PNG or WebP file, by its name."""
    return isinstance(drawings, Path) and drawings.suffix.lower() in PICTURES


def _outputs_of_picture(encoder: Any, picture: Any, model: str) -> Outputs:
    check_model(encoder.fingerprint, model)
    for kind, side in (("raster", SKETCH), ("photo", PHOTO)):
        if kind in encoder.reads:
            return encoder.picture_outputs(picture, side=side)
    raise DataError(
        f"{picture} is a picture, and the model of this index reads strokes; give a sketch file "
        "such as .svg or .ndjson"
    )


def read_drawings(drawings: Path | IO[bytes]) -> Iterator[Sketches]:
    """The drawings of a file of any form that is known, or of one that holds only strokes as JSON.

    drawings: a path, or an open file with lines as in .ndjson.
    Raises DataError where they cannot be read.
    """
    if isinstance(drawings, Path):
        if drawings.is_file() and _are_strokes(_head_of(drawings)):
            yield _of_strokes(drawings.read_bytes(), str(drawings))
        else:
            yield from read(drawings, on_bad=stop_at)
        return
    content = drawings.read(_MOST + 1)
    if len(content) > _MOST:
        raise DataError(f"stdin has more than {_MOST >> 20} MiB; write it to a file first")
    if _are_strokes(content):
        yield _of_strokes(content, "stdin")
        return
    with tempfile.NamedTemporaryFile(suffix=".ndjson") as file:
        file.write(content)
        file.flush()
        try:
            yield from read(file.name, on_bad=stop_at)
        except DataError as error:
            raise DataError(str(error).replace(file.name, "stdin")) from None


def _head_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(64)


def _are_strokes(content: bytes) -> bool:
    """Whether JSON is one drawing as a list, and no array of records."""
    content = content.lstrip()
    return content.startswith(b"[") and not content[1:].lstrip().startswith(b"{")


def _of_strokes(content: bytes, where: str) -> Sketches:
    try:
        return as_sketches(msgspec.json.decode(content, type=list))
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise DataError(f"{where} is not JSON of strokes [[xs, ys], ...] ({error})") from error
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
