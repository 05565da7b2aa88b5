"""Synthetic photos of doodle objects, each with free-hand doodles of that very object.

An object is drawn by its category's program, with proportions and parts of its own, then posed: it
leans, is stretched, sheared, and faces left or right. The photo paints it somewhere in a scene; the
doodles are what several hands make of it, which shake, lean and forget as always. So photo and
doodles match by category, and one by one.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from sketchjax.data.progress import Bar, progress_bars
from sketchjax.data.sketch import strokes as strokes_of
from sketchjax.data.sources import canonical
from sketchjax.data.sources.doodles import PROGRAMS, Order, number_of, program_of
from sketchjax.data.sources.doodles.hand import perform
from sketchjax.data.sources.doodles.paint import Part, parts_of, photo
from sketchjax.data.sources.doodles.pen import Pen, Strokes
from sketchjax.data.workers import Pool, cores
from sketchjax.errors import ConfigError, on_disk

# The categories that a picture shows: of others, only the order of the strokes tells them apart.
PHOTO_CATEGORIES = tuple(
    name for name, (_, order) in PROGRAMS.items() if order in (Order.HABIT, Order.KEPT)
)
QUALITY = 88  # of the JPEG files
# Of a category's photos, every third of the first 36 is in the gallery, so that a larger set has
# more to learn from and the same to find.
_EVERY_THIRD, _HELD_OUT_AMONG = 3, 36
_PART = 50  # scenes of a task


@dataclass(frozen=True)
class Scene:
    """A photo of an object, and doodles of it.

    photo: a JPEG file; contour: its contour map, a PNG file.
    doodles: points u8[t 3] each, as `Sketches` has them.
    """

    photo: bytes
    contour: bytes
    doodles: list[np.ndarray]


def scene(category: str, index: int, *, seed: int, sketches: int = 3, size: int = 160) -> Scene:
    """The scene of a category's object number `index`, which depends on nothing else.

    sketches: doodles of the object.
    size: of the photo, px.
    Raises ConfigError when there is no such category.
    """
    program, order = program_of(category)
    rng = np.random.Generator(np.random.PCG64(number_of(seed, f"photo of {category}", index)))
    posed = _posed(program(Pen(rng)), rng)
    shaped = parts_of(posed)
    parts, width = _placed(shaped, size, rng)
    picture, contour = photo(parts, size, width, rng)
    buffers = io.BytesIO(), io.BytesIO()
    picture.save(buffers[0], "JPEG", quality=QUALITY)
    contour.save(buffers[1], "PNG")
    doodles = [perform(posed, rng, order) for _ in range(sketches)]
    return Scene(buffers[0].getvalue(), buffers[1].getvalue(), doodles)


def write_photos(
    folder: str | Path,
    *,
    per_category: int,
    seed: int,
    sketches: int = 3,
    size: int = 160,
    categories: Iterable[str] | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Write a picture folder: photo/, sketch/ (SVG), contour/, pairs.csv and splits.csv.

    Every third of a category's first 36 photos is in the gallery, and its doodles are queries; all
    others are for training.
    folder: made where it is missing.
    per_category: photos of each category; a larger number adds to the same first ones.
    seed: a photo and its doodles depend only on seed, category and their number.
    sketches: doodles of each photo.
    size: of a photo, px.
    categories: out of PHOTO_CATEGORIES; None for all.
    workers: processes; None is one per available core, 1 works in this process.
    progress: whether to show a progress bar on stderr.
    The same arguments give the same bytes for any number of workers.  Returns the folder.
    Raises ConfigError when there is no such category or a number is below 1, and DiskError when the
    folder cannot be written.
    """
    chosen = PHOTO_CATEGORIES if categories is None else tuple(map(canonical, categories))
    problems = [
        f"{name}={value}: must be at least {least}"
        for name, value, least in (
            ("per_category", per_category, 1),
            ("sketches", sketches, 1),
            ("size", size, 32),
            ("workers", 1 if workers is None else workers, 1),
        )
        if value < least
    ]
    problems += [
        f"no synthetic photos of {name!r}; choose from {', '.join(PHOTO_CATEGORIES)}"
        for name in chosen
        if name not in PHOTO_CATEGORIES
    ]
    if problems:
        raise ConfigError(problems)
    folder = Path(folder)
    parts = [
        (category, range(first, min(first + _PART, per_category)))
        for category in chosen
        for first in range(0, per_category, _PART)
    ]
    # A process takes a second to start, and paints 80 photos in that time.
    needed = 1 + len(chosen) * per_category // 200
    processes = workers or min(cores(), needed)
    console = Console(stderr=True, quiet=not progress)
    with on_disk(f"{folder} cannot be written"):
        for category in chosen:
            for side in ("photo", "sketch", "contour"):
                (folder / side / _name(category)).mkdir(parents=True, exist_ok=True)
        # Threads would be slower than one of them: most of painting is Python.
        with progress_bars(console) as bars, Pool(processes) as pool:
            bar = Bar(bars, "painting", "parts", len(parts), 0, what="photos")
            tasks = [(_write_scenes, (folder, *part, seed, sketches, size)) for part in parts]
            rows: dict[int, tuple[list[str], list[str]]] = {}
            for number, lines in pool.run(tasks, bar.sketches):
                rows[number] = lines
                bar.finished()
        pairs = [line for number in sorted(rows) for line in rows[number][0]]
        splits = [line for number in sorted(rows) for line in rows[number][1]]
        (folder / "pairs.csv").write_text("\n".join(["sketch,photo,category", *pairs, ""]))
        (folder / "splits.csv").write_text("\n".join(["path,split", *splits, ""]))
    return folder


