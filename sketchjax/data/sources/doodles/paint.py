"""An object of strokes painted as a photo: coloured, shaded and textured, before a cluttered scene.

The strokes of a program enclose regions, which become surfaces, or are lines, which become wires.
Both come from the posed strokes only, so what can be seen of the object in the photo (proportions,
parts, lean, side) is what a doodle of it shows.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from sketchjax.data.sources.doodles.pen import Stroke, Strokes

SCALE = 2  # supersampling of what Pillow draws, which has hard edges
_LEAST_FILL = 0.3  # of its bounding box: a stroke that encloses less is a line
_SHEET = 128  # px
_STRAIGHT = 0.75  # of its own length: a stroke whose ends are farther apart is a line
_MEET = 9.0  # canvas units between ends that touch

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Part:
    """A surface, or lines of one colour.

    outlines: f[k 2] each, in px; a surface has one.
    filled: a surface; else lines.
    apart: lines that leave the object, which take its colour; others contrast with it.
    """

    outlines: list[np.ndarray]
    filled: bool
    apart: bool = False

    def moved(self, low: np.ndarray, scale: float, corner: np.ndarray) -> Part:
        """The same, scaled from `low` and put at `corner`."""
        placed = [(outline - low) * scale + corner for outline in self.outlines]
        return Part(placed, self.filled, self.apart)


def parts_of(drawing: Strokes) -> list[Part]:
    """The surfaces of a drawing in canvas units, the largest first, then its lines."""
    strokes = sorted(_joined(drawing), key=lambda stroke: -enclosed(stroke))
    surfaces, inner, outer = [], [], []
    covered = np.zeros((_SHEET, _SHEET), bool)
    for stroke in strokes:
        region = _drawn([Part([stroke], True)]) > 0
        line = _drawn([Part([stroke], False)]) > 0
        on_object = float(covered[line].mean())
        # The ridge of a banana encloses air, though it lies on the banana: it is a line.
        arch = not _near(stroke[0], stroke[-1]) and on_object > 0.8
        if _encloses(stroke) and not (arch and covered[region].mean() < 0.8):
            surfaces.append(Part([stroke], True))
            covered |= region
        else:
            (inner if on_object > 0.5 else outer).append(stroke)
    lines = [Part(group, False, group is outer) for group in (outer, inner) if group]
    return [*surfaces, *lines]


def _drawn(parts: list[Part]) -> np.ndarray:
    """Parts in canvas units on a small sheet, which a lean of 45 degrees does not leave."""
    moved = [
        part.moved(np.array([50.0, 50.0]), _SHEET / 220, np.full(2, _SHEET / 2)) for part in parts
    ]
    return np.asarray(_image(moved, _SHEET, 2.0, 1))


def enclosed(stroke: Stroke) -> float:
    """The area that a stroke encloses when its ends are joined."""
    x, y = stroke[:, 0], stroke[:, 1]
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def photo(
    parts: list[Part], size: int, width: float, rng: np.random.Generator
) -> tuple[Image.Image, Image.Image]:
    """Paint a photo and its contour map.

    parts: in px.  size: px.  width: of a line, px.
    Returns the photo, RGB, and the contour map, L, dark on white.
    """
    light = rng.uniform(0, 2 * np.pi)
    palette = _palette(rng)
    picture = _ground(size, palette, rng)
    silhouette = np.asarray(_image(parts, size, width, 1), np.float32) / 255
    shadow = _blurred(silhouette, size * rng.uniform(0.015, 0.04))
    shift = (size * rng.uniform(0.02, 0.05) * np.array([-np.sin(light), -np.cos(light)])).round()
    shadow = np.roll(shadow, shift.astype(int).tolist(), (0, 1))
    picture *= 1 - np.float32(rng.uniform(0.3, 0.6)) * shadow[..., None]
    for part in parts:
        _paint(picture, part, palette, light, width, rng)
    return _developed(picture, size, rng), _contour(parts, size, width)


@dataclass(frozen=True)
class _Palette:
    """Colours of a scene: two of the object's parts, and what is behind it."""

    main: Colour
    other: Colour
    behind: list[Colour]


