"""Lengths and viewports of SVG files, against values worked out by hand."""

import numpy as np
import pytest
from drawn_svg import corners, drawn

from sketchjax.data.sources.records import Refused

BOX = 'viewBox="0 0 30 40"'  # its diagonal is 50, so percentages of r are of 50 / sqrt(2)


@pytest.mark.parametrize(
    "text, pixels",
    [
        ("5", 5),
        (" 5px ", 5),
        ("1in", 96),
        ("1IN", 96),
        ("25.4mm", 96),
        ("2.54cm", 96),
        ("101.6Q", 96),
        ("72pt", 96),
        ("6pc", 96),
        ("1e1mm", 960 / 25.4),
        ("50%", 15),
        ("-10%", -3),
    ],
)
def test_units(text, pixels):
    ((_, end),) = drawn(f'<line x2="{text}"/>', BOX)
    np.testing.assert_allclose(end, (pixels, 0), rtol=1e-12)


@pytest.mark.parametrize(
    "text", ["1em", "2ex", "1rem", "5vw", "5 px", "calc(1px)", "", "auto", "x"]
)
def test_other_lengths_are_refused(text):
    with pytest.raises(Refused, match=r"x2=.* is not a length in px") as caught:
        corners(f'<line x2="{text}"/>')
    assert caught.value.kind == "unreadable"


def test_percentages_are_parts_of_the_nearest_viewport():
    line = '<line x1="10%" y1="10%" x2="50%" y2="50%"/>'
    assert corners(line, BOX) == [[[3, 4], [15, 20]]]
    assert corners(line, 'width="1in" height="200"') == [[[9.6, 20], [48, 100]]]
    assert corners(line, f'{BOX} width="300" height="400"') == [[[3, 4], [15, 20]]]
    assert corners(f'<svg width="20" height="10">{line}</svg>', BOX) == [[[2, 1], [10, 5]]]
    assert corners(f'<svg width="50%">{line}</svg>', BOX) == [[[1.5, 4], [7.5, 20]]]
    rectangle = [[3, 8], [9, 8], [9, 12], [3, 12], [3, 8]]
    assert corners('<rect x="10%" y="20%" width="20%" height="10%"/>', BOX) == [rectangle]
    (circle,) = drawn('<circle cx="50%" cy="50%" r="20%"/>', BOX)
    np.testing.assert_allclose(np.hypot(*(circle - (15, 20)).T), 10 / 2**0.5, rtol=1e-3)
    (ellipse,) = drawn('<ellipse rx="10%" ry="20%"/>', BOX)
    np.testing.assert_allclose(np.hypot(*(ellipse / (3, 8)).T), 1, atol=1e-3)


@pytest.mark.parametrize("attributes", ["", 'width="100%"', 'width="auto" height="9"', 'width="0"'])
def test_a_part_of_an_unknown_page_is_refused(attributes):
    with pytest.raises(Refused, match="x2='50%' is a part of a page of unknown size"):
        corners('<line x2="50%"/>', attributes)
    assert corners('<svg x="1"><line x2="5"/></svg>', attributes) == [[[1, 0], [6, 0]]]
    with pytest.raises(Refused, match="the size of an svg within another is not known"):
        corners(f"<svg {BOX}/>", attributes)


def test_the_outermost_svg_is_stretched_only_where_it_says_so():
    line = '<line x1="1" y1="1" x2="2" y2="2"/>'
    box = 'viewBox="0 0 10 10" width="10" height="20"'
    assert corners(line, box) == [[[1, 1], [2, 2]]]
    assert corners(line, f'{box} preserveAspectRatio="none"') == [[[1, 2], [2, 4]]]
    styled = 'viewBox="0 0 10 10" style="width:10px; height:20px" preserveAspectRatio="none"'
    assert corners(line, styled) == [[[1, 2], [2, 4]]]
    # Its size does not matter, or a page decides.
    assert corners(line, 'viewBox="0 0 10 10" width="1em" height="2em"') == [[[1, 1], [2, 2]]]
    page = 'viewBox="0 0 10 10" width="100%" height="20" preserveAspectRatio="none"'
    assert corners(line, page) == [[[1, 1], [2, 2]]]
    with pytest.raises(Refused, match="width='1em' is not a length"):
        corners(line, 'viewBox="0 0 10 10" width="1em" height="20" preserveAspectRatio="none"')


@pytest.mark.parametrize(
    "aspect, start, end",
    [
        # A box of 10 x 10 from (5, 5) in a viewport of 40 x 20 at (100, 200).
        ("", (110, 200), (130, 220)),
        ("xMidYMid", (110, 200), (130, 220)),
        ("xMinYMid meet", (100, 200), (120, 220)),
        ("xMaxYMax meet", (120, 200), (140, 220)),
        ("defer xMaxYMin", (120, 200), (140, 220)),
        ("none", (100, 200), (140, 220)),
        ("none slice", (100, 200), (140, 220)),
        ("xMidYMid slice", (100, 190), (140, 230)),
        (" xMaxYMin  slice ", (100, 200), (140, 240)),
        ("xMinYMax slice", (100, 180), (140, 220)),
    ],
)
@pytest.mark.parametrize("size", ['width="40" height="20"', 'width="20%" height="5%"'])
def test_a_nested_view_box_is_fitted(aspect, start, end, size):
    aspect = f'preserveAspectRatio="{aspect}"' if aspect else ""
    inner = f'<svg x="100" y="50%" {size} viewBox="5 5 10 10" {aspect}>'
    line = '<line x1="5" y1="5" x2="15" y2="15"/>'
    found = corners(f"{inner}{line}</svg>", 'viewBox="0 0 200 400"')
    assert found == [[list(start), list(end)]]


def test_a_nested_svg_fills_the_one_around_it():
    line = '<line x2="100%" y2="100%"/>'
    inside = f'<g transform="scale(2)"><svg viewBox="0 0 3 4">{line}</svg></g>'
    assert corners(inside, BOX) == [[[0, 0], [60, 80]]]
    moved = '<svg x="1" width="10" height="10" transform="scale(2)"><line x2="5"/></svg>'
    assert corners(moved, BOX) == [[[2, 0], [12, 0]]]
    assert corners(f'<svg width="0">{line}</svg><svg height="0%">{line}</svg>', BOX) == []


@pytest.mark.parametrize("inside", ["", "<svg {}/>"])
@pytest.mark.parametrize(
    "attributes, named",
    [
        ('preserveAspectRatio="middle"', "preserveAspectRatio='middle'"),
        ('preserveAspectRatio="xMidYMidmeet"', "preserveAspectRatio='xMidYMidmeet'"),
        ('preserveAspectRatio="xMidYFar"', "preserveAspectRatio='xMidYFar'"),
        ('viewBox="0 0 10"', "viewBox='0 0 10'"),
        ('viewBox="0 0 10 0"', "viewBox='0 0 10 0'"),
        ('viewBox="0 0 -1 5"', "viewBox='0 0 -1 5'"),
        ('width="-1"', "width='-1' of an svg is negative"),
        ('height="-1mm"', "height='-1mm' of an svg is negative"),
    ],
)
def test_views_that_have_no_meaning_are_refused(inside, attributes, named):
    with pytest.raises(Refused, match=named):
        corners(inside.format(attributes), BOX if inside else attributes)


@pytest.mark.parametrize("text", ["1e999", "1e308in", "1e308%"])
def test_lengths_beyond_all_bounds(text):
    with pytest.raises(Refused) as caught:
        corners(f'<line x2="{text}"/>', 'viewBox="0 0 1e300 1"')
    assert caught.value.kind == "not_finite"
