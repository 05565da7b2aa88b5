"""What a report shows beyond results.json and metrics.jsonl: plain data that a run fills in.

It is kept as report/material.json, so that the page can be made again without the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import orjson

from sketchjax.errors import DataError
from sketchjax.files import JSON_OPTIONS, write_whole

Kind = TypeVar("Kind")
Cell = bool | int | float | str | None


@dataclass(frozen=True)
class PrecisionRecall:
    """A precision-recall curve over the full ranking.

    recall: f[k], 0 to 1, rising.
    precision: f[k], 0 to 1; NaN where there is none.

    With k = bits + 1, entry r stands for everything within Hamming distance r.
    """

    recall: np.ndarray
    precision: np.ndarray


@dataclass(frozen=True)
class EntropyExample:
    """The training sketches of one category by image entropy.

    category: its name.
    entropies: f[n], bits, of all its training sketches.
    low, high: bits, the thresholds between which the middle 90 % lie.
    low_tail, middle, high_tail: example sketches of each part, each of points u8[t 3].
    """

    category: str
    entropies: np.ndarray
    low: float
    high: float
    low_tail: Sequence[np.ndarray] = ()
    middle: Sequence[np.ndarray] = ()
    high_tail: Sequence[np.ndarray] = ()


@dataclass(frozen=True)
class Neighbour:
    """One gallery item of a ranking.

    points: u8[t 3] of a sketch; none of a picture.
    category: its name.
    distance: Hamming distance to the query, in bits.
    correct: whether it is of the query's category.
    picture: of a photo or raster sketch, its file as a data URI.
    exact: whether it is the very photo that the query draws.
    """

    points: np.ndarray
    category: str
    distance: int
    correct: bool
    picture: str = ""
    exact: bool = False


@dataclass(frozen=True)
class Retrieval:
    """One query and the gallery items nearest to it, nearest first.

    query_points: u8[t 3] of a sketch; none of a picture.
    query_picture: of a photo or raster sketch, its file as a data URI.
    place: the place of the photo that the query draws among all of the gallery, from 1; None where
      it is not known or not there.
    """

    query_points: np.ndarray
    query_category: str
    results: Sequence[Neighbour]
    query_picture: str = ""
    place: int | None = None

    @property
    def precision(self) -> float | None:
        """The share of results that are of the query's category; None without results."""
        if not self.results:
            return None
        return sum(result.correct for result in self.results) / len(self.results)


@dataclass(frozen=True)
class StageRow:
    """One stage of training, as the report's tables show it.

    name: of the stage.
    objective: the loss in symbols, such as "CEL + 0.01 SCL".
    epochs: how many it trained for.
    seconds: how long it trained.
    sketches_per_second: its training speed.
    validation_accuracy: of its model, on the validation split.
    map, precision_at_200: of its model's codes, where it has a hash layer.
    """

    name: str
    objective: str = ""
    epochs: float | None = None
    seconds: float | None = None
    sketches_per_second: float | None = None
    validation_accuracy: float | None = None
    map: float | None = None
    precision_at_200: float | None = None


@dataclass(frozen=True)
class OpenChoice:
    """A choice that every run has to make: the question, the config field, this run's value."""

    question: str
    field: str
    value: Any


@dataclass(frozen=True)
class PublishedRows:
    """Published rows to be shown under a run's own in one table.

    rows: each a mapping with `model`, its label, and values by the names of results.json.
    caption: of the whole table.
    note: shown below it; may be empty.
    """

    rows: Sequence[Mapping[str, Cell]] = ()
    caption: str = ""
    note: str = ""


@dataclass(frozen=True)
class PublishedStage:
    """The published row that was trained with the objective of a stage."""

    label: str
    map: float | None = None
    precision_at_200: float | None = None


