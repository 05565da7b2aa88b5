"""What the server does, without HTTP: drawings to points, codes, answers and new items.

As many drawings are encoded together as the model has a program for: one, where each number of them
would be compiled first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import numpy as np

from sketchjax.data.simplify import simplify
from sketchjax.data.sketch import Sketches, drawing_of, points_of_strokes
from sketchjax.data.sources import canonical
from sketchjax.data.sources.records import key_of_points, wrong_name
from sketchjax.errors import DataError
from sketchjax.index.engine import Description, Engine, Items
from sketchjax.index.search import Answer, Milliseconds, Query, answer, check_model
from sketchjax.retrieval.codes import Codes
from sketchjax.retrieval.outputs import Encoder, Outputs
from sketchjax.serving.schema import (
    AddRequest,
    Encoded,
    EncodeRequest,
    Form,
    SearchRequest,
    Sketch,
)

Strokes = Sequence[Sequence[Sequence[float]]]
Result = TypeVar("Result")
HOUSE = [[[40, 40, 200, 200, 40], [110, 240, 240, 110, 110]], [[40, 120, 200], [110, 30, 110]]]


@dataclass
class Service:
    """An index and the model that encodes queries for it.

    engine: the index.
    encoder: the model.
    ready: set once a search takes no longer than it will later.
    Raises DataError where the index holds codes of another model.
    """

    engine: Engine
    encoder: Encoder
    ready: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        check_model(self.encoder.fingerprint, self.describe().model)

    def warm(self) -> None:
        """Compile what a search needs, by searching."""
        request = SearchRequest.model_validate({"drawing": HOUSE})
        for _ in range(2):
            self.search(request)
        self.ready.set()

    def describe(self) -> Description:
        """What the index holds."""
        return self.engine.snapshot().describe()

    def search(self, request: SearchRequest) -> Answer:
        """The nearest items.  Raises DataError for what cannot be a query of this index."""
        (found,) = self.search_all([request])
        if isinstance(found, Exception):
            raise found
        return found

    def search_all(self, requests: Sequence[SearchRequest]) -> Iterator[Answer | Exception]:
        """The answers to several searches in their order, each as soon as it is found.

        requests: at most `encoder.at_once`; their drawings are encoded in one pass, whose time
          every answer has.
        Gives an error in place of an answer: DataError for what cannot be a query of this index.
        """
        start = time.perf_counter()
        points = [_attempt(_points_of_query, request) for request in requests]
        simplified = time.perf_counter()
        drawings = [each for each in points if isinstance(each, np.ndarray)]
        try:
            outputs = self.encoder.outputs(drawings) if drawings else None
        except DataError as error:
            if len(requests) == 1:
                yield error
            else:  # one of them is wrong, and its message is nobody else's
                for request in requests:
                    yield from self.search_all([request])
            return
        encoded = time.perf_counter()
        place = 0
        for request, own in zip(requests, points, strict=True):
            if isinstance(own, Exception):
                yield own
            elif own is None or outputs is None:
                yield _attempt(self._answer, _query(request))
            else:
                query = Query.of(outputs, place, **_options(request))
                place += 1
                yield _attempt(self._answer, query, simplified - start, encoded - simplified)

    def _answer(self, query: Query, simplifying: float = 0.0, encoding: float = 0.0) -> Answer:
        """The answer to a query, and the seconds of what came before it."""
        found = answer(self.engine, query)
        spent = msgspec.structs.replace(
            found.milliseconds,
            simplify=round(simplifying * 1e3, 3),
            encode=round(encoding * 1e3, 3),
        )
        return msgspec.structs.replace(found, milliseconds=spent)

    def encode(self, request: EncodeRequest) -> Encoded:
        """The codes of drawings.  Raises DataError for a drawing that cannot be encoded."""
        start = time.perf_counter()
        points = [_numbered(n, d, request.form) for n, d in enumerate(request.drawings)]
        simplified = time.perf_counter()
        outputs = self._outputs(points)
        encoded = time.perf_counter()
        return Encoded(
            model=self.encoder.fingerprint,
            codes=[code.tobytes().hex() for code in outputs.codes.packed],
            features=outputs.features.tolist() if request.features else None,
            milliseconds=Milliseconds(
                simplify=round((simplified - start) * 1e3, 3),
                encode=round((encoded - simplified) * 1e3, 3),
            ),
        )

    def add(self, request: AddRequest) -> list[str]:
        """The ids of new items, which are on the disk.  Raises DataError for one that is wrong."""
        names = [canonical(sketch.category) for sketch in request.sketches]
        for number, name in enumerate(names):
            if reason := wrong_name(name):
                raise DataError(f"sketch {number}: its category {reason}")
        points = [_numbered(n, s.drawing, request.form) for n, s in enumerate(request.sketches)]
        keys = [int(sketch.key_id) for sketch in request.sketches]
        count = len(points)
        sketches = Sketches(
            points=np.concatenate(points),
            offsets=np.cumsum([0, *map(len, points)], dtype=np.int64),
            categories=names,
            key_ids=np.array(
                [key or key_of_points(own) for key, own in zip(keys, points, strict=True)],
                np.uint64,
            ),
            recognized=np.full(count, -1, np.int8),
            places=np.zeros(count, np.int64),
        )
        items = Items.of(sketches, self._outputs(points), self.describe().scale)
        return [str(number) for number in self.engine.add(items)]

    def _outputs(self, points: list[np.ndarray]) -> Outputs:
        """The outputs of several drawings, as many in a pass as the model has a program for."""
        step = self.encoder.at_once
        every = [self.encoder.outputs(points[i : i + step]) for i in range(0, len(points), step)]
        first = every[0].codes
        packed = np.concatenate([each.codes.packed for each in every])
        n = len(points)
        codes = Codes(
            packed,
            np.full(n, -1, np.int32),
            np.zeros(n, np.uint64),
            np.arange(n),
            categories=first.categories,
            model=first.model,
        )
        return Outputs(
            codes,
            np.concatenate([each.features for each in every]),
            np.concatenate([each.probabilities for each in every]),
        )

    def get(self, id_: str) -> tuple[Sketch, np.ndarray]:
        """One item, and its points u8[t 3].  Raises NoItem where there is none."""
        items = self.engine.snapshot().get([int(id_)])
        points = items.points_of(0)
        sketch = Sketch(
            id=id_,
            kind="drawing" if len(points) else "photo",
            key_id=str(items.key_ids[0]),
            category=items.categories[0],
            code=items.codes[0].tobytes().hex(),
            source=items.sources[0],
            place=int(items.places[0]),
            drawing=drawing_of(points),
        )
        return sketch, points

    def thumbnail(self, id_: str) -> bytes:
        """The JPEG file of a photo.  Raises NoItem where there is none."""
        return self.engine.snapshot().thumbnail(int(id_))

    def delete(self, id_: str) -> bool:
        """Delete an item, durably; returns whether there was one."""
        return self.engine.delete([int(id_)]) == 1


def _points_of_query(request: SearchRequest) -> np.ndarray | None:
    return None if request.drawing is None else points_of(request.drawing, request.form)


def _query(request: SearchRequest) -> Query:
    """A query without a drawing."""
    if request.like is not None:
        return Query(like=int(request.like), **_options(request))
    assert request.code is not None
    # A copy can be written, as all other codes: a kernel is compiled for each kind.
    code = np.frombuffer(bytes.fromhex(request.code), np.uint8).copy()
    return Query(code=code, **_options(request))


def _options(request: SearchRequest) -> dict[str, Any]:
    names = ("k", "categories", "rerank", "points")
    return {name: getattr(request, name) for name in names}


def _attempt(work: Callable[..., Result], *arguments: object) -> Result | Exception:
    """What work gives, or its error."""
    try:
        return work(*arguments)
    except Exception as error:
        return error


def points_of(drawing: Strokes, form: Form) -> np.ndarray:
    """The points u8[t 3] of strokes [[xs, ys], ...].

    drawing: in the bounds of `schema`.
    form: raw drawings are simplified, simplified ones are taken as they are.
    Raises DataError where a raw drawing is a scribble, or a simplified one is not simplified.
    """
    strokes = [np.array(axes[:2], np.float64).T for axes in drawing]
    if form == "raw":
        return simplify(strokes, together=True)
    joined = np.concatenate(strokes)
    if joined.min() < 0 or joined.max() > 255 or (joined != np.rint(joined)).any():
        raise DataError(
            "a simplified drawing has whole numbers from 0 to 255; send others with form raw"
        )
    return points_of_strokes(strokes)


def _numbered(number: int, drawing: Strokes, form: Form) -> np.ndarray:
    try:
        return points_of(drawing, form)
    except DataError as error:
        raise DataError(f"drawing {number}: {error}") from None