def _palette(rng: np.random.Generator) -> _Palette:
    """The object is light before a dark scene or dark before a light one, and of another hue."""
    hue, light = rng.random(), rng.random() < 0.5
    main, step = (rng.uniform(0.75, 0.98), -0.42) if light else (rng.uniform(0.25, 0.45), 0.45)
    near = (hue + rng.normal(0, 0.1)) % 1
    far = (hue + rng.uniform(0.3, 0.7)) % 1
    behind = [
        colorsys.hsv_to_rgb(
            (far + rng.normal(0, 0.12)) % 1,
            rng.uniform(0.05, 0.5),
            rng.uniform(0.15, 0.42) if light else rng.uniform(0.6, 0.95),
        )
        for _ in range(6)
    ]
    return _Palette(
        colorsys.hsv_to_rgb(hue, rng.uniform(0.35, 0.95), main),
        colorsys.hsv_to_rgb(near, rng.uniform(0.2, 0.9), main + step * rng.uniform(0.75, 1.2)),
        behind,
    )


def _paint(
    picture: np.ndarray,
    part: Part,
    palette: _Palette,
    light: float,
    width: float,
    rng: np.random.Generator,
) -> None:
    """Paint one part into the picture f[s s 3]; only the pixels around it are touched."""
    size, points = len(picture), np.concatenate(part.outlines)
    margin = width + 2
    low = np.clip(np.floor(points.min(axis=0) - margin), 0, size - 1).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) + margin), 1, size).astype(int)
    box = slice(low[1], high[1]), slice(low[0], high[0])
    moved = part.moved(low.astype(float), 1.0, np.zeros(2))
    mask = np.asarray(_image([moved], tuple((high - low).tolist()), width), np.float32) / 255
    under = picture[box]
    if part.filled:  # whichever colour can be told from what it lies on
        seen = (under * mask[..., None]).sum(axis=(0, 1)) / max(float(mask.sum()), 1.0)
        colour = max(palette.main, palette.other, key=lambda one: float(np.abs(seen - one).sum()))
    else:
        colour = palette.main if part.apart else palette.other
    colour = np.clip(np.array(colour) + rng.normal(0, 0.03, 3), 0, 1)
    under += mask[..., None] * (_surface(mask, part.filled, colour, light, size, rng) - under)


def _ground(size: int, palette: _Palette, rng: np.random.Generator) -> np.ndarray:
    """What is behind, f32[s s 3]: a wall and a floor with texture, blurred clutter before them."""
    wall, floor, *others = (np.array(colour, np.float32) for colour in palette.behind)
    rows = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
    horizon = rng.uniform(0.45, 0.9)
    edge = 1 / (1 + np.exp(-(rows - np.float32(horizon)) * np.float32(rng.uniform(8, 80))))
    ground = (wall * (1 - edge) + floor * edge) * (0.85 + 0.3 * rows)
    texture = 1 + np.float32(rng.uniform(0.08, 0.3)) * _texture((size, size), rng)
    image = _from_floats(ground * texture[..., None])
    for sharp in (0.05, 0.025, 0.012):
        layer = image.copy()
        shape = Image.new("L", image.size, 0)
        brushes = ImageDraw.Draw(layer), ImageDraw.Draw(shape)
        for _ in range(int(rng.integers(1, 5))):
            colour = others[int(rng.integers(len(others)))] * np.float32(rng.uniform(0.7, 1.25))
            fill = (np.clip(colour, 0, 1) * 255).astype(int).tolist()
            _clutter(brushes, (tuple(fill), 255), size, rng)
        soft = shape.filter(ImageFilter.GaussianBlur(sharp * size))
        strength = rng.uniform(0.5, 0.95)
        image.paste(layer, mask=soft.point([round(value * strength) for value in range(256)]))
    return np.asarray(image, np.float32) / 255


