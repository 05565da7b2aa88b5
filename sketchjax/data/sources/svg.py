"""Drawings of SVG files: the strokes of its paths and lines, in the order of the document.

TU-Berlin and Sketchy publish their sketches like this. A file is one drawing. Every subpath is a
stroke; transforms are applied, curves become short straight pieces, and the drawing is scaled and
simplified as Google does with raw ones (`simplify`). Colours and widths mean nothing here, so the
outline of a filled shape is a stroke too. What is hidden is left out; nothing is clipped.

The parser is expat without any DTD: an entity of the document's own is refused, and nothing
outside the file is ever read. File, depth and number of pieces are bounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple
from xml.parsers import expat

import numpy as np

from sketchjax.data.sketch import Sketches
from sketchjax.data.sources.records import (
    MOST_POINTS,
    Gather,
    Refused,
    Source,
    key_of_points,
)
from sketchjax.data.sources.svg_lengths import PAGE, Viewport, nested, outermost, product
from sketchjax.data.sources.svg_path import Piece, numbers
from sketchjax.data.sources.svg_shapes import SHAPES
from sketchjax.data.sources.svg_style import is_displayed, is_visible, refuse_sheet, styled
from sketchjax.errors import DataError

LARGEST = 16 << 20  # bytes of a file; the largest of TU-Berlin's 20,000 has 300 KB
_DEEPEST = 64  # elements within each other
_TOLERANCE = 0.1 / 255  # of a curve's pieces, as a part of the drawing's longer side
# Their content is drawn elsewhere, or not at all.
_NOT_DRAWN = frozenset(
    ("clipPath", "defs", "desc", "filter", "foreignObject", "linearGradient", "marker", "mask")
) | frozenset(("metadata", "pattern", "radialGradient", "script", "style", "symbol", "title"))
_NOT_READ = frozenset(["image", "text", "use"])  # what a drawing may need, and is noted


def read_svg(file: IO[bytes], source: Source) -> Iterator[Sketches]:
    """The one sketch of an open SVG file. Its `key_id` is derived from the points."""
    try:
        points, unread = points_of_svg(file.read(LARGEST + 1))
    except Refused as refused:
        source.bad(1, refused.kind, refused.reason)
        return
    except (OSError, EOFError) as error:
        source.bad(1, "truncated", f"the file cannot be read: {str(error)[:100]}")
        return
    if unread:
        source.notes.add(f"elements that are not read: {', '.join(sorted(unread))}")
    gather = Gather()
    key_id = key_of_points(points)
    category = source.category or source.name  # of the file's folder
    gather.add_points(points, category=category, key_id=key_id, recognized=-1, place=1)
    yield gather.sketches()


def points_of_svg(content: bytes) -> tuple[np.ndarray, set[str]]:
    """The simplified points u8[t 3] of an SVG document, and the elements that were not read.

    Raises Refused where it is no SVG, is beyond the bounds, or draws nothing.
    """
    if len(content) > LARGEST:
        raise Refused("too_large", f"the file has more than {LARGEST:,} bytes")
    document = _Document()
    document.parse(content)
    drawn = [stroke for stroke in document.strokes if stroke]
    if not drawn:
        raise Refused("empty", "the drawing has no path, line or polyline")
    from sketchjax.data.simplify import simplify  # numba takes half a second to import

    try:
        points = simplify(_flattened(drawn))
    except DataError as error:
        raise Refused("range", str(error)) from None
    if len(points) > MOST_POINTS:
        raise Refused("too_large", f"the drawing has more than {MOST_POINTS:,} points")
    return points, document.unread


class _Element(NamedTuple):
    """What an open element means for its content.

    matrix: f[3 3], from its units to the root's.  viewport: of the nearest `svg`.
    drawn: false within what is not drawn.  visible: false where it is hidden, until shown again.
    """

    name: str
    matrix: np.ndarray
    viewport: Viewport
    drawn: bool = True
    visible: bool = True


class _Document:
    """What a parser finds: strokes as lists of cubic pieces, each f[4 2] in the root's units."""

    def __init__(self):
        self.strokes: list[list[Piece]] = []
        self.unread: set[str] = set()
        self._pieces = 0
        self._open = [_Element("", np.eye(3), PAGE)]
        self._sheets: list[str] = []

    def parse(self, content: bytes) -> None:
        """Raises Refused where the content is not well-formed or not SVG."""
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.EntityDeclHandler = _refuse_entity
        try:
            parser.Parse(content, True)
        except expat.ExpatError as error:
            truncated = error.code in (3, 5)  # no element, or one that is not closed
            kind = "truncated" if truncated else "unreadable"
            raise Refused(kind, f"not well-formed XML: {error}") from None
        except (UnicodeError, ValueError, LookupError) as error:  # of an odd encoding
            raise Refused("unreadable", f"not XML: {str(error)[:100]}") from None
        refuse_sheet("".join(self._sheets))

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rsplit(":", 1)[-1]
        around = self._open[-1]
        if not around.name and name != "svg":
            raise Refused("unreadable", f"the document is {name[:30]!r}, not svg")
        if len(self._open) > _DEEPEST:
            raise Refused("too_large", f"elements are nested more than {_DEEPEST} deep")
        self.unread |= {name} & _NOT_READ if around.drawn else set()
        drawn = around.drawn and name not in _NOT_DRAWN | _NOT_READ
        element = around._replace(name=name, drawn=drawn)
        self._open.append(self._drawn(element, styled(name, attributes)) if drawn else element)

    def _drawn(self, element: _Element, attributes: dict[str, str]) -> _Element:
        """Draw an element, given as its content would find it without its attributes."""
        if not is_displayed(attributes):
            return element._replace(drawn=False)
        matrix, viewport = element.matrix, element.viewport
        visible = is_visible(attributes, element.visible)
        with np.errstate(over="ignore", invalid="ignore"):
            matrix = product(matrix, _matrix_of(attributes.get("transform", "")))
            if element.name == "svg":
                is_nested = len(self._open) > 1
                fit, viewport = nested(attributes, viewport) if is_nested else outermost(attributes)
                matrix = product(matrix, fit)
        if element.name in SHAPES and visible:
            self._draw(SHAPES[element.name](attributes, viewport), matrix)
        drawn = 0 not in viewport  # an `svg` without a size draws nothing
        return _Element(element.name, matrix, viewport, drawn, visible)

    def _text(self, text: str) -> None:
        if self._open[-1].name == "style":
            self._sheets.append(text)

    def _end(self, name: str) -> None:
        del name
        self._open.pop()

    def _draw(self, strokes: list[list[Piece]], matrix: np.ndarray) -> None:
        self._pieces += sum(map(len, strokes))
        if self._pieces > MOST_POINTS:
            raise Refused("too_large", f"the drawing has more than {MOST_POINTS:,} pieces")
        (a, c, e), (b, d, f), _ = matrix
        with np.errstate(over="ignore", invalid="ignore"):
            for stroke in strokes:
                if not stroke:
                    continue
                x, y = np.moveaxis(np.array(stroke), -1, 0)
                # In this order, as in page/svg_file.js; see `product`.
                moved = np.stack([x * a + y * c + e, x * b + y * d + f], axis=-1)
                if not np.isfinite(moved).all():
                    raise Refused("not_finite", "a coordinate is not finite")
                self.strokes.append(list(moved))


