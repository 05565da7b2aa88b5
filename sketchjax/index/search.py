"""Answers to queries: which items are compared, in which order, and what is said about ties.

A trained code is shared by most of its class: at 345,000 drawings some 900 are at distance 0 of a
typical query. So the order comes from the features, inside a pool that holds whole ties, and the
answer says how many equally near drawings it does not show.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np

from sketchjax.errors import DataError
from sketchjax.index.engine import Engine, Found, Items, Scale, Snapshot
from sketchjax.index.strokes_json import strokes_json
from sketchjax.retrieval.outputs import Outputs

# Items that the first distances must hold. With 36 the drawing that a query redraws was among the
# first 36 results for 91.5 % of 1,500 queries on QuickDraw-55, with 100 for 95.4 %, with 200 and
# with 1,000 for 97.3 %.
LEAST = 200
MOST = 200_000  # items compared by features; 12.8 MB of features at 64 bytes
MOST_RESULTS = 10_000
_NAMED = 3  # categories that an answer names as probable


@dataclass(frozen=True, eq=False)
class Query:
    """What is searched for: a code, best with its features; or what is like an item.

    code: u8[d/8].
    features: f32[f] of the model; None: the order is by Hamming distance and id only.
    model: fingerprint of the model that made them; empty: not checked.
    probable: categories of the model with their probabilities, most probable first.
    like: the id of an item, in place of code and features.
    k: results.
    categories: only items of these; None: of all.
    rerank: whether features are compared.
    points: whether the results have their points.
    """

    code: np.ndarray | None = None
    features: np.ndarray | None = None
    model: str = ""
    probable: tuple[Probable, ...] = ()
    like: int | None = None
    k: int = 36
    categories: Sequence[str] | None = None
    rerank: bool = True
    points: bool = True

    @classmethod
    def of(cls, outputs: Outputs, place: int = 0, **options: object) -> Query:
        """A query from what a model made of drawings.

        outputs: of the model.
        place: of the drawing in them.
        options: other fields.
        """
        shares = outputs.probabilities[place]
        likely = np.argsort(-shares, kind="stable")[:_NAMED]
        names = outputs.codes.categories
        return cls(
            code=outputs.codes.packed[place],
            features=outputs.features[place],
            model=outputs.codes.model,
            probable=tuple(Probable(names[i], round(float(shares[i]), 4)) for i in likely),
            **options,  # pyright: ignore[reportArgumentType]
        )


class Probable(msgspec.Struct, frozen=True):
    """A category and its probability."""

    name: str
    probability: float


_AXIS = {"type": "array", "items": {"type": "integer"}}
StrokesJson = Annotated[
    msgspec.Raw,
    msgspec.Meta(
        extra_json_schema={"type": "array", "items": {"type": "array", "items": _AXIS}},
    ),
]


class Result(msgspec.Struct, frozen=True):
    """One item of an answer. Ids are text, as JSON's readers disagree on numbers above 2^53.

    id: of the item.
    kind: drawing or photo.
    key_id: the drawing's own.
    category: its name.
    code: of the item, hexadecimal.
    distance: Hamming distance to the query.
    feature_distance: Euclidean distance of the features; None where they were not compared.
    source: the file it came from, with `place`, the line or record there.
    points: its strokes [[xs, ys], ...] as JSON, None where they were not asked for, and of a photo.
    thumbnail: the address of a photo's picture on a server, None of a drawing.
    """

    id: str
    kind: str
    key_id: str
    category: str
    code: str
    distance: int
    feature_distance: float | None
    source: str
    place: int
    points: StrokesJson | None
    thumbnail: str | None


class Ties(msgspec.Struct, frozen=True):
    """At the first distance of which not all items are shown, else at the last one shown: how many
    results have this distance, and how many items of the index.
    """

    distance: int
    shown: int
    all: int


class PoolSize(msgspec.Struct, frozen=True):
    """What was compared by features: `compared` of `all` items within the distance `radius`.

    Fewer than all were compared where the limit of 200,000 cut them.
    """

    radius: int
    compared: int
    all: int


class Milliseconds(msgspec.Struct, frozen=True):
    """How long each part of an answer took."""

    simplify: float = 0.0
    encode: float = 0.0
    search: float = 0.0


class IndexState(msgspec.Struct, frozen=True):
    """Which index answered: its name, items, number of the snapshot, and photos of the items."""

    name: str
    count: int
    snapshot: int
    photos: int


class Answer(msgspec.Struct, frozen=True):
    """What a search gives; as JSON, the response of the server.

    code: of the query, hexadecimal.
    categories: the probable categories of the query; empty where only a code was given.
    results: nearest first.
    ties: None without results.
    pool: None where the order is by Hamming distance only.
    milliseconds: of the parts.
    index: that answered.
    """

    code: str
    categories: tuple[Probable, ...]
    results: list[Result]
    ties: Ties | None
    pool: PoolSize | None
    milliseconds: Milliseconds
    index: IndexState


def answer(engine: Engine | Snapshot, query: Query) -> Answer:
    """Search an index.

    engine: the index, of which the current snapshot is taken; or a snapshot.
    Raises DataError for a query of another model or with nothing to search for, an unknown category
    or id, or k out of bounds.
    """
    start = time.perf_counter()
    snapshot = engine if isinstance(engine, Snapshot) else engine.snapshot()
    state = snapshot.describe()
    check_k(query.k)
    check_model(query.model, state.model)
    code, features = _wanted(snapshot, query, state.scale)
    found = snapshot.nearest(
        code,
        features if query.rerank else None,
        query.k,
        least=max(query.k, LEAST),
        most=MOST,
        categories=query.categories,
    )
    items = snapshot.get(found.ids.tolist())
    results = _results(found, items, state.scale, query.points)
    return Answer(
        code=code.tobytes().hex(),
        categories=query.probable,
        results=results,
        ties=_ties(found),
        pool=None
        if found.squares is None
        else PoolSize(found.radius, found.compared, found.within),
        milliseconds=Milliseconds(search=round((time.perf_counter() - start) * 1e3, 3)),
        index=IndexState(state.name, state.count, state.snapshot, state.photos),
    )


def check_k(k: int) -> None:
    """Raise DataError where this number of results is out of bounds."""
    if not 1 <= k <= MOST_RESULTS:
        raise DataError(f"k={k}: must be from 1 to {MOST_RESULTS:,}")


def check_model(model: str, of_index: str) -> None:
    """Raise DataError where codes come from another model than the index's.

    model: fingerprint of the codes' model; empty: not known, so not checked.
    of_index: that of the index.
    """
    if model and of_index and model != of_index:
        raise DataError(
            f"the index holds codes of model {of_index[:12]}, and these come from model "
            f"{model[:12]}; encode with the model of the index"
        )


def _wanted(snapshot: Snapshot, query: Query, scale: Scale) -> tuple[np.ndarray, np.ndarray | None]:
    """Code u8[d/8] and features u8[f] of a query."""
    if query.like is not None:
        item = snapshot.get([query.like])
        return item.codes[0], item.features[0]
    if query.code is None:
        raise DataError("nothing to search for: give a drawing, a code, or the id of an item")
    code = np.asarray(query.code, np.uint8)
    return code, None if query.features is None else scale.bytes_of(query.features[None])[0]


def _results(found: Found, items: Items, scale: Scale, points: bool) -> list[Result]:
    # Column by column: numpy takes a microsecond for each number that is asked for by itself.
    width = 2 * items.codes.shape[1]
    digits = items.codes.tobytes().hex()
    nothing = [None] * len(items)
    squares = nothing if found.squares is None else found.squares.tolist()
    rows = zip(
        items.ids.tolist(),
        items.key_ids.tolist(),
        items.categories,
        [digits[i : i + width] for i in range(0, len(digits), width)],
        found.distances.tolist(),
        squares,
        items.sources,
        items.places.tolist(),
        items.are_photos.tolist(),
        strokes_json(items.points, items.offsets) if points else nothing,
        strict=True,
    )
    return [
        Result(
            id=str(id_),
            kind="photo" if is_photo else "drawing",
            key_id=str(key_id),
            category=category,
            code=code,
            distance=distance,
            feature_distance=None if square is None else round(scale.step * math.sqrt(square), 6),
            source=source,
            place=place,
            points=None if is_photo else drawing,
            thumbnail=f"v1/sketches/{id_}/thumbnail" if is_photo else None,
        )
        for id_, key_id, category, code, distance, square, source, place, is_photo, drawing in rows
    ]


def _ties(found: Found) -> Ties | None:
    if not len(found.distances):
        return None
    shown = np.bincount(found.distances)
    hidden = np.flatnonzero(shown < found.histogram[: len(shown)])
    distance = int(hidden[0]) if len(hidden) else len(shown) - 1
    return Ties(distance, int(shown[distance]), int(found.histogram[distance]))
