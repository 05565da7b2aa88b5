"""Drawings of SVG files, against coordinates worked out by hand and closed forms."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from drawn_svg import corners, drawn

from sketchjax.data import sources
from sketchjax.data.simplify import simplify
from sketchjax.data.sources.records import Refused
from sketchjax.data.sources.svg import points_of_svg
from sketchjax.data.sources.svg_path import pieces_of_path
from sketchjax.errors import DataError


@pytest.mark.parametrize(
    "data, strokes",
    [
        ("M1 2L3 4", [[[1, 2], [3, 4]]]),
        ("m1 2 3 4 5-6", [[[1, 2], [4, 6], [9, 0]]]),
        ("M1,2 3,4", [[[1, 2], [3, 4]]]),
        ("M0 0H5V6h-1v-.5", [[[0, 0], [5, 0], [5, 6], [4, 6], [4, 5.5]]]),
        ("M.5.5-1e1+2", [[[0.5, 0.5], [-10, 2]]]),
        ("M0 0L1 0zL5 5", [[[0, 0], [1, 0], [0, 0]], [[0, 0], [5, 5]]]),
        ("M1 1m2 2l1 0M9 9", [[[3, 3], [4, 3]]]),
        ("M1 1L2 2z m1 1L0 0", [[[1, 1], [2, 2], [1, 1]], [[2, 2], [0, 0]]]),
    ],
)
def test_straight_commands(data, strokes):
    assert corners(f'<path d="{data}"/>') == strokes


def bezier(knots: np.ndarray, at: np.ndarray) -> np.ndarray:
    """De Casteljau's construction, of any degree."""
    points = np.repeat(knots[:, None].astype(float), len(at), axis=1)
    while len(points) > 1:
        points = points[:-1] * (1 - at[:, None]) + points[1:] * at[:, None]
    return points[0]


def farthest(points: np.ndarray, line: np.ndarray) -> float:
    """The largest distance of a point from a line of many points."""
    gaps = np.hypot(*np.moveaxis(points[:, None] - line[None], -1, 0))
    return float(gaps.min(axis=1).max())


@pytest.mark.parametrize(
    "data, curves",
    [
        ("M0 0C0 50 100 50 100 0", [[(0, 0), (0, 50), (100, 50), (100, 0)]]),
        (
            "M0 0c0 50 50 50 50 0s50-50 50 0",
            [[(0, 0), (0, 50), (50, 50), (50, 0)], [(50, 0), (50, -50), (100, -50), (100, 0)]],
        ),
        ("M0 0S50 50 100 0", [[(0, 0), (0, 0), (50, 50), (100, 0)]]),
        ("M0 0Q50 90 100 0", [[(0, 0), (50, 90), (100, 0)]]),
        (
            "M0 0q25 50 50 0t50 0",
            [[(0, 0), (25, 50), (50, 0)], [(50, 0), (75, -50), (100, 0)]],
        ),
        ("M0 0T100 40", [[(0, 0), (0, 0), (100, 40)]]),
    ],
)
def test_curves_stay_within_the_tolerance(data, curves):
    (stroke,) = drawn(f'<path d="{data}"/>')
    at = np.linspace(0, 1, 20_001)
    exact = np.concatenate([bezier(np.array(knots), at) for knots in curves])
    assert farthest(stroke, exact) < 0.01  # every point lies on the curve
    share = np.linspace(0, 1, 50)[:, None]
    dense = np.concatenate([a + (b - a) * share for a, b in pairwise(stroke)])
    assert farthest(exact[::37], dense) < 0.1  # and the line is nowhere far from it


