"""Scores over seeds as mean and deviation, and how each metric is shown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sketchjax.report.tables import NO_NUMBER


def significant(value: float) -> str:
    """Three significant digits without an exponent: 0.0412, 41.2, 1,240."""
    rounded = float(f"{value:.3g}")
    digits = math.floor(math.log10(abs(rounded))) if rounded else 2
    return f"{rounded:,.{max(0, 2 - digits)}f}"


@dataclass(frozen=True)
class Metric:
    """How a metric is labelled and shown.

    label: its column heading.
    better: +1 if more is better, -1 if less is, 0 if neither.
    form: formats a value.
    scale: from the unit of the values to the unit shown.
    """

    label: str
    better: int
    form: Callable[[float], str] = "{:.4f}".format
    scale: float = 1.0


METRICS = {
    "map": Metric("MAP", 1),
    "precision_at_200": Metric("precision@200", 1),
    "d1": Metric("d1", 0),
    "d2": Metric("d2", 0),
    "d1_over_d2": Metric("d1/d2", -1),
    "accuracy": Metric("accuracy", 1),
    "seconds_per_query": Metric("ms per query", 0, significant, 1000.0),
    "memory_mb": Metric("memory, MB", 0, significant),
}


@dataclass(frozen=True)
class Score:
    """Our score next to the paper's; None where there is no such number.

    mean, std: over our seeds.
    seeds: how many there are.
    paper: the printed value.
    best: our best in its column.
    """

    mean: float | None = None
    std: float | None = None
    seeds: int = 0
    paper: float | None = None
    best: bool = False


def score(values: Sequence[float], paper: float | None = None) -> Score:
    """Mean and, for two values or more, sample standard deviation (ddof 1) of finite values."""
    if not values:
        return Score(paper=paper)
    std = statistics.stdev(values) if len(values) > 1 else None
    return Score(statistics.fmean(values), std, len(values), paper)


def value_text(value: float | None, metric: str) -> str:
    """A value of a metric as shown; an en dash if it is None or not finite."""
    if value is None or not math.isfinite(value):
        return NO_NUMBER
    shape = METRICS[metric]
    return shape.form(value * shape.scale)


def pair_text(score: Score, metric: str, best: str) -> str:
    """Our score and the paper's: 0.8435 ± 0.0012 / 0.6791, without a deviation for one seed.

    best: markup for our best in a column, such as "**{}**".
    """
    ours = value_text(score.mean, metric)
    if score.std is not None:
        ours += f" ± {value_text(score.std, metric)}"
    return f"{best.format(ours) if score.best else ours} / {value_text(score.paper, metric)}"
