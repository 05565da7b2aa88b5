"""Synthetic doodles: 32 categories drawn by stroke programs, as ordinary QuickDraw files.

With them everything runs without data or network. They are designed to need both branches of a
model: see `pairs` for the categories that differ only in order, or only in shape.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from sketchjax.data.sketch import Sketches
from sketchjax.data.sources import canonical, write_ndjson
from sketchjax.data.sources.categories import unknown_names
from sketchjax.data.sources.doodles import nature, noise, objects, pairs
from sketchjax.data.sources.doodles.hand import Order, perform
from sketchjax.data.sources.doodles.pen import Pen, Strokes
from sketchjax.data.workers import Pool, cores
from sketchjax.errors import ConfigError, on_disk

PROGRAMS: dict[str, tuple[Callable[[Pen], Strokes], Order]] = {
    "face": (nature.face, Order.HABIT),
    "clock": (objects.clock, Order.HABIT),
    "apple": (nature.apple, Order.HABIT),
    "cherry": (nature.cherry, Order.HABIT),
    "cup": (objects.cup, Order.HABIT),
    "bucket": (objects.bucket, Order.HABIT),
    "sun": (nature.sun, Order.HABIT),
    "flower": (nature.flower, Order.HABIT),
    "moon": (nature.moon, Order.HABIT),
    "banana": (nature.banana, Order.HABIT),
    "pear": (nature.pear, Order.HABIT),
    "light bulb": (objects.light_bulb, Order.HABIT),
    "cat": (nature.cat, Order.HABIT),
    "rabbit": (nature.rabbit, Order.HABIT),
    "mushroom": (nature.mushroom, Order.HABIT),
    "umbrella": (objects.umbrella, Order.HABIT),
    "house": (objects.house, Order.HABIT),
    "envelope": (objects.envelope, Order.HABIT),
    "fish": (nature.fish, Order.HABIT),
    "car": (objects.car, Order.HABIT),
    "dotted circle": (pairs.dotted_circle, Order.ANY),
    "dotted square": (pairs.dotted_square, Order.ANY),
    "waffle": (pairs.waffle, Order.ANY),
    "picture frame": (pairs.picture_frame, Order.ANY),
    "target": (pairs.rings, Order.KEPT),
    "ripple": (pairs.rings, Order.BACKWARDS),
    "stairs up": (pairs.stairs, Order.KEPT),
    "stairs down": (pairs.stairs, Order.BACKWARDS),
    "ladder": (pairs.ladder, Order.KEPT),
    "railway": (pairs.ladder, Order.BACKWARDS),
    "sunrise": (pairs.low_sun, Order.KEPT),
    "sunset": (pairs.low_sun, Order.BACKWARDS),
}
CATEGORIES: tuple[str, ...] = tuple(PROGRAMS)
SCRIBBLES = 0.03  # share of a category's drawings in a file
NEAR_EMPTY = 0.03


def draw(category: str, rng: np.random.Generator) -> np.ndarray:
    """One drawing of a category, never a noisy one: points u8[t 3] in simplified form, t ≤ 128.

    Raises ConfigError when there is no such category.
    """
    program, order = program_of(category)
    return perform(program(Pen(rng)), rng, order)


def draw_or_spoil(category: str, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """One drawing as a game would collect it: points u8[t 3], and whether it was recognised.

    3 in 100 are scribbles and 3 in 100 near-empty, neither of them recognised.
    Raises ConfigError when there is no such category.
    """
    program, order = program_of(category)
    luck = rng.random()
    drawing = program(Pen(rng))
    if luck < SCRIBBLES:
        return noise.scribble(drawing, rng), False
    if luck < SCRIBBLES + NEAR_EMPTY:
        return noise.near_empty(drawing, rng), False
    return perform(drawing, rng, order), True


def write(
    folder: str | os.PathLike,
    *,
    per_category: int,
    seed: int,
    categories: Iterable[str] | None = None,
    workers: int | None = None,
) -> list[Path]:
    """Write one simplified ndjson file per category, `NAME.ndjson`, and return the paths.

    Each line is an object of `word`, `key_id`, `recognized` and `drawing`, as in Google's files.
    folder: made where it is missing.
    per_category: drawings in each file; a larger number adds lines after the same first ones.
    seed: a sketch depends only on seed, category and its index.
    categories: out of CATEGORIES; None for all.
    workers: processes; None is one per available core, where there are enough drawings for them; 1
      works in this process.
    The same arguments give the same bytes for any number of workers. A file appears whole or not at
    all.
    Raises ConfigError when there is no such category, `per_category` is negative or there is no
    worker, and DiskError when the folder cannot be written.
    """
    if per_category < 0:
        raise ConfigError(f"per_category={per_category}: must be at least 0.")
    if workers is not None and workers < 1:
        raise ConfigError(f"workers={workers}: must be at least 1.")
    chosen = CATEGORIES if categories is None else tuple(map(canonical, categories))
    for category in chosen:
        program_of(category)
    folder = Path(folder)
    with on_disk(f"{folder} cannot be written"):
        folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{category}.ndjson" for category in chosen]
    # A process takes a second to start, in which another draws 3,000: one more pays from 4,000 on.
    needed = 1 + len(chosen) * per_category // 4_000
    tasks = [
        (_write_category, (path, category, per_category, seed))
        for path, category in zip(paths, chosen, strict=True)
    ]
    with Pool(workers or min(cores(), needed)) as pool:
        for _ in pool.run(tasks, lambda _: None):
            pass
    return paths


def _write_category(
    path: Path, category: str, count: int, seed: int, *, progress: Callable[[int], None]
) -> None:
    """Write the file of a category."""
    write_ndjson(path, sketches(category, count, seed))


def sketches(category: str, count: int, seed: int, *, spoilt: bool = True) -> Sketches:
    """The first `count` sketches of a category, each seeded by itself.

    spoilt: whether 6 in 100 are, as a game would collect them.
    Raises ConfigError when there is no such category.
    """
    keys = [number_of(seed, category, index) for index in range(count)]
    hands = [np.random.Generator(np.random.PCG64(key)) for key in keys]
    if spoilt:
        drawn = [draw_or_spoil(category, hand) for hand in hands]
    else:
        drawn = [(draw(category, hand), True) for hand in hands]
    return Sketches(
        points=np.concatenate([np.zeros((0, 3), np.uint8), *(points for points, _ in drawn)]),
        offsets=np.cumsum([0, *(len(points) for points, _ in drawn)]),
        categories=[category] * count,
        # 16 digits, below 2^53, like Google's.
        key_ids=np.array([10**15 + key % (8 * 10**15) for key in keys], np.uint64),
        recognized=np.array([recognized for _, recognized in drawn], np.int8),
        places=np.arange(1, count + 1),
    )


def number_of(seed: int, category: str, index: int) -> int:
    """128 bits that identify a sketch: they seed its random numbers and give its key_id."""
    name = f"{seed}/{category}/{index}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=16).digest(), "little")


def program_of(category: str) -> tuple[Callable[[Pen], Strokes], Order]:
    """A category's program and what it prescribes about order.  Raises ConfigError."""
    if category not in PROGRAMS:
        (line,) = unknown_names([category], CATEGORIES)
        raise ConfigError(f"no synthetic category {line}; choose from {', '.join(CATEGORIES)}")
    return PROGRAMS[category]
