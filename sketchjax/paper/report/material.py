"""What the report of a study shows: plain data that the study's runner fills in.

A study is a set of runs that reproduces the tables and figures of SketchMate. Its material is kept
in report/material.json, so page and Markdown can be rebuilt without any run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from sketchjax.errors import DataError
from sketchjax.files import write_whole
from sketchjax.report.material import EntropyExample, PrecisionRecall, Retrieval

STATES = ("done", "running", "to do", "failed")


@dataclass(frozen=True)
class StudyRow:
    """One method at one code length in one table of the paper.

    table: "1", "2", "4", "5", "6" or "zero-shot".
    model: our label.
    values: for each metric, one value per seed; empty until run. Metrics by table: 1 map,
      precision_at_200, also map_best, map_worst · 2 map · 4 d1, d2, d1_over_d2, map ·
      5 seconds_per_query, memory_mb · 6 accuracy · zero-shot map, precision_at_200.
    bits: code length; None where there are no codes.
    features: in table 2, "HOG" or "deep feature".
    paper_model: name of the paper's row (in table 2 its method); None if the paper has no such row.
    note: a remark for the reader.
    failed: why the run failed.
    missing: the run has not finished yet, whatever `values` holds.
    gallery: in table 5, the number of codes.
    """

    table: str
    model: str
    values: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    bits: int | None = None
    features: str | None = None
    paper_model: str | None = None
    note: str = ""
    failed: str = ""
    missing: bool = False
    gallery: int | None = None

    def seed_values(self, metric: str) -> list[float]:
        """The finite values of a metric, one per seed; none if the row is missing or failed."""
        if self.missing or self.failed:
            return []
        values = self.values.get(metric, ())
        return [float(v) for v in values if v is not None and math.isfinite(v)]

    @property
    def state(self) -> str:
        """done, to do or failed."""
        if self.failed:
            return "failed"
        return "done" if any(self.seed_values(metric) for metric in self.values) else "to do"


@dataclass(frozen=True)
class Comparison:
    """What several methods find for one query (figure 6).

    category: of the query.
    bits: code length.
    methods: (model, its first results).
    """

    category: str
    bits: int
    methods: Sequence[tuple[str, Retrieval]]


@dataclass(frozen=True)
class RunState:
    """One run of the study.

    name: of its folder.
    what: what it is for.
    state: one of STATES.
    seconds: how long it took; None if unknown.
    why: what went wrong, or what it waits for.
    """

    name: str
    what: str
    state: str
    seconds: float | None = None
    why: str = ""


@dataclass(frozen=True)
class StudyMaterial:
    """A study, finished or not.

    title: the page's headline.
    tables: the requested tables, in the order of the report.
    rows: of all tables.
    facts: shown under the headline; `classes`, `train` and `gallery` are also in the captions.
    curves: (bits, model, curve), with models named as in the rows.
    entropy: the category of figure 4.
    comparisons: the queries of figure 6.
    notes: sentences, such as differences from the paper.
    runs: the state of every run.
    commands: how to produce the study, line by line.
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
    """Write the material as JSON, whole or not at all; arrays become lists, NaN becomes null."""
    write_whole(path, msgspec.json.encode(material, enc_hook=_plain) + b"\n")


def load_study(path: Path) -> StudyMaterial:
    """Read what `save_study` wrote.

    Raises DataError when the file is missing or damaged.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        if wrong := {f.name for f in fields(StudyMaterial)} ^ set(found):
            raise msgspec.ValidationError(f"missing or unknown: {', '.join(sorted(wrong))}")
        return msgspec.convert(found, StudyMaterial, dec_hook=_array)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist: run the study first, which writes it") from error
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise DataError(
            f"{path} cannot be read: {error}. Run the study again to rewrite it; "
            "finished runs are not repeated."
        ) from error


def _plain(value: Any) -> Any:
    """Numpy arrays as lists and numpy numbers as numbers."""
    return value.tolist()


def _array(kind: type, value: Any) -> np.ndarray:
    """Points u8[t 3] from a list of rows, measurements f64[n] from a list of numbers."""
    is_points = bool(value) and isinstance(value[0], list)
    return np.asarray(value, np.uint8 if is_points else np.float64)
