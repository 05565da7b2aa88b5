"""Figures 4 and 5 of the paper with our data: entropy with examples, precision against recall.

In figure 5 the line style shows a method's family (solid: ours, dashed: other deep methods, dotted:
shallow methods); colour and marker show the method. Colours are from Okabe and Ito's set, as in
`plots`; red is reserved for false positives.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sketchjax.data.sketch import strokes
from sketchjax.paper import numbers as paper
from sketchjax.paper.report.material import StudyMaterial
from sketchjax.report.material import EntropyExample, PrecisionRecall
from sketchjax.report.plots import draw_entropy
from sketchjax.report.themes import DARK, LIGHT, Theme

# Families of methods.
OURS, DEEP, SHALLOW = "ours", "other deep methods", "shallow, on deep features"
DASHES = {OURS: "solid", DEEP: (0, (5, 1.6)), SHALLOW: (0, (1, 1.3))}
# By theme, because a light ground needs darker colours. The theme's accent is for the full model.
COLOURS = {
    LIGHT.name: ("#D98500", "#009E73", "#CC79A7", "#56B4E9", "#7A5AA6", "#8A7A00"),
    DARK.name: ("#E69F00", "#2CC295", "#E08DBB", "#3F8FD2", "#B39DDB", "#F0E442"),
}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
MARKED = 6  # markers on a line


def family(material: StudyMaterial, model: str) -> str:
    """The family of a curve's model, from the table it appears in."""
    rows = [row for row in material.rows if row.model == model]
    if any((row.paper_model or "").startswith("Our") for row in rows) or model.startswith("Our"):
        return OURS
    return SHALLOW if rows and all(row.table == "2" for row in rows) else DEEP


