"""SVG's shapes as cubic pieces (SVG 2, chapter 10)."""

from __future__ import annotations

from collections.abc import Callable

from sketchjax.data.sources.records import Refused
from sketchjax.data.sources.svg_lengths import Viewport, length, size
from sketchjax.data.sources.svg_path import Piece, corners, numbers, pieces_of_path


def _path(attributes: dict[str, str], _: Viewport) -> list[list[Piece]]:
    return pieces_of_path(attributes.get("d", ""))


def _polyline(attributes: dict[str, str], _: Viewport, closed: bool = False) -> list[list[Piece]]:
    values = numbers(attributes.get("points", ""))
    if len(values) % 2:
        raise Refused("unreadable", "points has an odd number of coordinates")
    knots = list(zip(values[::2], values[1::2], strict=True))
    if closed and knots:
        knots.append(knots[0])
    return [corners(knots)]


def _line(attributes: dict[str, str], viewport: Viewport) -> list[list[Piece]]:
    x1, y1, x2, y2 = (length(attributes, name, viewport) for name in ("x1", "y1", "x2", "y2"))
    return [corners([(x1, y1), (x2, y2)])]


def _rect(attributes: dict[str, str], viewport: Viewport) -> list[list[Piece]]:
    x, y = (length(attributes, name, viewport) for name in ("x", "y"))
    w, h = (size(attributes, name, viewport) for name in ("width", "height"))
    if not w or not h:
        return []
    rx, ry = _radii(attributes, viewport)
    rx, ry = min(rx, w / 2), min(ry, h / 2)
    if not rx or not ry:
        return [corners([(x, y), (x + w, y), (x + w, y + h), (x, y + h), (x, y)])]
    arc = f"A{rx!r} {ry!r} 0 0 1"
    return pieces_of_path(
        f"M{x + rx!r} {y!r}H{x + w - rx!r}{arc} {x + w!r} {y + ry!r}V{y + h - ry!r}"
        f"{arc} {x + w - rx!r} {y + h!r}H{x + rx!r}{arc} {x!r} {y + h - ry!r}V{y + ry!r}"
        f"{arc} {x + rx!r} {y!r}"
    )


def _circle(attributes: dict[str, str], viewport: Viewport) -> list[list[Piece]]:
    radius = size(attributes, "r", viewport) or 0.0
    return _oval(attributes, viewport, radius, radius)


def _ellipse(attributes: dict[str, str], viewport: Viewport) -> list[list[Piece]]:
    return _oval(attributes, viewport, *_radii(attributes, viewport))


def _oval(
    attributes: dict[str, str], viewport: Viewport, rx: float, ry: float
) -> list[list[Piece]]:
    x, y = (length(attributes, name, viewport) for name in ("cx", "cy"))
    if not rx or not ry:
        return []
    half = f"A{rx!r} {ry!r} 0 0 1"
    return pieces_of_path(f"M{x - rx!r} {y!r} {half} {x + rx!r} {y!r} {half} {x - rx!r} {y!r}")


def _radii(attributes: dict[str, str], viewport: Viewport) -> tuple[float, float]:
    """`rx` and `ry`, each as long as the other one where it is "auto", or 0."""
    rx, ry = (size(attributes, name, viewport) for name in ("rx", "ry"))
    return (rx if rx is not None else ry) or 0.0, (ry if ry is not None else rx) or 0.0


# The strokes of an element, given its attributes and the viewport around it.
SHAPES: dict[str, Callable[[dict[str, str], Viewport], list[list[Piece]]]] = {
    "path": _path,
    "polyline": _polyline,
    "polygon": lambda attributes, viewport: _polyline(attributes, viewport, closed=True),
    "line": _line,
    "rect": _rect,
    "circle": _circle,
    "ellipse": _ellipse,
}
