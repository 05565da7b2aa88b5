"""The report's figures as PNG, each for light and for dark pages.

The colours are from Okabe and Ito's palette, which people with any colour vision can distinguish.
A stage has the same colour in all figures; red is reserved for false positives (`mosaic.py`).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sketchjax.files import write_whole
from sketchjax.report.material import EntropyExample, PrecisionRecall, StageRow
from sketchjax.report.themes import LIGHT, THEMES, Theme

STAGE_COLOURS = ("#56B4E9", "#E69F00", "#0072B2", "#CC79A7", "#009E73")


def write_figure(folder: Path, name: str, draw: Callable[[Theme], Figure | None]) -> list[Path]:
    """Draw a figure in both themes into FOLDER/NAME.png and FOLDER/NAME-dark.png, at 150 dpi.

    folder: of the report.
    name: of the figure.
    draw: makes the figure in a theme; None when it has nothing to show.

    Returns the paths written, none when there is nothing to show.
    """
    paths = []
    for theme in THEMES:
        content = figure_png(draw, theme)
        if content is None:
            return []
        path = folder / (f"{name}.png" if theme is LIGHT else f"{name}-{theme.name}.png")
        write_whole(path, content)
        paths.append(path)
    return paths


def figure_png(draw: Callable[[Theme], Figure | None], theme: Theme) -> bytes | None:
    """A figure in one theme as a PNG at 150 dpi; None when `draw` has nothing to show."""
    with mpl.rc_context(cast(Any, _style(theme))):
        figure = draw(theme)
        if figure is None:
            return None
        content = io.BytesIO()
        # `savefig` would lay it out once before it draws, and again then.
        FigureCanvasAgg(figure).print_png(content)
    return content.getvalue()


def stage_colour(index: int) -> str:
    """The colour of a run's stage by its index, counted from 0."""
    return STAGE_COLOURS[index % len(STAGE_COLOURS)]


def training_curves(metrics: Sequence[Mapping[str, Any]], theme: Theme) -> Figure | None:
    """Loss and accuracy over the epochs, one column per stage; None when no line has a loss.

    Where no stage has an accuracy there is a row of losses only.

    The faint line shows every logged value, the strong line their running mean, the ring at the
    end the accuracy on the validation split. metrics: the lines of metrics.jsonl.
    """
    names = list(dict.fromkeys(line["stage"] for line in metrics if "loss" in line))
    if not names:
        return None
    keys = [key for key in ("loss", "accuracy") if any(key in line for line in metrics)]
    figure = Figure(figsize=(7.2, 0.3 + 1.8 * len(keys)), layout="constrained")
    axes = figure.subplots(len(keys), len(names), sharey="row", squeeze=False)
    for column, name in enumerate(names):
        lines = [line for line in metrics if line["stage"] == name]
        colour = stage_colour(column)
        for row, key in enumerate(keys):
            _curve(axes[row, column], lines, key, colour)
            axes[row, column].tick_params(labelbottom=key == keys[-1])
            axes[row, column].set_xlim(left=0)
        if "accuracy" in keys:
            _validation_ring(axes[-1, column], lines, theme)
        axes[0, column].set_title(name, color=theme.ink)
        axes[-1, column].set_xlabel("epoch")
    for row, key in enumerate(keys):
        axes[row, 0].set_ylabel(key)
    axes[0, 0].set_ylim(bottom=0)
    if "accuracy" in keys:
        axes[-1, 0].set_ylim(0, 1)
    return figure


def precision_recall(curve: PrecisionRecall, bits: int, theme: Theme) -> Figure:
    """Precision against recall for the full ranking, with a few Hamming distances marked.

    curve: what to draw; bits: length of the codes; theme: the colours.
    """
    figure = Figure(figsize=(4.8, 3.9), layout="constrained")
    axes = figure.subplots()
    recall, precision = np.asarray(curve.recall), np.asarray(curve.precision)
    axes.plot(recall, precision, color=theme.accent, linewidth=2)
    if len(recall) == bits + 1:
        for radius in _spread_radii(recall, precision):
            place = (recall[radius], precision[radius])
            axes.plot(*place, "o", color=theme.accent, markersize=4.5)
            axes.annotate(
                f"≤ {radius} bits" if radius else "same code",
                place,
                xytext=(-7, -5),
                textcoords="offset points",
                ha="right",
                va="top",
                fontsize=8,
                color=theme.soft,
            )
    axes.set(xlim=(0, 1.01), ylim=(0, 1.01), xlabel="recall", ylabel="precision")
    return figure