@dataclass(frozen=True)
class Reference:
    """Figures published elsewhere, set next to a run's own.

    source: where they were published, in one line.
    name: what the tables call it, such as "the paper".
    heading: of the section that compares scores.
    size_note: how far its data differ in size from the run's.
    results: rows for the table of results.
    distances: rows for the table of class distances; None for no rows.
    stages: the published row of each stage that has one, by stage.
    category: the category it shows the image entropy of, for `examples.entropy_example`.
    entropy_note: a sentence for the figure of image entropy; may be empty.
    speed_note: a sentence for the figure of training speed; may be empty.
    choices_heading, choices_column: headings of the table of open choices.
    """

    source: str
    name: str
    heading: str
    size_note: str
    results: PublishedRows
    distances: PublishedRows | None = None
    stages: Mapping[str, PublishedStage] = field(default_factory=dict)
    category: str = ""
    entropy_note: str = ""
    speed_note: str = ""
    choices_heading: str = "Choices of this run"
    choices_column: str = "choice"


@dataclass(frozen=True)
class Material:
    """All of the above for one run; every part may be missing.

    title: what the run is called, such as the name of its config.
    """

    curve: PrecisionRecall | None = None
    entropy_example: EntropyExample | None = None
    retrievals: Sequence[Retrieval] = ()
    stages: Sequence[StageRow] = ()
    open_choices: Sequence[OpenChoice] = ()
    title: str = ""
    reference: Reference | None = None


def fill_stages(
    stages: Sequence[StageRow], metrics: Sequence[Mapping[str, Any]], results: Mapping[str, Any]
) -> list[StageRow]:
    """The stages with their missing values taken from the run's own files.

    stages: rows to fill; where there are none, the stages that metrics names, in order.
    metrics: the lines of metrics.jsonl; the last value of a stage counts.
    results: as in results.json.
    """
    names = dict.fromkeys(line["stage"] for line in metrics if "stage" in line)
    speeds = results.get("sketches_per_second") or {}
    filled = []
    for stage in stages or [StageRow(name) for name in names]:
        last: dict[str, Any] = {}
        for line in metrics:
            if line.get("stage") == stage.name:
                last |= line
        last["sketches_per_second"] = speeds.get(stage.name)
        keys = ("sketches_per_second", "validation_accuracy", "map", "precision_at_200")
        missing = {key: last.get(key) for key in keys if getattr(stage, key) is None}
        filled.append(replace(stage, **missing))
    return filled


def save_material(path: Path, material: Material) -> None:
    """Write the material as JSON, whole or not at all; arrays become lists and NaN null."""
    write_whole(path, orjson.dumps(material, option=JSON_OPTIONS, default=plain_arrays) + b"\n")


def load_material(path: Path) -> Material:
    """Read what `save_material` wrote, with its arrays; empty material when there is no file.

    Fields that this version does not know are ignored, missing ones have their defaults: material
    of other versions can be read.
    Raises DataError when the file cannot be read as material.
    """
    if not path.exists():
        return Material()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Material, dec_hook=_array)
    except (msgspec.MsgspecError, OverflowError) as error:
        raise DataError(
            f"{path} cannot be read as a report's material ({error}); delete it to make the page "
            "without its curve, its histogram and its example retrievals"
        ) from error


def read_entropy_example(values: Mapping[str, Any]) -> EntropyExample:
    """An example from its JSON object. Raises ValueError when it is not one."""
    return _read(values, EntropyExample)


def read_retrieval(values: Mapping[str, Any]) -> Retrieval:
    """A retrieval from its JSON object. Raises ValueError when it is not one."""
    return _read(values, Retrieval)


def plain_arrays(value: Any) -> Any:
    """What orjson cannot write by itself: arrays that are not C-contiguous, ml_collections."""
    if isinstance(value, np.ndarray):
        return np.ascontiguousarray(value)
    if hasattr(value, "to_dict"):
        return value.to_dict()
    return str(value)


def _read(values: Mapping[str, Any], kind: type[Kind]) -> Kind:
    return msgspec.convert(values, type=kind, dec_hook=_array)


def _array(kind: type, values: Any) -> np.ndarray:
    """Points u8[t 3] from a list of lists, f64[n] from a list of numbers and nulls.

    An empty list is an empty sketch; as numbers it has length 0 as well.
    """
    if kind is not np.ndarray or not isinstance(values, list):
        raise TypeError(f"expected a list, got {type(values).__name__}")
    if not values or isinstance(values[0], list):
        return np.asarray(values, np.uint8).reshape(-1, 3)
    return np.asarray(values, np.float64)