def _refuse_entity(*_) -> None:
    raise Refused("unreadable", "the document declares entities, which are not read")


def _flattened(strokes: list[list[Piece]]) -> list[np.ndarray]:
    """Strokes of cubic pieces as points f[t 2], near enough to the curves.

    A cubic cut into n pieces is at most 0.75 · m / n² away from them, where m is the larger of its
    second differences.
    """
    cubics = np.array([piece for stroke in strokes for piece in stroke])
    with np.errstate(over="ignore", invalid="ignore"):
        extent = np.ptp(cubics.reshape(-1, 2), axis=0).max() or 1.0
        # In parts of the drawing: no square of a coordinate overflows.
        inner = (cubics / extent)[:, 0:2] - 2 * (cubics / extent)[:, 1:3]
        bend = np.hypot(*np.moveaxis(inner + (cubics / extent)[:, 2:4], -1, 0)).max(axis=1)
    bend = np.nan_to_num(bend, nan=0.0, posinf=0.0)  # `simplify` refuses what is not finite
    counts = np.maximum(1, np.ceil(np.sqrt(0.75 * bend / _TOLERANCE))).astype(np.int64)
    owners = np.repeat(np.arange(len(cubics)), counts)
    starts = np.cumsum(counts) - counts
    at = ((np.arange(len(owners)) - starts[owners] + 1) / counts[owners])[:, None]
    p0, p1, p2, p3 = (cubics[owners, column] for column in range(4))
    way = 1 - at
    # Products, as numpy's power of 3 is not rounded alike on all machines. The middle of a curve is
    # often parallel to its chord: there the last bit decides which point `simplify` keeps.
    ways, ats = way * way, at * at
    points = ways * way * p0 + 3 * ways * at * p1 + 3 * way * ats * p2 + ats * at * p3
    last = starts + counts - 1
    points[last] = cubics[:, 3]  # exactly, so that pieces meet
    ends = np.cumsum([len(stroke) for stroke in strokes])
    firsts = np.concatenate([[0], ends[:-1]])
    cuts = np.concatenate([starts, [len(points)]])
    return [
        np.concatenate([cubics[first, :1], points[cuts[first] : cuts[end]]])
        for first, end in zip(firsts.tolist(), ends.tolist(), strict=True)
    ]


