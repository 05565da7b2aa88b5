"""Figures: what they draw, read back from axes and pixels, and how large they are."""

from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from sketchjax.report import plots
from sketchjax.report.material import (
    EntropyExample,
    PrecisionRecall,
    StageRow,
)
from sketchjax.report.mosaic import FALSE_POSITIVE


def training_lines(stages: dict[str, int]) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    lines = []
    for stage, count in stages.items():
        for i in range(1, count + 1):
            loss = 3 * 0.97**i + 0.1 * rng.random()
            line = {"stage": stage, "step": len(lines), "epoch": i / 10, "loss": loss}
            lines.append(line | {"accuracy": 1 - 0.9 * 0.97**i})
        lines.append({"stage": stage, "step": len(lines), "validation_accuracy": 0.5})
    return lines


def curve(k: int = 65) -> PrecisionRecall:
    recall = np.linspace(0.2, 1, k)
    return PrecisionRecall(recall, 1 - recall**3 * 0.9)


def entropy_example(n: int = 4000) -> EntropyExample:
    entropies = np.random.default_rng(1).gamma(9, 0.015, n)
    low, high = np.quantile(entropies, [0.05, 0.95])
    return EntropyExample("star", entropies, low, high)


FIGURES = {
    "training": lambda theme: plots.training_curves(
        training_lines(dict.fromkeys(("cnn", "rnn", "joint", "center", "full"), 2000)), theme
    ),
    "precision_recall": lambda theme: plots.precision_recall(curve(), 64, theme),
    "speed": lambda theme: plots.stage_speed(
        [StageRow(n, sketches_per_second=s) for n, s in [("cnn", 862.0), ("joint", 431.0)]],
        "sketches",
        theme,
    ),
    "entropy": lambda theme: plots.entropy_histogram(entropy_example(), theme),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_two_crisp_small_pngs(tmp_path, name):
    light, dark = plots.write_figure(tmp_path, name, FIGURES[name])
    assert (light.name, dark.name) == (f"{name}.png", f"{name}-dark.png")
    for path, ground in ((light, 255), (dark, 0x16)):
        assert path.stat().st_size < 200_000
        with Image.open(path) as image:
            assert image.width >= 4.8 * 150
            assert round(image.info["dpi"][0]) == 150
            assert image.convert("RGB").getpixel((0, 0))[0] == ground
            assert len(image.convert("RGB").getcolors(1 << 24) or []) > 20


def test_nothing_to_draw_writes_nothing(tmp_path):
    assert plots.write_figure(tmp_path, "x", lambda theme: plots.training_curves([], theme)) == []
    assert plots.stage_speed([StageRow("cnn")], "sketches", plots.LIGHT) is None
    assert plots.training_curves([{"stage": "cnn", "step": 1}], plots.LIGHT) is None
    assert list(tmp_path.iterdir()) == []


def test_each_stage_has_a_column_with_its_values():
    lines = training_lines({"cnn": 5, "joint": 1})
    lines.append({"stage": "codes", "step": 99, "map": 0.5})
    figure = plots.training_curves(lines, plots.LIGHT)
    assert figure is not None
    loss, joint_loss, accuracy, joint_accuracy = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["cnn", "joint", "", ""]
    expected = [line["loss"] for line in lines if line["stage"] == "cnn" and "loss" in line]
    np.testing.assert_allclose(loss.lines[0].get_ydata(), expected)
    assert len(joint_loss.lines[0].get_xdata()) == 1
    assert joint_loss.lines[0].get_marker() == "o"  # a line through one point cannot be seen
    for axes, epoch in ((accuracy, 0.5), (joint_accuracy, 0.1)):
        ring = axes.lines[-1]
        assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (epoch, 0.5)


def test_losses_without_accuracies_have_one_row():
    lines = training_lines({"metric": 9})[:-1]
    for line in lines:
        del line["accuracy"]
    figure = plots.training_curves(lines, plots.LIGHT)
    assert figure is not None
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss"]
    assert figure.axes[0].get_xlabel() == "epoch"


def test_a_stage_has_one_colour_in_all_figures():
    lines = training_lines({"cnn": 30, "joint": 30})
    curves, bars = plots.training_curves(lines, plots.LIGHT), plots.stage_speed(
        [StageRow("cnn", sketches_per_second=1.0), StageRow("joint", sketches_per_second=2.0)],
        "sketches",
        plots.LIGHT,
    )  # fmt: skip
    assert curves is not None
    assert bars is not None
    for index in range(2):
        colour = plots.stage_colour(index)
        assert {line.get_color() for line in curves.axes[index].lines} == {colour}
        assert _hex(bars.axes[0].patches[index].get_facecolor()) == colour
    assert FALSE_POSITIVE not in plots.STAGE_COLOURS


def test_the_curve_marks_only_radii_that_it_has():
    figure = plots.precision_recall(curve(65), 64, plots.LIGHT)
    np.testing.assert_allclose(figure.axes[0].lines[0].get_xdata(), curve(65).recall)
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words[0] == "same code"
    assert len(words) == len(figure.axes[0].lines) - 1 >= 3
    # Without one entry per radius, no radius is marked.
    assert not plots.precision_recall(curve(30), 64, plots.LIGHT).axes[0].texts


@pytest.mark.parametrize("n", [1, 2, 500, 9000])
def test_the_histogram_has_every_sketch_and_both_thresholds(n):
    example = entropy_example(n)
    axes = plots.entropy_histogram(example, plots.LIGHT).axes[0]
    assert sum(patch.get_height() for patch in axes.patches) == n
    assert sorted(line.get_xdata()[0] for line in axes.lines) == [example.low, example.high]
    accent = [p for p in axes.patches if _hex(p.get_facecolor()) == plots.LIGHT.accent]
    kept = (example.entropies >= example.low) & (example.entropies <= example.high)
    assert sum(patch.get_height() for patch in accent) == kept.sum()


@pytest.mark.parametrize("n, width", [(1, 3), (7, 0), (50, 4), (5, 20)])
def test_a_running_mean_is_the_mean_around_each_value(n, width):
    values = np.random.default_rng(n).random(n)
    expected = [values[max(0, i - width) : i + width + 1].mean() for i in range(n)]
    np.testing.assert_allclose(plots.running_mean(values, width), expected)


def _hex(colour) -> str:
    return "#" + "".join(f"{round(channel * 255):02X}" for channel in colour[:3])


def test_figures_leave_the_global_style_alone(tmp_path):
    before = dict(mpl.rcParams)
    plots.write_figure(tmp_path, "speed", FIGURES["speed"])
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("low, high", [(0.1, 0.4), (0.001, 0.4), (0.1, 0.499), (0.001, 0.499)])
def test_the_labels_of_the_thresholds_stay_inside_the_axes(low, high):
    example = EntropyExample("cat", np.linspace(0, 0.5, 100), low, high)
    figure = plots.entropy_histogram(example, plots.LIGHT)
    FigureCanvasAgg(figure).draw()
    axes = figure.axes[0]
    inside = axes.get_window_extent()
    for label in axes.texts:
        box = label.get_window_extent()
        assert inside.x0 <= box.x0
        assert box.x1 <= inside.x1