def stage_speed(stages: Sequence[StageRow], items: str, theme: Theme) -> Figure | None:
    """The speed of training by stage, as bars; None when no stage has one.

    items: what was trained on, such as `sketches`.
    """
    known = [(i, s) for i, s in enumerate(stages) if s.sketches_per_second]
    if not known:
        return None
    figure = Figure(figsize=(7.2, 0.55 + 0.34 * len(known)), layout="constrained")
    axes = figure.subplots()
    for place, (index, stage) in enumerate(known):
        speed = float(stage.sketches_per_second or 0)
        axes.barh(place, speed, height=0.62, color=stage_colour(index))
        axes.annotate(
            f"{speed:,.0f}",
            (speed, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=theme.ink,
        )
    axes.set_yticks(range(len(known)), [stage.name for _, stage in known])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel(f"training {items} per second")
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    return figure


def entropy_histogram(example: EntropyExample, theme: Theme) -> Figure:
    """A histogram of a category's training sketches by entropy, with both thresholds drawn."""
    figure = Figure(figsize=(7.2, 2.9), layout="constrained")
    draw_entropy(figure.subplots(), example, theme)
    return figure


def draw_entropy(axes: Axes, example: EntropyExample, theme: Theme) -> None:
    """Draw the histogram of `entropy_histogram` into axes."""
    entropies = np.asarray(example.entropies, np.float64)
    bins = int(np.clip(2 * len(entropies) ** 0.5, 8, 60))
    # At least 0.01 bits wide, or a class of one sketch would have an axis without width.
    span = (min(entropies.min(), example.low) - 0.005, max(entropies.max(), example.high) + 0.005)
    kept = (entropies >= example.low) & (entropies <= example.high)
    inside, edges = np.histogram(entropies[kept], bins, span)
    outside, _ = np.histogram(entropies[~kept], bins, span)
    counts = inside + outside
    style = {"width": np.diff(edges) * 0.92, "align": "edge"}
    axes.bar(edges[:-1], inside, color=theme.accent, **style)
    axes.bar(edges[:-1], outside, bottom=inside, color=theme.faint, **style)
    top = max(counts.max(initial=0), 1) * 1.22
    # A label goes outside its threshold, unless the axes end there.
    room = 0.06 * (span[1] - span[0])
    sides = (
        (example.low, "left" if example.low - span[0] < room else "right"),
        (example.high, "right" if span[1] - example.high < room else "left"),
    )
    for threshold, side in sides:
        axes.axvline(threshold, color=theme.ink, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(
            f"{threshold:.4f}",
            (threshold, top),
            xytext=(-5 if side == "right" else 5, -3),
            textcoords="offset points",
            ha=side,
            va="top",
            color=theme.ink,
        )
    if example.high - example.low > 0.25 * (span[1] - span[0]):  # else the label does not fit
        place = ((example.low + example.high) / 2, top)
        axes.annotate("middle 90 %", place, xytext=(0, -3), textcoords="offset points",
                      ha="center", va="top", color=theme.accent)  # fmt: skip
    axes.set(ylim=(0, top), xlabel="image entropy (bits)", ylabel="training sketches")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Mean over the values at most `width` places away, fewer at both ends: f[n] to f[n].

    It is centred, because a mean over past values only would draw a falling loss too high.
    """
    sums = np.cumsum(np.insert(np.asarray(values, np.float64), 0, 0.0))
    places = np.arange(len(values))
    starts, ends = np.maximum(places - width, 0), np.minimum(places + width + 1, len(values))
    return (sums[ends] - sums[starts]) / (ends - starts)


def _curve(axes: Axes, lines: Sequence[Mapping[str, Any]], key: str, colour: str) -> None:
    points = [(_epoch(line), line[key]) for line in lines if line.get(key) is not None]
    if not points:
        return
    epochs, values = (np.asarray(column, np.float64) for column in zip(*points, strict=True))
    marker = "o" if len(points) == 1 else None
    if len(points) > 20:
        axes.plot(epochs, values, color=colour, linewidth=0.8, alpha=0.4)
        values = running_mean(values, len(values) // 40 + 1)
    axes.plot(epochs, values, color=colour, linewidth=1.8, marker=marker)


def _validation_ring(axes: Axes, lines: Sequence[Mapping[str, Any]], theme: Theme) -> None:
    values = [v for line in lines if (v := line.get("validation_accuracy")) is not None]
    if not values:
        return
    low = values[-1] < 0.25  # the label then goes above the ring, not across the axis
    last = max((_epoch(line) for line in lines), default=0.0)
    axes.plot(last, values[-1], "o", mfc=theme.ground, mec=theme.ink, markersize=6, clip_on=False)
    axes.annotate(
        f"{values[-1]:.3f}",
        (last, values[-1]),
        xytext=(-2, 10 if low else -10),
        textcoords="offset points",
        ha="right",
        va="bottom" if low else "top",
        fontsize=8,
        color=theme.ink,
    )


def _epoch(line: Mapping[str, Any]) -> float:
    return float(line.get("epoch") or 0.0)


def _spread_radii(recall: np.ndarray, precision: np.ndarray, apart: float = 0.17) -> list[int]:
    """Radii whose points on the curve are at least `apart` from each other."""
    chosen: list[int] = []
    for radius in range(len(recall)):
        place = np.array([recall[radius], precision[radius]])
        if not np.isfinite(place).all():
            continue
        others = [np.array([recall[r], precision[r]]) for r in chosen]
        if all(np.hypot(*(place - other)) >= apart for other in others):
            chosen.append(radius)
    return chosen


def _style(theme: Theme) -> dict[str, Any]:
    return {
        "axes.facecolor": theme.ground,
        "figure.facecolor": theme.ground,
        "figure.dpi": 150,
        "text.color": theme.ink,
        "axes.labelcolor": theme.ink,
        "axes.edgecolor": theme.faint,
        "xtick.color": theme.faint,
        "ytick.color": theme.faint,
        "xtick.labelcolor": theme.ink,
        "ytick.labelcolor": theme.ink,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "grid.color": theme.faint,
        "grid.alpha": 0.25,
        "grid.linewidth": 0.6,
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.labelsize": 9,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
    }
