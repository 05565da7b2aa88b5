"""What the report of a study shows: plain data that the study's runner fills in.

A study is a set of runs that reproduces the tables and figures of SketchMate. Its material is kept
as report/material.json, so that page and Markdown can be made anew without any run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from sketchjax.errors import DataError
from sketchjax.files import JSON_OPTIONS, write_whole
from sketchjax.report.material import (
    EntropyExample,
    PrecisionRecall,
    Retrieval,
    plain_arrays,
    read_entropy_example,
    read_retrieval,
)

STATES = ("done", "running", "to do", "failed")


@dataclass(frozen=True)
class StudyRow:
    """One method at one code length in one table of the paper.

    table: "1", "2", "4", "5", "6" or "zero-shot"; model: our label; paper_model: the name of the
    paper's row (`paper.rows`; in table 2 its method), None where the paper has no such row.
    values: by metric one value a seed, by table: 1 map, precision_at_200, also map_best, map_worst
    · 2 map · 4 d1, d2, d1_over_d2, map · 5 seconds_per_query, memory_mb · 6 accuracy · zero-shot
    map, precision_at_200. No value: not run yet.
    features: "HOG" or "deep feature", in table 2; gallery: number of codes, in table 5.
    failed: why the run failed; missing: the run has not ended yet, whatever `values` hold.
    """

    table: str
    model: str
    values: Mapping[str, Sequence[float]] = field(default_factory=dict)
    bits: int | None = None
    features: str | None = None
    paper_model: str | None = None
    note: str = ""
    failed: str = ""
    missing: bool = False
    gallery: int | None = None

    def figures(self, metric: str) -> list[float]:
        """The finite values of a metric, one a seed; none of a row that is missing or failed."""
        if self.missing or self.failed:
            return []
        values = self.values.get(metric, ())
        return [float(v) for v in values if v is not None and math.isfinite(v)]

    @property
    def state(self) -> str:
        """done, to do or failed."""
        if self.failed:
            return "failed"
        return "done" if any(self.figures(metric) for metric in self.values) else "to do"


@dataclass(frozen=True)
class Comparison:
    """What several methods find for one query (figure 6); methods: (model, its first results)."""

    category: str
    bits: int
    methods: Sequence[tuple[str, Retrieval]]


@dataclass(frozen=True)
class RunState:
    """One run of the study: what it is for, whether it is done, how long it took and why not.

    state: one of STATES; seconds: None where not known; why: what went wrong or is waited for.
    """

    name: str
    what: str
    state: str
    seconds: float | None = None
    why: str = ""


@dataclass(frozen=True)
class StudyMaterial:
    """A study as it stands, finished or not.

    tables: those that were asked for, in the order of the report. facts: shown under the headline;
    `classes`, `train` and `gallery` stand in every caption beside the paper's as well.
    curves: (bits, model, curve) with the models named as in the rows. notes: sentences, such as
    what differs from the paper. commands: what made it, line by line.
    """

    title: str
    tables: Sequence[str] = ()
    rows: Sequence[StudyRow] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    curves: Sequence[tuple[int, str, PrecisionRecall]] = ()
    entropy: EntropyExample | None = None
    comparisons: Sequence[Comparison] = ()
    notes: Sequence[str] = ()
    runs: Sequence[RunState] = ()
    commands: Sequence[str] = ()


def save_study(path: Path, material: StudyMaterial) -> None:
    """Write the material as JSON, whole or not at all; arrays become lists, NaN null."""
    write_whole(path, orjson.dumps(material, option=JSON_OPTIONS, default=plain_arrays) + b"\n")


def load_study(path: Path) -> StudyMaterial:
    """Read what `save_study` wrote, with its arrays.

    Raises DataError when there is no such file or it is not such material.
    """
    try:
        return _study(orjson.loads(path.read_bytes()))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist: run the study first, it writes it") from error
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read ({error!r}); run the study again, it writes the file anew and "
            "repeats no finished run"
        ) from error


def _study(values: Mapping[str, Any]) -> StudyMaterial:
    entropy = values["entropy"]
    read = {
        "rows": [StudyRow(**row) for row in values["rows"]],
        "curves": [(bits, model, _curve(curve)) for bits, model, curve in values["curves"]],
        "entropy": entropy and read_entropy_example(entropy),
        "comparisons": [
            Comparison(
                comparison["category"],
                comparison["bits"],
                [(model, read_retrieval(found)) for model, found in comparison["methods"]],
            )
            for comparison in values["comparisons"]
        ],
        "runs": [RunState(**run) for run in values["runs"]],
    }
    return StudyMaterial(**(dict(values) | read))


def _curve(values: Mapping[str, Any]) -> PrecisionRecall:
    return PrecisionRecall(
        np.asarray(values["recall"], np.float64), np.asarray(values["precision"], np.float64)
    )