def _clutter(
    brushes: tuple[ImageDraw.ImageDraw, ...],
    fills: tuple[Any, ...],
    size: int,
    rng: np.random.Generator,
) -> None:
    """Draw one thing that has no meaning: a blob, a box, a stick, or leaves; with each brush."""
    x, y = rng.uniform(0, size, 2)
    wide, high = rng.uniform(0.05, 0.3, 2) * size
    turn = rng.uniform(0, np.pi)
    kind = rng.integers(4)
    leaves = np.array([x, y]) + rng.normal(0, wide, (8, 2))
    radii = rng.uniform(0.01, 0.04, 8) * size
    c, s = np.cos(turn), np.sin(turn)
    box = np.array([[-wide, -high], [wide, -high], [wide, high], [-wide, high]])
    corners = box @ np.array([[c, s], [-s, c]]) + (x, y)
    for brush, fill in zip(brushes, fills, strict=True):
        if kind == 0:
            brush.ellipse((x - wide, y - high, x + wide, y + high), fill=fill)
        elif kind == 1:
            brush.polygon([tuple(corner) for corner in corners.tolist()], fill=fill)
        elif kind == 2:
            ends = [tuple(corners[0].tolist()), tuple(corners[2].tolist())]
            brush.line(ends, fill=fill, width=int(radii[0]) + 1)
        else:
            for (left, top), r in zip(leaves.tolist(), radii.tolist(), strict=True):
                brush.ellipse((left - r, top - r, left + r, top + r), fill=fill)


def _surface(
    mask: np.ndarray,
    filled: bool,
    colour: np.ndarray,
    light: float,
    size: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """The colours of a part, f[h w 3]: lit from one side, darker at its edge, with a texture."""
    high, wide = mask.shape
    down = np.linspace(-1, 1, high, dtype=np.float32)[:, None]
    across = np.linspace(-1, 1, wide, dtype=np.float32)[None]
    x, y = np.float32(np.cos(light)), np.float32(np.sin(light))
    shade = 1 + np.float32(rng.uniform(0.12, 0.3)) * np.clip(across * x + down * y, -1, 1)
    shade *= 1 + np.float32(rng.uniform(0.03, 0.22)) * _texture((high, wide), rng)
    if filled:
        depth = _blurred(mask, 0.03 * size)
        shade *= 0.62 + 0.38 * np.clip(2 * depth - 0.8, 0, 1)
    surface = colour.astype(np.float32) * shade[..., None]
    if filled and rng.random() < 0.6:  # a gleam on the lit side
        near = (across - 0.45 * x) ** 2 + (down - 0.45 * y) ** 2
        gleam = np.exp(-near / np.float32(rng.uniform(0.03, 0.12)))
        surface += np.float32(rng.uniform(0.1, 0.4)) * gleam[..., None]
    return np.clip(surface, 0, 1)


def _developed(picture: np.ndarray, size: int, rng: np.random.Generator) -> Image.Image:
    """What a camera makes of it: vignette, exposure, a soft lens, noise."""
    square = np.linspace(-1, 1, size, dtype=np.float32) ** 2
    vignette = 1 - np.float32(rng.uniform(0, 0.15)) * (square[:, None] + square[None])
    picture = picture * (np.float32(rng.uniform(0.9, 1.1)) * vignette)[..., None]
    noise = rng.standard_normal(picture.shape, np.float32)
    image = _from_floats(picture + np.float32(rng.uniform(0.004, 0.02)) * noise)
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.7)))


def _contour(parts: list[Part], size: int, width: float) -> Image.Image:
    """The lines that a perfect edge detector would find: outlines that no later part covers."""
    image = Image.new("L", (size * SCALE, size * SCALE), 255)
    brush = ImageDraw.Draw(image)
    for part in parts:
        for outline in part.outlines:
            knots = _knots(outline, SCALE)
            if part.filled:
                brush.polygon(knots, fill=255)
                brush.line([*knots, knots[0]], fill=0, width=SCALE + 1, joint="curve")
            else:
                thick = round(max(width * SCALE * 0.7, SCALE))
                brush.line(knots, fill=0, width=thick, joint="curve")
    return image.resize((size, size), Image.Resampling.BOX)


