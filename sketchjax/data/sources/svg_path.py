"""SVG's path data and numbers, as cubic pieces (SVG 2, chapter 9)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from sketchjax.data.sources.records import MOST_POINTS, Refused

Knot = tuple[float, float]
Piece = tuple[Knot, Knot, Knot, Knot]  # a cubic; a straight line has its inner points on the ends

# Possessive (`*+`): "12" is never tried as "1" and "2", so that the time is linear.
DIGITS = r"[+-]?(?:\d++\.?\d*+|\.\d++)(?:[eE][+-]?\d++)?+"
_GAP = r"[\s,]*+"
_NUMBER = re.compile(DIGITS)
_NUMBERS = re.compile(rf"(?:{_GAP}{DIGITS})*+{_GAP}")
# The two flags of an arc are digits that nothing needs to separate: "a1 1 0 01.5.5".
_ARC = re.compile(_GAP.join(["", *[rf"({DIGITS})"] * 3, *["([01])"] * 2, *[rf"({DIGITS})"] * 2]))
_COMMAND = re.compile("([MmLlHhVvCcSsQqTtAaZz])")
_NEEDS = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "T": 2, "A": 7}


def numbers(text: str) -> list[float]:
    """The numbers of a list such as the points of a polyline.

    Raises Refused for anything else, and for a number that is not finite.
    """
    if not _NUMBERS.fullmatch(text):
        raise Refused("unreadable", f"{text.strip()[:40]!r} is not a list of numbers")
    return _finite(_NUMBER.findall(text))


def corners(knots: Sequence[Knot]) -> list[Piece]:
    """The straight pieces between knots."""
    return [_straight(start, end) for start, end in pairwise(knots)]


def pieces_of_path(text: str) -> list[list[Piece]]:
    """The subpaths of path data, each a list of cubic pieces; a bare move has none.

    Raises Refused where the data is malformed or has more than 65,535 pieces.
    """
    before, *parts = _COMMAND.split(text)
    if before.strip():
        raise Refused("unreadable", f"a path starts with {before.strip()[:20]!r}, not with a move")
    walk = _Walk()
    for command, arguments in zip(parts[::2], parts[1::2], strict=True):
        upper = command.upper()
        if not walk.subpaths and upper != "M":
            raise Refused("unreadable", f"a path starts with {command!r}, not with a move")
        if upper == "Z" and not arguments.strip():
            walk.close()
            continue
        for values in _repeated(upper, arguments):
            walk.take(upper, values, command.islower())
            upper = "L" if upper == "M" else upper  # further pairs of a move are lines
        if walk.pieces > MOST_POINTS:
            raise Refused("too_large", f"a path has more than {MOST_POINTS:,} pieces")
    return walk.subpaths


def _repeated(command: str, text: str) -> list[list[float]]:
    """The numbers of a command, which may come several times; "M1 1 2 2" is two moves."""
    if command == "A":
        found = [_finite(match) for match in _ARC.findall(text)]
        rest = _ARC.sub("", text).strip(" \t\r\n\f,")
    else:
        width = _NEEDS.get(command, 1)
        values = numbers(text) if command in _NEEDS else []
        found = [values[at : at + width] for at in range(0, len(values), width)]
        rest = text.strip() if not found or len(found[-1]) < width else ""
    if rest or not found:
        raise Refused("unreadable", f"{(command + text).strip()[:40]!r} is not a path command")
    return found


def _finite(texts: Iterable[str]) -> list[float]:
    values = list(map(float, texts))
    if not all(map(math.isfinite, values)):
        raise Refused("not_finite", "a coordinate is not finite")
    return values


class _Walk:
    """The pen of a path: where it is, and what it has drawn."""

    def __init__(self):
        self.subpaths: list[list[Piece]] = []
        self.pieces = 0
        self._at: Knot = (0.0, 0.0)
        self._start: Knot = (0.0, 0.0)
        self._control: Knot | None = None  # of the curve before, for S and T
        self._curve = ""
        self._closed = False

    def take(self, command: str, values: list[float], relative: bool) -> None:
        """Draw one command with its numbers."""
        x, y = self._at
        if command in "HV":
            other = (x if command == "V" else y) if not relative else 0.0
            values = [values[0], other] if command == "H" else [other, values[0]]
            command = "L"
        dx, dy = (x, y) if relative else (0.0, 0.0)
        if command == "A":
            end = (values[5] + dx, values[6] + dy)
            self._draw("A", _arc(self._at, *values[:5], end=end), None)
            return
        pairs = zip(values[::2], values[1::2], strict=True)
        knots = [(px + dx, py + dy) for px, py in pairs]
        if command == "M":
            self._move(knots[0])
        elif command == "L":
            self._draw("L", [_straight(self._at, knots[0])], None)
        elif command in "CS":
            first = knots[0] if command == "C" else self._reflected("C")
            self._draw("C", [(self._at, first, knots[-2], knots[-1])], knots[-2])
        else:
            middle = knots[0] if command == "Q" else self._reflected("Q")
            end = knots[-1]
            cubic = (self._at, _toward(self._at, middle), _toward(end, middle), end)
            self._draw("Q", [cubic], middle)

    def close(self) -> None:
        """Draw back to where the subpath began."""
        self._draw("Z", [_straight(self._at, self._start)], None)
        self._closed = True

    def _move(self, knot: Knot) -> None:
        self.subpaths.append([])
        self._at = self._start = knot
        self._curve, self._control, self._closed = "", None, False

    def _draw(self, kind: str, pieces: list[Piece], control: Knot | None) -> None:
        if self._closed:  # without a move, the next subpath begins where the last one did
            self._move(self._start)
        self.subpaths[-1] += pieces
        self.pieces += len(pieces)
        if pieces:
            self._at = pieces[-1][3]
        self._curve, self._control = kind, control

    def _reflected(self, kind: str) -> Knot:
        """The control point opposite to the one before, where a curve of this kind came before."""
        if self._curve != kind or self._control is None:
            return self._at
        return 2 * self._at[0] - self._control[0], 2 * self._at[1] - self._control[1]


def _straight(start: Knot, end: Knot) -> Piece:
    # Evenly spaced, so that its second differences are zero: it is never cut.
    thirds = [
        (start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part)
        for part in (1 / 3, 2 / 3)
    ]
    return start, thirds[0], thirds[1], end


def _toward(end: Knot, middle: Knot) -> Knot:
    """Two thirds of the way from an end to the control point: a quadratic as a cubic."""
    return end[0] + (middle[0] - end[0]) * 2 / 3, end[1] + (middle[1] - end[1]) * 2 / 3


def _arc(
    start: Knot, rx: float, ry: float, tilt: float, large: float, sweep: float, *, end: Knot
) -> list[Piece]:
    """An elliptical arc as cubics of a quarter turn at most (SVG 2, appendix B.2)."""
    rx, ry = abs(rx), abs(ry)
    if start == end:
        return []
    c, s = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
    hx, hy = (start[0] - end[0]) / 2, (start[1] - end[1]) / 2
    if rx == 0 or ry == 0 or not math.isfinite(hx * hx + hy * hy + rx * rx * ry * ry):
        return [_straight(start, end)]
    # The unit circle: turned back, then divided by the radii, which grow where they are too short.
    ux, uy = (c * hx + s * hy) / rx, (c * hy - s * hx) / ry
    length = math.hypot(ux, uy)
    if not 0 < length < math.inf:
        return [_straight(start, end)]
    if length > 1:
        rx, ry, ux, uy, length = rx * length, ry * length, ux / length, uy / length, 1.0
    off = math.sqrt(max(0.0, 1 - length * length)) / length
    off = -off if large == sweep else off
    mx, my = off * uy, -off * ux
    first = math.atan2(uy - my, ux - mx)
    turn = math.atan2(-uy - my, -ux - mx) - first
    turn += 2 * math.pi * ((sweep == 1 and turn < 0) - (sweep == 0 and turn > 0))
    count = max(1, math.ceil(abs(turn) / (math.pi / 2) - 1e-9))
    step = turn / count
    reach = 4 / 3 * math.tan(step / 4)
    cx, cy = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2

    def placed(x: float, y: float) -> Knot:
        x, y = rx * (x + mx), ry * (y + my)
        return cx + c * x - s * y, cy + s * x + c * y

    pieces: list[Piece] = []
    for number in range(count):
        a, b = first + number * step, first + (number + 1) * step
        (ca, sa), (cb, sb) = ((math.cos(angle), math.sin(angle)) for angle in (a, b))
        inner = placed(ca - reach * sa, sa + reach * ca), placed(cb + reach * sb, sb - reach * cb)
        at = start if not pieces else pieces[-1][3]
        pieces.append((at, *inner, end if number == count - 1 else placed(cb, sb)))
    return pieces