def _write_scenes(
    folder: Path,
    category: str,
    numbers: range,
    seed: int,
    sketches: int,
    size: int,
    *,
    progress: Callable[[int], None],
) -> tuple[list[str], list[str]]:
    """Write the files of some of a category's scenes; returns the lines of both tables."""
    pairs, splits = [], []
    for number in numbers:
        made = scene(category, number, seed=seed, sketches=sketches, size=size)
        own = _write_scene(folder, category, number, made)
        pairs += own[0]
        splits += own[1]
        progress(1)
    return pairs, splits


def _write_scene(
    folder: Path, category: str, index: int, made: Scene
) -> tuple[list[str], list[str]]:
    """Write the files of a scene; returns its lines of pairs.csv and splits.csv."""
    kind, name = _name(category), f"{_name(category)}_{index:05d}"
    photo_path = f"photo/{kind}/{name}.jpg"
    (folder / photo_path).write_bytes(made.photo)
    (folder / "contour" / kind / f"{name}.png").write_bytes(made.contour)
    held_out = index < _HELD_OUT_AMONG and index % _EVERY_THIRD == _EVERY_THIRD - 1
    pairs, splits = [], [f"{photo_path},{'gallery' if held_out else 'train'}"]
    for number, points in enumerate(made.doodles, 1):
        path = f"sketch/{kind}/{name}-{number}.svg"
        (folder / path).write_text(_svg(points))
        pairs.append(f"{path},{photo_path},{kind}")
        splits.append(f"{path},{'query' if held_out else 'train'}")
    return pairs, splits


def _svg(points: np.ndarray) -> str:
    """A drawing as an SVG document of one path a stroke."""
    paths = "".join(
        f'<path d="M{" L".join(f"{x} {y}" for x, y in stroke.tolist())}"/>\n'
        for stroke in strokes_of(points)
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="-4 -4 263 263">\n'
        f'<g fill="none" stroke="black" stroke-width="3">\n{paths}</g>\n</svg>\n'
    )


def _name(category: str) -> str:
    return category.replace(" ", "_")


def _posed(drawing: Strokes, rng: np.random.Generator) -> Strokes:
    """The object as it is in the scene, in canvas units: what photo and doodles share."""
    turn = math.radians(rng.uniform(-28, 28))
    stretch, shear = rng.uniform(-0.32, 0.32), rng.uniform(-0.3, 0.3)
    side = -1.0 if rng.random() < 0.5 else 1.0
    c, s = math.cos(turn), math.sin(turn)
    pose = np.array([[side * math.exp(stretch), 0.0], [0.0, math.exp(-stretch)]])
    pose = pose @ np.array([[1.0, 0.0], [shear, 1.0]]) @ np.array([[c, s], [-s, c]])
    return [(stroke - 50) @ pose + 50 for stroke in drawing]


def _placed(parts: list[Part], size: int, rng: np.random.Generator) -> tuple[list[Part], float]:
    """The parts in px, wholly within the photo, and the width of a line."""
    points = np.concatenate([outline for part in parts for outline in part.outlines])
    low, extent = points.min(axis=0), float(np.ptp(points, axis=0).max())
    scale = size * rng.uniform(0.5, 0.82) / extent
    room = size - scale * np.ptp(points, axis=0)
    corner = room * rng.uniform(0.1, 0.9, 2)
    return [part.moved(low, scale, corner) for part in parts], max(
        1.5, rng.uniform(2.2, 3.6) * scale
    )