def precision_recall_panels(material: StudyMaterial, theme: Theme) -> Figure | None:
    """Precision-recall curves of every method, one panel per code length; None without curves.

    A method keeps its style in all panels. Our full model has the boldest line and is drawn last.
    """
    curves = list(material.curves)
    if not curves:
        return None
    styles = _styles(material, theme)
    lengths = sorted({bits for bits, _, _ in curves})
    columns = 1 if len(lengths) == 1 else 2
    rows = -(-len(lengths) // columns)
    legend_lines = max(len(names) for names in _families(material).values()) + 1
    height = 3.0 * rows + 0.19 * legend_lines + 0.35
    figure = Figure(figsize=(7.2, height), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, bits in zip(panels.flat, lengths, strict=False):
        for place, (model, style) in enumerate(styles.items()):
            for length, name, curve in curves:
                if (length, name) == (bits, model):
                    _draw_curve(axes, curve, style, place / len(styles))
        axes.set_title(f"{bits} bits", color=theme.ink)
        axes.set(xlim=(0, 1.01), ylim=(0, 1.01))
        if len(lengths) == 1:
            axes.set_box_aspect(0.6)
    for axes in panels.flat[len(lengths) :]:
        axes.set_visible(False)
    for axes in panels[-1]:
        axes.set_xlabel("recall")
    for axes in panels[:, 0]:
        axes.set_ylabel("precision")
    _legend(figure, material, styles, theme)
    return figure


def entropy_figure(example: EntropyExample, theme: Theme) -> Figure | None:
    """The histogram of a category's entropies above sketches of its three parts (figure 4)."""
    if not len(example.entropies):
        return None
    parts = {
        "low tail: little ink": example.low_tail,
        "middle 90%": example.middle,
        "high tail: a lot of ink": example.high_tail,
    }
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    top, bottom = np.asarray(figure.subfigures(2, 1, height_ratios=(2.7, 1.9)))
    draw_entropy(top.subplots(), example, theme)
    strips = np.atleast_1d(np.asarray(bottom.subfigures(1, 3, wspace=0.06)))
    for number, (strip, part) in enumerate(zip(strips, parts, strict=True)):
        strip.suptitle(part, color=theme.accent if number == 1 else theme.soft, fontsize=9)
        for index, axes in enumerate(strip.subplots(2, 3).flat):
            axes.axis("off")
            if index < len(parts[part]):
                _draw_sketch(axes, np.asarray(parts[part][index]), theme)
    return figure


def _families(material: StudyMaterial) -> dict[str, list[str]]:
    """The curves' models by family, first in the order of the rows, then of the curves."""
    curves = {model: None for _, model, _ in material.curves}
    in_rows = {row.model: None for row in material.rows if row.model in curves}
    grouped: dict[str, list[str]] = {OURS: [], DEEP: [], SHALLOW: []}
    for model in {**in_rows, **curves}:
        grouped[family(material, model)].append(model)
    return grouped


def _styles(material: StudyMaterial, theme: Theme) -> dict[str, dict]:
    """How each model is drawn, in drawing order: the full model last, on top."""
    full = {row.model for row in material.rows if row.paper_model == paper.FULL} | {paper.FULL}
    grouped = _families(material)
    styles: dict[str, dict] = {}
    number = 0
    for name in (SHALLOW, DEEP, OURS):
        for model in grouped[name]:
            if model in full:
                continue
            colours = COLOURS[theme.name]
            styles[model] = {
                "color": colours[number % len(colours)],
                "linestyle": DASHES[name],
                "marker": MARKERS[number % len(MARKERS)],
                "linewidth": 1.1 if name == SHALLOW else 1.4,
                "markersize": 3.5,
            }
            number += 1
    for model in [model for model in grouped[OURS] if model in full]:
        styles[model] = {
            "color": theme.accent, "linestyle": "solid", "linewidth": 2.8,
        }  # fmt: skip
    return styles


def _draw_curve(axes: Axes, curve: PrecisionRecall, style: Mapping, phase: float) -> None:
    """Draw one curve with markers at even steps of recall.

    axes: the panel.
    curve: precision and recall; values that are not finite are left out.
    style: a value of `_styles`.
    phase: shift of the markers as a fraction of a step, so that those of similar curves differ.
    """
    recall = np.asarray(curve.recall, np.float64)
    precision = np.asarray(curve.precision, np.float64)
    known = np.isfinite(recall) & np.isfinite(precision)
    recall, precision = recall[known], precision[known]
    if not len(recall):
        return
    line = {key: value for key, value in style.items() if key not in ("marker", "markersize")}
    axes.plot(recall, precision, **line)
    if "marker" in style:
        # Interpolated between the measured radii, where the shift keeps markers apart.
        at = (np.arange(MARKED) + phase) / MARKED
        at = at[(at >= recall.min()) & (at <= recall.max())]
        axes.plot(at, np.interp(at, recall, precision), linestyle="none", marker=style["marker"],
                  markersize=style["markersize"], color=style["color"])  # fmt: skip


def _legend(
    figure: Figure, material: StudyMaterial, styles: Mapping[str, Mapping], theme: Theme
) -> None:
    """Methods below the panels, one column per family under its name; the full model first."""
    grouped = {name: models for name, models in _families(material).items() if models}
    longest = max(len(models) for models in grouped.values()) + 1
    handles, labels = [], []
    for name, models in grouped.items():
        ordered = sorted(models, key=lambda model: styles[model]["linewidth"] < 2)
        blank = longest - 1 - len(models)
        handles += [Line2D([], [], linestyle="none")]
        labels += [name]
        handles += [Line2D([], [], **styles[model]) for model in ordered]
        labels += ordered
        handles += [Line2D([], [], linestyle="none")] * blank
        labels += [""] * blank
    legend = figure.legend(
        handles, labels, loc="outside lower center", ncols=len(grouped), frameon=False,
        fontsize=8, handlelength=3.2, columnspacing=2.5, labelspacing=0.35,
    )  # fmt: skip
    for place, text in enumerate(legend.get_texts()):
        if place % longest == 0:
            text.set_color(theme.soft)
            text.set_fontweight("bold")
        elif styles.get(labels[place], {}).get("linewidth", 0) > 2:
            text.set_fontweight("bold")


def _draw_sketch(axes: Axes, points: np.ndarray, theme: Theme) -> None:
    """Draw a sketch as lines into frameless axes, upright and square."""
    for stroke in strokes(points):
        axes.plot(*stroke.T[:2], color=to_rgb(theme.ink), linewidth=0.9, solid_capstyle="round")
    low, high = points[:, :2].min(axis=0).astype(float), points[:, :2].max(axis=0).astype(float)
    middle, reach = (low + high) / 2, max(*(high - low), 1.0) * 0.56
    axes.set(xlim=(middle[0] - reach, middle[0] + reach),
             ylim=(middle[1] + reach, middle[1] - reach), aspect="equal")  # fmt: skip