def _matrix_of(text: str) -> np.ndarray:
    """The matrix of a transform list.  Raises Refused where it is none."""
    matrix = np.eye(3)
    with np.errstate(over="ignore", invalid="ignore"):
        for part in text.replace("\n", " ").split(")")[:-1]:
            name, opened, arguments = part.strip(" ,\t\r").partition("(")
            step = _TRANSFORMS.get(name.strip())
            values = numbers(arguments)
            if not opened or step is None or not (made := step(values)):
                raise Refused("unreadable", f"{part.strip()[:40]!r}) is not a transform")
            a, b, c, d, e, f = made
            matrix = product(matrix, np.array([[a, c, e], [b, d, f], [0.0, 0.0, 1.0]]))
    return matrix


def _rotate(values: list[float]) -> tuple[float, ...]:
    if len(values) not in (1, 3) or not all(map(math.isfinite, values)):
        return ()
    x, y = values[1:] or (0.0, 0.0)
    c, s = math.cos(math.radians(values[0])), math.sin(math.radians(values[0]))
    return c, s, -s, c, x - c * x + s * y, y - s * x - c * y


def _scale(values: list[float]) -> tuple[float, ...]:
    if len(values) not in (1, 2):
        return ()
    return values[0], 0.0, 0.0, values[-1], 0.0, 0.0


def _translate(values: list[float]) -> tuple[float, ...]:
    if len(values) not in (1, 2):
        return ()
    return 1.0, 0.0, 0.0, 1.0, values[0], values[1] if len(values) == 2 else 0.0


def _skew(values: list[float], along: int) -> tuple[float, ...]:
    if len(values) != 1 or not math.isfinite(values[0]):
        return ()
    slope = math.tan(math.radians(values[0]))
    return (1.0, 0.0, slope, 1.0, 0.0, 0.0) if along == 0 else (1.0, slope, 0.0, 1.0, 0.0, 0.0)


# (a, b, c, d, e, f) of SVG's matrices; () where the numbers do not fit.
_TRANSFORMS: dict[str, Callable[[list[float]], tuple[float, ...]]] = {
    "matrix": lambda values: tuple(values) if len(values) == 6 else (),
    "translate": _translate,
    "scale": _scale,
    "rotate": _rotate,
    "skewX": lambda values: _skew(values, 0),
    "skewY": lambda values: _skew(values, 1),
}
