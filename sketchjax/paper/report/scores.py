"""Scores of several seeds as mean and deviation, and how each measure is read."""

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
    """How a measure is called and shown; better: +1 where more is better, -1 less, 0 neither.

    scale: from the unit of the values to the one that is shown.
    """

    label: str
    better: int
    show: Callable[[float], str] = "{:.4f}".format
    scale: float = 1.0


METRICS = {
    "map": Metric("MAP", 1),
    "precision_at_200": Metric("precision@200", 1),
    "d1": Metric("d1", 0),
    "d2": Metric("d2", 0),
    "d1_over_d2": Metric("d1/d2", -1),
    "accuracy": Metric("accuracy", 1),
    "seconds_per_query": Metric("ms a query", 0, significant, 1000.0),
    "memory_mb": Metric("memory, MB", 0, significant),
}


@dataclass(frozen=True)
class Score:
    """Ours (mean and standard deviation over the seeds) and the paper's; None: no such number."""

    mean: float | None = None
    std: float | None = None
    seeds: int = 0
    paper: float | None = None
    best: bool = False


def score(values: Sequence[float], printed: float | None = None) -> Score:
    """Mean and, of two values or more, sample standard deviation (ddof 1) of finite values."""
    if not values:
        return Score(paper=printed)
    std = statistics.stdev(values) if len(values) > 1 else None
    return Score(statistics.fmean(values), std, len(values), printed)


def shown(value: float | None, metric: str) -> str:
    """A figure of a metric as it is read; an en dash for None and what is not finite."""
    if value is None or not math.isfinite(value):
        return NO_NUMBER
    measure = METRICS[metric]
    return measure.show(value * measure.scale)


def shown_ours(score: Score, metric: str) -> str:
    """Ours as it is read: 0.8435 ± 0.0012, without the deviation where there is one seed."""
    mean = shown(score.mean, metric)
    return mean if score.std is None else f"{mean} ± {shown(score.std, metric)}"
