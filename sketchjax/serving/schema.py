"""What requests may say, with every bound that needs no index; the OpenAPI document shows them.

Answers are the msgspec structs of `index`; the few that only a server gives are here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from sketchjax.data.sources.records import LONGEST_NAME
from sketchjax.index.engine import Description
from sketchjax.index.search import Answer, Milliseconds

MOST_STROKES = 256
MOST_POINTS = 10_000
MOST_RESULTS = 200
MOST_ENCODED = 64  # drawings of a request
MOST_ADDED = 1_000
LARGEST = 1e6  # of a coordinate, either way

# fail_fast: a body of a hundred thousand wrong numbers gets one complaint, not as many.
Coordinate = Annotated[float, Field(strict=True, gt=-LARGEST, lt=LARGEST, allow_inf_nan=False)]
Axis = Annotated[list[Coordinate], Field(min_length=1, max_length=MOST_POINTS, fail_fast=True)]
Stroke = Annotated[list[Axis], Field(min_length=2, max_length=3, fail_fast=True)]
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
# 007 is 7, as results have it.
Id = Annotated[
    str, Field(pattern=r"^[0-9]{1,18}$"), AfterValidator(lambda digits: str(int(digits)))
]
Form = Literal["raw", "simplified"]


def _in_64_bits(digits: str) -> str:
    if int(digits) >= 1 << 64:
        raise ValueError("it is above 2^64 - 1")
    return digits


KeyId = Annotated[str, Field(pattern=r"^[0-9]{1,20}$"), AfterValidator(_in_64_bits)]


def _checked(drawing: list[list[list[float]]]) -> list[list[list[float]]]:
    """The same drawing; raises ValueError where a bound on all of it is exceeded."""
    for number, axes in enumerate(drawing):
        if len({len(axis) for axis in axes}) > 1:
            raise ValueError(f"the lists of stroke {number} differ in length")
    points = sum(len(axes[0]) for axes in drawing)
    if points > MOST_POINTS:
        raise ValueError(f"it has {points:,} points; at most {MOST_POINTS:,} are taken")
    return drawing


Drawing = Annotated[
    list[Stroke],
    Field(
        min_length=1,
        max_length=MOST_STROKES,
        fail_fast=True,
        description="Strokes as [[xs, ys], ...], with times as an optional third list; y goes "
        f"down. At most {MOST_POINTS:,} points.",
    ),
    AfterValidator(_checked),
]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SearchRequest(_Request):
    """One of drawing, code and like, and how to search for it."""

    drawing: Drawing | None = None
    code: Annotated[str, Field(pattern=r"^([0-9a-f]{2})+$")] | None = Field(
        None, description="In hexadecimal digits, as answers have it."
    )
    like: Id | None = Field(None, description="The id of an item of the index.")
    form: Form = Field("raw", description="Of the drawing. A raw one is simplified as QuickDraw's.")
    k: int = Field(36, ge=1, le=MOST_RESULTS, strict=True)
    categories: Annotated[list[Name], Field(min_length=1, max_length=1_000)] | None = None
    rerank: bool = Field(True, strict=True, description="Order equally near items by features.")
    points: bool = Field(True, strict=True, description="Whether results have their strokes.")

    @model_validator(mode="after")
    def _has_one_query(self) -> SearchRequest:
        if sum(given is not None for given in (self.drawing, self.code, self.like)) != 1:
            raise ValueError("give one of drawing, code and like")
        return self


class EncodeRequest(_Request):
    """Drawings to encode."""

    drawings: list[Drawing] = Field(min_length=1, max_length=MOST_ENCODED)
    form: Form = "raw"
    features: bool = Field(False, strict=True)


class NewSketch(_Request):
    """A drawing to add to the index."""

    drawing: Drawing
    category: Name
    key_id: KeyId = "0"


class AddRequest(_Request):
    """Drawings to add to the index."""

    sketches: list[NewSketch] = Field(min_length=1, max_length=MOST_ADDED)
    form: Form = "raw"


class Encoded(msgspec.Struct, frozen=True):
    """The codes of drawings, in hexadecimal digits, and their features where asked for."""

    model: str
    codes: list[str]
    features: list[list[float]] | None
    milliseconds: Milliseconds


class Added(msgspec.Struct, frozen=True):
    """The ids that new drawings got."""

    ids: list[str]


class Sketch(msgspec.Struct, frozen=True):
    """One item of the index. Its drawing is strokes as [[xs, ys], ...], 0 to 255; a photo has none.

    kind: drawing or photo.
    """

    id: str
    kind: str
    key_id: str
    category: str
    code: str
    source: str
    place: int
    drawing: list[list[list[int]]]


class State(msgspec.Struct, frozen=True):
    """Whether the server is alive, or ready."""

    status: str


class Problem(msgspec.Struct, frozen=True):
    """An error (RFC 9457); detail is one sentence for people."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"


_ANSWERS = (Answer, Description, Encoded, Added, Sketch, State, Problem)


def components() -> dict[str, Any]:
    """The JSON schemas of all answers, by name."""
    _, schemas = msgspec.json.schema_components(
        _ANSWERS, ref_template="#/components/schemas/{name}"
    )
    return schemas


def reference(answer: type, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says about a route whose answer this is."""
    schema = {"$ref": f"#/components/schemas/{answer.__name__}"}
    words = (answer.__doc__ or "").split("\n\n")[0]
    return {status: {"description": words, "content": {"application/json": {"schema": schema}}}}
