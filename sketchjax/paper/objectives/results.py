"""What the study of objectives found: WORKDIR/results.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import msgspec

from sketchjax.config import Config
from sketchjax.files import read_json
from sketchjax.run.compare import Comparison
from sketchjax.run.compare_scores import CEILING, Score
from sketchjax.run.posterior.source import Source
from sketchjax.run.results import devices_and_versions

FILE = "results.json"
Values = tuple[float | None, ...]


class Found(msgspec.Struct, frozen=True):
    """A row of the study.

    objective, bits, learning_rate, map_validation, seconds, bytes: as in `run.compare.Row`.
    map, precision_at_100: of queries against the gallery, of each run.
    map_unseen: of categories kept out of training; empty without such a run.
    """

    objective: str
    bits: int
    learning_rate: float | None
    map_validation: Values
    map: Values
    precision_at_100: Values
    map_unseen: Values
    seconds: float | None
    bytes: int


class Results(msgspec.Struct, frozen=True):
    """All rows, by length and falling MAP.

    map_posteriors, map_posteriors_unseen: of ranking by posteriors, as floats, of each run.
    queries, gallery: the splits; unseen: the categories kept out of training.
    """

    name: str
    rows: list[Found]
    map_posteriors: Values
    map_posteriors_unseen: Values
    queries: str
    gallery: str
    unseen: list[str]
    versions: dict[str, str]
    device: str


def collect(
    config: Config,
    comparisons: Sequence[Comparison],
    scores: Sequence[Sequence[Score]],
    finished: Sequence[Mapping[str, Any]],
) -> Results:
    """The results of a study.

    comparisons: on the runs, and on that with unseen categories where there is one.
    scores: of each.
    finished: the results of all runs.
    """
    found = [{(each.objective, each.bits): each for each in reversed(own)} for own in scores]
    seen, unseen = found[0], found[1] if len(found) > 1 else {}
    rows = []
    for row in comparisons[0].rows:
        key = row.objective, row.bits
        own, zero_shot = seen.get(key), unseen.get(key)
        rows.append(
            Found(
                *key,
                row.learning_rate,
                row.map_validation,
                own.map if own else (),
                own.precision_at_100 if own else (),
                zero_shot.map if zero_shot else (),
                row.seconds,
                row.bytes,
            )
        )
    ceiling, ceiling_unseen = (own.get((CEILING, None)) for own in (seen, unseen))
    queries, gallery = comparisons[0].sources[0].pairs[0]
    # Seconds are of the heads; figures depend on what trained the runs as well.
    device, _ = devices_and_versions({"device": row.device} for row in comparisons[0].rows)
    trained_on, versions = devices_and_versions(finished)
    return Results(
        config.name,
        sorted(rows, key=lambda row: (row.bits, -(average(row.map) or 0))),
        ceiling.map if ceiling else (),
        ceiling_unseen.map if ceiling_unseen else (),
        queries,
        gallery,
        _unseen(comparisons[1].sources[0]) if len(comparisons) > 1 else [],
        versions,
        device or trained_on,
    )


def _unseen(source: Source) -> list[str]:
    """The categories that a run kept out of training."""
    return [name for name, out in zip(source.model.categories, source.unseen, strict=True) if out]


def average(values: Values) -> float | None:
    """The mean of what is there; None without any."""
    found = [value for value in values if value is not None]
    return mean(found) if found else None


def read(workdir: Path) -> Results:
    """The results of a finished study. Raises DataError when there are none."""
    remedy = "a study of objectives writes it when it finishes"
    return read_json(workdir / FILE, Results, remedy=remedy)
