"""SVG's lengths, and the viewports that percentages are parts of (SVG 2, chapter 8)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sketchjax.data.sources.records import Refused
from sketchjax.data.sources.svg_path import DIGITS, numbers

_LENGTH = re.compile(rf"\s*+({DIGITS})([a-zA-Z]*+|%)\s*+")
_PIXELS = {"": 1.0, "px": 1.0, "in": 96.0, "pc": 16.0, "pt": 96 / 72}
_PIXELS |= {"cm": 96 / 2.54, "mm": 96 / 25.4, "q": 96 / 101.6}
_ACROSS = frozenset(("x", "x1", "x2", "cx", "rx", "width"))
_DOWN = frozenset(("y", "y1", "y2", "cy", "ry", "height"))
_SHARES = {"Min": 0.0, "Mid": 0.5, "Max": 1.0}
_SHARE = f"({'|'.join(_SHARES)})"
_ASPECT = re.compile(rf"\s*+(?:defer\s++)?+(?:none|x{_SHARE}Y{_SHARE})(?:\s++(meet|slice))?+\s*+")


class Viewport(NamedTuple):
    """What percentages are parts of, in the units of its content; nan where a page decides."""

    width: float
    height: float

    def extent(self, name: str) -> float:
        """What a percentage of this attribute is a part of: width, height, or the diagonal."""
        if name in _ACROSS:
            return self.width
        return self.height if name in _DOWN else math.hypot(self.width, self.height) / math.sqrt(2)


PAGE = Viewport(math.nan, math.nan)  # around the document


def length(attributes: dict[str, str], name: str, viewport: Viewport) -> float:
    """An attribute in the units of its element; 0 where there is none.

    Raises Refused for what is not a length or depends on a font or on the page.
    """
    value = _measured(attributes.get(name, "0"), name, viewport)
    if math.isnan(value):
        reason = f"{name}={attributes[name][:40]!r} is a part of a page of unknown size"
        raise Refused("unreadable", reason)
    if math.isinf(value):
        raise Refused("not_finite", "a coordinate is not finite")
    return value


def size(attributes: dict[str, str], name: str, viewport: Viewport) -> float | None:
    """A length that may be "auto": None for that, for none at all, and for a negative one."""
    if attributes.get(name, "auto").strip() == "auto":
        return None
    value = length(attributes, name, viewport)
    return None if value < 0 else value


def outermost(attributes: dict[str, str]) -> tuple[np.ndarray, Viewport]:
    """The matrix f[3 3] and the viewport of a document's own `svg`.

    Drawings are scaled anyway, so its size matters only where it stretches one axis, and where
    there is no viewBox. Without a size, or with 0, it has the proportions of its viewBox.
    """
    box, aspect = _view_box(attributes), _aspect(attributes)
    if box and aspect:
        return np.eye(3), Viewport(*box[2:])
    own = Viewport(*(_extent(attributes, name, PAGE) or math.nan for name in ("width", "height")))
    if not box:
        return np.eye(3), own
    stretch = np.eye(3) if math.isnan(sum(own)) else _fitted(box, aspect, own)
    return stretch, Viewport(*box[2:])


def nested(attributes: dict[str, str], around: Viewport) -> tuple[np.ndarray, Viewport]:
    """The matrix f[3 3] and the viewport of an `svg` within another."""
    moved = translated(length(attributes, "x", around), length(attributes, "y", around))
    own = Viewport(*(_extent(attributes, name, around) for name in ("width", "height")))
    box, aspect = _view_box(attributes), _aspect(attributes)
    if not box or 0 in own:
        return moved, own
    if not all(map(math.isfinite, own)):
        raise Refused("unreadable", "the size of an svg within another is not known")
    return product(moved, _fitted(box, aspect, own)), Viewport(*box[2:])


def product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The matrix f[3 3] of the second, then the first.

    `@` may fuse a product with a sum, or not: then points, and the key id of a drawing, would
    depend on the machine, and the page would find others.
    """
    return (first[:, :, None] * second[None]).sum(axis=1)


def translated(x: float, y: float) -> np.ndarray:
    """The matrix f[3 3] of a move."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def _measured(text: str, name: str, viewport: Viewport) -> float:
    match = _LENGTH.fullmatch(text)
    unit = match[2].lower() if match else None
    if match and unit == "%":
        return float(match[1]) * viewport.extent(name) / 100
    if not match or unit not in _PIXELS:
        reason = f"{name}={text[:40]!r} is not a length in px, in, cm, mm, Q, pt, pc or %"
        raise Refused("unreadable", reason)
    return float(match[1]) * _PIXELS[unit]


def _extent(attributes: dict[str, str], name: str, around: Viewport) -> float:
    """The width or height of an `svg`; without one, all that is around it."""
    text = attributes.get(name, "auto").strip()
    value = around.extent(name) if text == "auto" else _measured(text, name, around)
    if value < 0:  # browsers differ
        raise Refused("unreadable", f"{name}={text[:40]!r} of an svg is negative")
    return value


def _view_box(attributes: dict[str, str]) -> list[float]:
    """The four numbers of a viewBox; [] where there is none."""
    text = attributes.get("viewBox", "")
    box = numbers(text)
    if box and (len(box) != 4 or box[2] <= 0 or box[3] <= 0):
        raise Refused("unreadable", f"viewBox={text[:40]!r} is not a place and a size")
    return box


# The shares of the free room on the left and above, and how one of two scales is chosen.
_Aspect = tuple[float, float, Callable[[float, float], float]]


def _aspect(attributes: dict[str, str]) -> _Aspect | None:
    """How a viewBox is fitted into its viewport; None where both axes are stretched."""
    text = attributes.get("preserveAspectRatio", "xMidYMid")
    match = _ASPECT.fullmatch(text)
    if not match:
        raise Refused("unreadable", f"preserveAspectRatio={text[:40]!r} is not a way to fit")
    if not match[1]:
        return None
    return _SHARES[match[1]], _SHARES[match[2]], max if match[3] == "slice" else min


def _fitted(box: list[float], aspect: _Aspect | None, own: Viewport) -> np.ndarray:
    """The matrix that fits a viewBox into a viewport (SVG 2, 8.2)."""
    across, down = own.width / box[2], own.height / box[3]
    left = top = 0.0
    if aspect:
        share_left, share_top, choose = aspect
        across = down = choose(across, down)
        left = share_left * (own.width - across * box[2])
        top = share_top * (own.height - down * box[3])
    scaled = np.array([[across, 0.0, left], [0.0, down, top], [0.0, 0.0, 1.0]])
    return product(scaled, translated(-box[0], -box[1]))