@pytest.mark.parametrize("large, sweep", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_arcs_lie_on_their_ellipse(large, sweep):
    (stroke,) = drawn(f'<path d="M10 0A20 10 30 {large} {sweep} 25 12"/>')
    np.testing.assert_allclose(stroke[[0, -1]], [[10, 0], [25, 12]], atol=1e-9)
    c, s = math.cos(math.radians(30)), math.sin(math.radians(30))
    turned = stroke @ np.array([[c, -s], [s, c]]) / (20, 10)
    # The centre of a circle through three of its points.
    a, b, d = turned[0], turned[len(turned) // 2], turned[-1]
    centre = np.linalg.solve(2 * np.array([b - a, d - a]), [b @ b - a @ a, d @ d - a @ a])
    np.testing.assert_allclose(np.hypot(*(turned - centre).T), 1, atol=1e-3)
    angles = np.unwrap(np.arctan2(*(turned - centre).T[::-1]))
    assert (abs(angles[-1] - angles[0]) > math.pi) == large
    assert (angles[-1] > angles[0]) == sweep


def test_arc_flags_need_no_separators():
    apart, together = (pieces_of_path(f"M0 0a5 4 0 {flags} 3 3") for flags in ("0 1", "01"))
    assert apart == together
    assert pieces_of_path("M0 0a5 4 0 1 1.5.5")[0][-1][3] == (0.5, 0.5)


def test_an_arc_too_small_for_its_ends_grows():
    (stroke,) = drawn('<path d="M0 0A1 1 0 0 1 10 0"/>')
    np.testing.assert_allclose(np.hypot(*(stroke - (5, 0)).T), 5, atol=2e-3)


@pytest.mark.parametrize(
    "transform, point",
    [
        ("translate(10)", (13, 4)),
        ("translate(10,20)", (13, 24)),
        ("scale(2)", (6, 8)),
        ("scale(2 -1)", (6, -4)),
        ("rotate(90)", (-4, 3)),
        ("rotate(90 3 0)", (-1, 0)),
        ("skewX(45)", (7, 4)),
        ("skewY(45)", (3, 7)),
        ("matrix(1 2 3 4 5 6)", (1 * 3 + 3 * 4 + 5, 2 * 3 + 4 * 4 + 6)),
        ("translate(1 0) scale(2), rotate(90)", (-7, 6)),
    ],
)
def test_transforms(transform, point):
    found = corners(f'<g transform="{transform}"><path d="M0 0"/><path d="M3 4l0 0"/></g>')
    np.testing.assert_allclose(found[0][0], point, atol=1e-6)


def test_transforms_of_groups_nest():
    inside = '<g transform="translate(5 0)"><g transform="scale(2)"><path d="M0 0L1 1"/></g></g>'
    assert corners(inside) == [[[5, 0], [7, 2]]]
    assert corners('<g transform="scale(3)"/><path d="M0 0L1 1"/>') == [[[0, 0], [1, 1]]]


def test_shapes():
    assert corners('<polyline points="0,0 1 2,3 4"/>') == [[[0, 0], [1, 2], [3, 4]]]
    assert corners('<polygon points="0 0 1 0 1 1"/>') == [[[0, 0], [1, 0], [1, 1], [0, 0]]]
    assert corners('<line x1="1" y2="2px"/>') == [[[1, 0], [0, 2]]]
    rectangle = [[1, 1], [4, 1], [4, 3], [1, 3], [1, 1]]
    assert corners('<rect x="1" y="1" width="3" height="2"/>') == [rectangle]
    (circle,) = drawn('<circle cx="5" cy="6" r="2"/>')
    np.testing.assert_allclose(np.hypot(*(circle - (5, 6)).T), 2, atol=1e-3)
    (ellipse,) = drawn('<ellipse rx="4" ry="2"/>')
    np.testing.assert_allclose(np.hypot(*(ellipse / (4, 2)).T), 1, atol=1e-3)

    assert corners('<circle r="-2"/><circle rx="2"/><ellipse r="2"/><ellipse rx="0" ry="2"/>') == []


@pytest.mark.parametrize(
    "radii, rx, ry",
    [
        ('rx="3" ry="2"', 3, 2),
        ('rx="3"', 3, 3),
        ('ry="3"', 3, 3),
        ('rx="auto" ry="2"', 2, 2),
        ('rx="2" ry="-1"', 2, 2),  # invalid, so "auto"
        ('rx="30" ry="2"', 10, 2),  # half the width
        ('ry="9"', 9, 5),
        ('rx="30"', 10, 5),
        ('rx="10%" ry="10%"', 4, 5),  # of 40 and 50
        ('rx="10%"', 4, 4),
    ],
)
def test_rounded_corners(radii, rx, ry):
    (stroke,) = drawn(f'<rect x="2" y="3" width="20" height="10" {radii}/>', 'viewBox="0 0 40 50"')
    np.testing.assert_allclose(stroke[0], stroke[-1], atol=1e-9)
    # The cuts of the sides and the corners, clockwise from the top left.
    cuts = [(2 + rx, 3), (22 - rx, 3), (22, 3 + ry), (22, 13 - ry)]
    cuts += [(22 - rx, 13), (2 + rx, 13), (2, 13 - ry), (2, 3 + ry)]
    nearest = [np.hypot(*(stroke - cut).T).argmin() for cut in cuts]
    np.testing.assert_allclose(stroke[nearest], cuts, atol=1e-9)
    # A point is on a side, or on a corner's quarter of an ellipse.
    beyond = np.maximum(np.abs(stroke - (12, 8)) - (10 - rx, 5 - ry), 0) / (rx, ry)
    np.testing.assert_allclose(np.hypot(*beyond.T), 1, atol=1e-3)
    along = np.diff(stroke, axis=0)
    area = float(np.sum(stroke[:-1, 0] * along[:, 1] - stroke[:-1, 1] * along[:, 0])) / 2
    assert area == pytest.approx(200 - (4 - math.pi) * rx * ry, rel=1e-3)


@pytest.mark.parametrize("radii", ['rx="0" ry="3"', 'rx="0"', 'ry="auto"', 'rx="-1"'])
def test_corners_without_a_radius_are_sharp(radii):
    sharp = [[0, 0], [4, 0], [4, 2], [0, 2], [0, 0]]
    assert corners(f'<rect width="4" height="2" {radii}/>') == [sharp]


def test_what_is_not_drawn():
    hidden = '<defs><path d="M0 0L9 9"/></defs><g display="none"><path d="M0 0L9 9"/></g>'
    assert corners(hidden + '<path d="M0 0L1 0"/>') == [[[0, 0], [1, 0]]]


def test_drawings_go_the_way_of_raw_strokes():
    strokes = [np.array([[10, 10], [400, 30], [390, 300]]), np.array([[50, 60], [52, 200]])]
    paths = "".join(
        '<path d="M' + " ".join(f"{x},{y}" for x, y in stroke.tolist()) + '"/>'
        for stroke in strokes
    )
    points, unread = points_of_svg(f"<svg>{paths}</svg>".encode())
    np.testing.assert_array_equal(points, simplify(strokes))
    assert not unread


@pytest.mark.parametrize(
    "content, kind, message",
    [
        (b"", "truncated", "no element found"),
        (b"<svg><path d='M0 0L1 1'>", "truncated", "no element found"),
        (b"<svg><path d='M0 0L1 1'/></g>", "unreadable", "mismatched tag"),
        (b"<html><svg/></html>", "unreadable", "'html', not svg"),
        (b"<svg/>", "empty", "no path, line or polyline"),
        (b"<svg><path d='M5 5'/></svg>", "empty", "no path"),
        (b"<svg><path d='L1 1'/></svg>", "unreadable", "starts with 'L'"),
        (b"<svg><path d='M0 0L1'/></svg>", "unreadable", "'L1' is not a path command"),
        (b"<svg><path d='M0 0X1 1'/></svg>", "unreadable", "'0 0X1 1' is not a list"),
        (b"<svg><path d='M0 0A1 1 0 2 0 1 1'/></svg>", "unreadable", "not a path command"),
        (b"<svg><path d='M0 0L1e999 1'/></svg>", "not_finite", "not finite"),
        (b"<svg><polyline points='1 2 3'/></svg>", "unreadable", "odd number"),
        (b"<svg><g transform='turn(5)'/></svg>", "unreadable", "'turn(5') is not a transform"),
        (
            b"<!DOCTYPE svg [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><svg>&a;</svg>",
            "unreadable",
            "declares entities",
        ),
        (
            b"<!DOCTYPE svg [<!ENTITY a 'x'><!ENTITY b '&a;&a;'>]><svg>&b;</svg>",
            "unreadable",
            "declares entities",
        ),
        (b"<svg>" + b"<g>" * 70 + b"</g>" * 70 + b"</svg>", "too_large", "more than 64 deep"),
        (b"<svg><path d='M0 0" + b"h1" * 66_000 + b"'/></svg>", "too_large", "65,535 pieces"),
        (b"<svg>" + b" " * (16 << 20), "too_large", "16,777,216 bytes"),
    ],
)
def test_bad_documents(content, kind, message):
    with pytest.raises(Refused) as caught:
        points_of_svg(content)
    assert caught.value.kind == kind
    assert message in str(caught.value)


def test_a_file_has_the_category_of_its_folder(tmp_path):
    path = tmp_path / "hot_dog" / "1.SVG"
    path.parent.mkdir()
    path.write_text("<svg><text>hm</text><path d='M0 0L9 9'/></svg>")
    reading = sources.read(path)
    (found,) = list(reading)
    assert found.categories == ["hot dog"]
    assert found.points.tolist() == [[0, 0, 0], [255, 255, 1]]
    assert reading.notes == ["elements that are not read: text"]


@pytest.mark.parametrize("name", ["1.svg", "./1.svg", "notes/../1.svg", "link/1.svg"])
def test_a_folder_has_its_own_name_however_it_is_reached(tmp_path, monkeypatch, name):
    (tmp_path / "zebra" / "notes").mkdir(parents=True)
    (tmp_path / "zebra" / "1.svg").write_text("<svg><path d='M0 0L9 9'/></svg>")
    (tmp_path / "zebra" / "link").symlink_to(tmp_path / "zebra")
    monkeypatch.chdir(tmp_path / "zebra")
    assert next(sources.read(name)).categories == ["link" if "link" in name else "zebra"]
    monkeypatch.chdir("notes")
    assert next(sources.read(f"../{name}")).categories == ["link" if "link" in name else "zebra"]


def test_a_bad_file_is_named(tmp_path):
    path = tmp_path / "a.svg"
    path.write_text("<svg></svg>")
    with pytest.raises(DataError, match=r"a\.svg, line 1: the drawing has no path"):
        list(sources.read(path))


def test_tu_berlins_own_files(real_data: Path):
    counts = {}
    for path in sorted((real_data / "other" / "tu-berlin").rglob("*.svg")):
        (found,) = list(sources.read(path))
        counts[path.name] = path.read_text().count("<path ")
        assert found.points[:, 2].sum() == counts[path.name]  # a stroke a path
        assert found.points[:, :2].max() >= 254  # two halves of a unit may round down
        assert found.categories == [path.parent.name]
    assert len(counts) == 15
    assert sum(counts.values()) == 344
