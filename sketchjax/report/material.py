"""What a report shows beyond results.json and metrics.jsonl: plain data that experiment fills in.

It is kept as report/material.json, so that the page can be made anew without the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from sketchjax.errors import DataError
from sketchjax.files import write_whole
from sketchjax.run.writers import JSON_OPTIONS


@dataclass(frozen=True)
class PrecisionRecall:
    """A precision-recall curve over the full ranking.

    recall, precision: f[k] in 0 to 1, recall rising; with k = bits + 1, entry r stands for
    everything within Hamming distance r.
    """

    recall: np.ndarray
    precision: np.ndarray


@dataclass(frozen=True)
class EntropyExample:
    """One category's training sketches by image entropy (SketchMate, figure 4).

    entropies: f[n], bits; low, high: the thresholds between which the middle 90 % lie.
    low_tail, middle, high_tail: example sketches of each part, each points u8[t 3].
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
    """One gallery sketch of a ranking; points: u8[t 3]; distance: Hamming, in bits."""

    points: np.ndarray
    category: str
    distance: int
    correct: bool


@dataclass(frozen=True)
class Retrieval:
    """The first gallery sketches for one query (figure 6: 36), nearest first."""

    query_points: np.ndarray
    query_category: str
    results: Sequence[Neighbour]

    @property
    def precision(self) -> float | None:
        """The share of results that are of the query's category; None when there is no result."""
        if not self.results:
            return None
        return sum(result.correct for result in self.results) / len(self.results)


@dataclass(frozen=True)
class Stage:
    """One stage of training, and what its model reached on the validation split.

    objective: the loss in words or symbols; sketches_per_second: training, over the stage.
    map, precision_at_200: of codes of the stage's model, where it has a hash layer.
    paper_row: the row of the paper's table 1 that was trained with the same objective.
    """

    name: str
    objective: str = ""
    epochs: float | None = None
    seconds: float | None = None
    sketches_per_second: float | None = None
    validation_accuracy: float | None = None
    map: float | None = None
    precision_at_200: float | None = None
    paper_row: str | None = None


@dataclass(frozen=True)
class OpenChoice:
    """A config field that stands for something the paper leaves open, with this run's value."""

    question: str
    field: str
    value: Any


@dataclass(frozen=True)
class Material:
    """All of the above for one run; every part may be missing.

    title: what the run is called, such as its config's name.
    measured_on: where the stages' map and precision were measured, in words.
    """

    curve: PrecisionRecall | None = None
    entropy_example: EntropyExample | None = None
    retrievals: Sequence[Retrieval] = ()
    stages: Sequence[Stage] = ()
    open_choices: Sequence[OpenChoice] = ()
    measured_on: str = "validation queries against the gallery"
    title: str = ""


def fill_stages(
    stages: Sequence[Stage], metrics: Sequence[Mapping[str, Any]], results: Mapping[str, Any]
) -> list[Stage]:
    """The stages with what they lack taken from the run's own files.

    metrics: the lines of metrics.jsonl; the last value of a stage counts. results: as in
    results.json. Where no stage is given, those that metrics names are taken, in order.
    """
    names = dict.fromkeys(line["stage"] for line in metrics if "stage" in line)
    speeds = results.get("sketches_per_second") or {}
    filled = []
    for stage in stages or [Stage(name) for name in names]:
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
    """Write the material as JSON, whole or not at all; arrays become lists, NaN null."""
    write_whole(path, orjson.dumps(material, option=JSON_OPTIONS, default=plain_arrays) + b"\n")


def load_material(path: Path) -> Material:
    """Read what `save_material` wrote, with its arrays; empty material when there is no file.

    Raises DataError when the file is not such material.
    """
    if not path.exists():
        return Material()
    try:
        values = orjson.loads(path.read_bytes())
        return _material(values)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read ({error!r}); remove it, and the page is made without "
            "its curve, its histogram and its example retrievals"
        ) from error


def _material(values: Mapping[str, Any]) -> Material:
    curve, example = values["curve"], values["entropy_example"]
    return Material(
        **(
            dict(values)
            | {
                "curve": curve and PrecisionRecall(*_floats(curve, "recall", "precision")),
                "entropy_example": example and read_entropy_example(example),
                "retrievals": [read_retrieval(retrieval) for retrieval in values["retrievals"]],
                "stages": [Stage(**stage) for stage in values["stages"]],
                "open_choices": [OpenChoice(**choice) for choice in values["open_choices"]],
            }
        )
    )


def read_entropy_example(values: dict[str, Any]) -> EntropyExample:
    read: dict[str, Any] = {"entropies": np.asarray(values["entropies"], np.float64)}
    for part in ("low_tail", "middle", "high_tail"):
        read[part] = [_points(points) for points in values[part]]
    return EntropyExample(**(values | read))


def read_retrieval(values: Mapping[str, Any]) -> Retrieval:
    results = [
        Neighbour(**(result | {"points": _points(result["points"])}))
        for result in values["results"]
    ]
    return Retrieval(_points(values["query_points"]), values["query_category"], results)


def _points(values: Sequence[Sequence[int]]) -> np.ndarray:
    return np.asarray(values, np.uint8).reshape(-1, 3)


def _floats(values: Mapping[str, Any], *names: str) -> list[np.ndarray]:
    return [np.asarray(values[name], np.float64) for name in names]


def plain_arrays(value: Any) -> Any:
    """What orjson cannot write by itself: arrays that are not C-contiguous, ml_collections."""
    if isinstance(value, np.ndarray):
        return np.ascontiguousarray(value)
    if hasattr(value, "to_dict"):
        return value.to_dict()
    return str(value)