def _image(
    parts: list[Part], size: int | tuple[int, int], width: float, scale: int = SCALE
) -> Image.Image:
    """How much of each pixel some parts cover, 0 to 255.

    size: px, or width and height.  width: of a line, px.  scale: of the supersampling.
    """
    wide, high = (size, size) if isinstance(size, int) else size
    image = Image.new("L", (wide * scale, high * scale), 0)
    brush = ImageDraw.Draw(image)
    for part in parts:
        for outline in part.outlines:
            knots = _knots(outline, scale)
            if part.filled:
                brush.polygon(knots, fill=255)
            else:
                brush.line(knots, fill=255, width=round(width * scale), joint="curve")
    return image if scale == 1 else image.resize((wide, high), Image.Resampling.BOX)


def _knots(points: np.ndarray, scale: int) -> list[tuple[float, float]]:
    return [(x, y) for x, y in (points * scale).tolist()]


def _from_floats(picture: np.ndarray) -> Image.Image:
    """An image of values that are about 0 to 1."""
    return Image.fromarray((np.clip(picture, 0, 1) * 255).astype(np.uint8))


def _blurred(mask: np.ndarray, radius: float) -> np.ndarray:
    return np.asarray(_from_floats(mask).filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255


def _texture(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A random part of a random texture, f32[h w] of about -1 to 1."""
    bank = _textures()
    texture = bank[int(rng.integers(len(bank)))]
    texture = texture.T if rng.random() < 0.5 else texture
    top, left = (int(rng.integers(len(texture))) for _ in range(2))
    rows, columns = (
        (np.arange(n) + at) % len(texture) for n, at in zip(shape, (top, left), strict=True)
    )
    return texture[rows[:, None], columns]


@cache
def _textures() -> list[np.ndarray]:
    """Twelve textures of 384 px: clouds, grain, stripes and speckles at several scales."""
    rng = np.random.default_rng(20_170)
    side, made = 384, []
    for cells in (6, 12, 24, 48, 96, 192):
        noise = rng.standard_normal((cells, cells)).astype(np.float32)
        made.append(
            np.asarray(Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC))
        )
    clouds = sum(field / 2**octave for octave, field in enumerate(made[:5]))
    made.append(np.asarray(clouds))
    at = np.linspace(0, 1, side)
    for waves in (9, 23, 41):
        bent = at[:, None] + 0.03 * made[0] + 0.2 * rng.standard_normal() * at[None]
        made.append(np.sin(2 * np.pi * waves * bent))
    speckles = (rng.random((side, side)) < 0.02).astype(np.float64)
    made.append(_blurred(speckles, 1.2) * 8 - 1)
    made.append(np.sin(2 * np.pi * 14 * at)[:, None] * np.sin(2 * np.pi * 14 * at)[None])
    return [np.clip((f - f.mean()) / (2 * f.std()), -1.2, 1.2).astype(np.float32) for f in made]


def _encloses(stroke: Stroke) -> bool:
    """Whether a stroke is the outline of a surface: closed, or an arch that is open at its foot."""
    extent = np.ptp(stroke, axis=0)
    way = float(np.hypot(*np.diff(stroke, axis=0).T).sum())
    bent = float(np.hypot(*(stroke[-1] - stroke[0]))) < _STRAIGHT * way
    return bent and enclosed(stroke) > max(_LEAST_FILL * float(extent[0] * extent[1]), 4.0)


def _joined(drawing: Strokes) -> Strokes:
    """The strokes, with two that share both ends made one outline: the sides of a moon."""
    strokes = list(drawing)
    for first, second in pairwise(range(len(strokes))):
        a, b = strokes[first], strokes[second]
        if len(a) < 3 or len(b) < 3 or _near(a[0], a[-1]):
            continue
        if _near(a[-1], b[0]) and _near(b[-1], a[0]):
            return [*strokes[:first], np.concatenate([a, b]), *strokes[second + 1 :]]
        if _near(a[-1], b[-1]) and _near(b[0], a[0]):
            return [*strokes[:first], np.concatenate([a, b[::-1]]), *strokes[second + 1 :]]
    return strokes


def _near(one: np.ndarray, other: np.ndarray) -> bool:
    return float(np.hypot(*(one - other))) < _MEET
