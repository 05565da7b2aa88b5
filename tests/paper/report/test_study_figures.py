"""Figures 4, 5 and 6: distinct methods in every panel, and only false positives in red."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex

from sketchjax.paper.numbers import FULL
from sketchjax.paper.report.comparison import comparison_picture, precision_text
from sketchjax.paper.report.figures import COLOURS, entropy_figure, precision_recall_panels
from sketchjax.paper.report.material import Comparison, StudyMaterial, StudyRow
from sketchjax.report import themes
from sketchjax.report.material import Neighbour, PrecisionRecall, Retrieval
from sketchjax.report.mosaic import FALSE_POSITIVE

NO_POINTS = np.zeros((0, 3), np.uint8)


def test_each_length_has_a_panel_led_by_the_full_model(material):
    figure = precision_recall_panels(material, themes.LIGHT)
    assert figure is not None
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in panels] == ["16 bits", "64 bits"]
    for axes, curves in zip(panels, (material.curves[:2], material.curves[2:]), strict=True):
        lines = [line for line in axes.lines if line.get_linestyle() != "None"]
        assert len(lines) == 2
        strongest = max(lines, key=lambda line: line.get_linewidth())
        assert strongest is axes.lines[-1]  # drawn above all others
        assert to_hex(strongest.get_color()) == themes.LIGHT.accent.lower()
        np.testing.assert_array_equal(strongest.get_ydata(), curves[1][2].precision)


@pytest.mark.parametrize("theme", themes.THEMES, ids=lambda theme: theme.name)
def test_sixteen_methods_look_different(theme):
    deep = [StudyRow("1", f"deep {i}", bits=16) for i in range(4)]
    ours = [StudyRow("1", f"ours {i}", bits=16, paper_model="Our+CEL") for i in range(3)]
    full = [StudyRow("1", "ours, full", bits=16, paper_model=FULL)]
    shallow = [StudyRow("2", f"shallow {i}", bits=16, paper_model="LSH") for i in range(8)]
    rows = deep + ours + full + shallow
    curve = PrecisionRecall(np.linspace(0, 1, 17), np.linspace(1, 0, 17))
    material = StudyMaterial("x", rows=rows, curves=[(16, row.model, curve) for row in rows])
    figure = precision_recall_panels(material, theme)
    assert figure is not None
    (legend,) = figure.legends
    handles = dict(zip((text.get_text() for text in legend.get_texts()),
                       legend.legend_handles, strict=True))  # fmt: skip
    looks = {}
    for row in rows:
        line = handles[row.model]
        dashes = str(line._unscaled_dash_pattern)  # get_linestyle calls every pattern "--"
        looks[row.model] = (to_hex(line.get_color()), dashes, line.get_marker())
    assert len(set(looks.values())) == 16
    solid = {look[1] for model, look in looks.items() if model.startswith("ours")}
    assert solid == {"(0, None)"}
    assert len({look[1] for look in looks.values()}) == 3
    accent = [model for model, look in looks.items() if look[0] == theme.accent.lower()]
    assert accent == ["ours, full"]
    assert FALSE_POSITIVE not in COLOURS[theme.name]


def test_no_curves_give_no_figure():
    assert precision_recall_panels(StudyMaterial("x"), themes.LIGHT) is None


def test_values_that_are_not_finite_are_left_out():
    nan = PrecisionRecall(np.array([0.1, 0.5, 1.0]), np.array([np.nan, 0.5, 0.1]))
    figure = precision_recall_panels(StudyMaterial("x", curves=[(8, "a", nan)]), themes.LIGHT)
    assert figure is not None
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xdata(), [0.5, 1.0])


def test_figure_4_has_histogram_and_examples(material):
    figure = entropy_figure(material.entropy, themes.LIGHT)
    assert figure is not None
    histogram, *sketches = figure.axes
    assert sum(patch.get_height() for patch in histogram.patches) == 300
    drawn = [axes for axes in sketches if axes.lines]
    assert len(drawn) == 1 + 2 + 1
    low, high = drawn[0].get_ylim()
    assert low > high  # upright: y grows downwards
    assert entropy_figure(replace(material.entropy, entropies=np.zeros(0)), themes.LIGHT) is None


def found(correct: list[bool]) -> Retrieval:
    return Retrieval(NO_POINTS, "cat", [Neighbour(NO_POINTS, "cat", 0, c) for c in correct])


@pytest.mark.parametrize("methods", [1, 3, 4, 5])
def test_exactly_the_false_positives_are_framed_red(methods):
    size, gap, margin, heading = 40, 4, 22, 56
    rng = np.random.default_rng(methods)
    verdicts = [(rng.random(36) < 0.7).tolist() for _ in range(methods)]
    comparison = Comparison("cat", 16, [(f"m{i}", found(v)) for i, v in enumerate(verdicts)])
    pixels = np.asarray(comparison_picture(comparison, size=size)).astype(int)
    red = [int(FALSE_POSITIVE[i : i + 2], 16) for i in (1, 3, 5)]
    across = {1: 1, 3: 3, 4: 2, 5: 3}[methods]
    square = 6 * (size + gap) - gap
    assert pixels.shape[1] == margin + across * (square + margin)
    for number, correct in enumerate(verdicts):
        top = 2 * margin + 2 * size + number // across * (heading + square + margin) + heading
        left = margin + number % across * (square + margin)
        framed = []
        for rank in range(36):
            y, x = top + rank // 6 * (size + gap), left + rank % 6 * (size + gap)
            framed.append(bool((pixels[y, x : x + size] == red).all()))
        assert framed == [not c for c in correct]
    # Nothing else is red: two pixels of frame around each false positive, no sketch inside.
    wrong = sum(not c for correct in verdicts for c in correct)
    assert (pixels == red).all(axis=2).sum() == wrong * (size**2 - (size - 4) ** 2)


def test_precision_is_of_the_results_shown():
    assert precision_text(found([True] * 27 + [False] * 9)) == "75.0% of the first 36 correct"
    assert precision_text(found([True] * 36 + [False] * 64)) == "100.0% of the first 36 correct"
    assert precision_text(found([False, True])) == "50.0% of the first 2 correct"
    assert precision_text(found([])) == "no results"


def test_false_positives_are_red_in_both_themes(material):
    for theme in themes.THEMES:
        picture = comparison_picture(material.comparisons[0], theme)
        assert picture.getpixel((0, 0)) == tuple(bytes.fromhex(theme.ground[1:]))
        lowest = np.asarray(picture)[-70:, -470:].astype(int)  # the last row of DLBHC: all wrong
        assert (lowest[..., 0] - lowest[..., 1]).max() > 100
    assert comparison_picture(Comparison("cat", 16, [])).width > 0
