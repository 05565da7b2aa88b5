"""Synthetic photos: deterministic, paired, and recognisable in principle."""

import csv
import io
import time

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.pictures import PictureShards
from sketchjax.data.folder.shards import Shards
from sketchjax.data.sketch import strokes
from sketchjax.data.sources.doodles.paint import parts_of
from sketchjax.data.sources.doodles.pen import arc, curve, path
from sketchjax.data.sources.doodles.photos import PHOTO_CATEGORIES, scene, write_photos
from sketchjax.errors import ConfigError


def files_of(folder) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_the_same_seed_gives_the_same_bytes_and_more_adds(tmp_path):
    few = {"seed": 3, "categories": ["cat", "light bulb"], "sketches": 2, "size": 64}
    write_photos(tmp_path / "a", per_category=3, **few)
    write_photos(tmp_path / "b", per_category=3, workers=2, **few)
    write_photos(tmp_path / "more", per_category=4, **few)
    write_photos(tmp_path / "other", per_category=3, **few | {"seed": 4})
    first, more = files_of(tmp_path / "a"), files_of(tmp_path / "more")
    assert first == files_of(tmp_path / "b")
    assert first.items() - more.items() == {
        (name, first[name]) for name in ("pairs.csv", "splits.csv")
    }
    assert first != files_of(tmp_path / "other")
    assert len(first) == 2 * 3 * (1 + 1 + 2) + 2


def test_a_larger_set_has_the_same_to_find(tmp_path):
    write_photos(tmp_path, per_category=50, seed=0, categories=["sun"], sketches=1, size=32)
    rows = list(csv.reader((tmp_path / "splits.csv").open()))[1:]
    gallery = [path for path, split in rows if split == "gallery"]
    assert gallery == [f"photo/sun/sun_{number:05d}.jpg" for number in range(2, 36, 3)]
    assert [split for _, split in rows].count("query") == len(gallery) == 12
    assert [split for _, split in rows].count("train") == 2 * (50 - 12)


def test_it_is_an_ordinary_picture_folder(tmp_path):
    write_photos(tmp_path / "in", per_category=6, seed=0, categories=["cat", "house"], size=64)
    manifest = convert([tmp_path / "in"], tmp_path / "out", workers=1, progress=False, shards=1)
    assert manifest.categories == ["cat", "house"]
    assert manifest.pictures["photo"].counts["gallery"] == 4
    assert manifest.counts["query"] == 12
    assert sum(manifest.counts.values()) == 36
    assert not manifest.bad
    gallery, queries = (
        PictureShards(tmp_path / "out", "photo", "gallery"),
        Shards(tmp_path / "out", "query"),
    )
    counts = np.unique(queries.instances, return_counts=True)
    assert counts[0].tolist() == sorted(gallery.instances.tolist())
    assert counts[1].tolist() == [3, 3, 3, 3]
    rows = list(csv.reader((tmp_path / "in" / "pairs.csv").open()))
    assert rows[1] == ["sketch/cat/cat_00000-1.svg", "photo/cat/cat_00000.jpg", "cat"]


def drawn(points: np.ndarray) -> np.ndarray:
    """A doodle as a soft picture that it fills, centred and of unit length: f[1024]."""
    image = Image.new("L", (256, 256))
    brush = ImageDraw.Draw(image)
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    scale = 255 / max(1, (high - low).max())
    for stroke in strokes(points):
        placed = (stroke.astype(float) - (low + high) / 2) * scale * 0.9 + 128
        brush.line([tuple(knot) for knot in placed.tolist()], fill=255, width=9)
    return soft(image)


def outline(contour: bytes) -> np.ndarray:
    """A contour map as a picture of the same kind, cut to its ink."""
    ink = 255 - np.asarray(Image.open(io.BytesIO(contour)).convert("L"))
    rows, columns = np.nonzero(ink > 64)
    cut = Image.fromarray(ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1])
    scale = 230 / max(cut.size)
    cut = cut.resize([max(1, round(length * scale)) for length in cut.size])
    whole = Image.new("L", (256, 256))
    whole.paste(cut, ((256 - cut.width) // 2, (256 - cut.height) // 2))
    return soft(whole)


def soft(image: Image.Image) -> np.ndarray:
    blurred = image.filter(ImageFilter.GaussianBlur(8)).resize((32, 32))
    values = np.asarray(blurred, float).ravel()
    values = values - values.mean()
    return values / np.linalg.norm(values)


def test_doodles_find_their_own_object():
    """Comparing blurred pictures finds the right one of 120 photos far above chance (0.8 %)."""
    scenes = [scene(name, index, seed=1) for name in PHOTO_CATEGORIES for index in range(5)]
    maps = np.stack([outline(made.contour) for made in scenes])
    doodles = np.stack([drawn(made.doodles[0]) for made in scenes])
    nearest = (doodles @ maps.T).argmax(axis=1)
    own = np.arange(len(scenes))
    print((nearest == own).mean(), (nearest // 5 == own // 5).mean())
    assert (nearest == own).mean() > 0.4
    assert (nearest // 5 == own // 5).mean() > 0.6


def test_the_photo_shows_the_object_where_its_contour_is():
    """The photo changes across the contour far more than elsewhere."""
    ratios = []
    for number, name in enumerate(PHOTO_CATEGORIES):
        made = scene(name, number, seed=2)
        picture = np.asarray(Image.open(io.BytesIO(made.photo)), float)
        assert picture.shape == (160, 160, 3)
        steps = np.zeros((160, 160))
        steps[1:-1, 1:-1] = np.abs(picture[2:, 1:-1] - picture[:-2, 1:-1]).sum(axis=2)
        steps[1:-1, 1:-1] += np.abs(picture[1:-1, 2:] - picture[1:-1, :-2]).sum(axis=2)
        lines = np.asarray(Image.open(io.BytesIO(made.contour)).convert("L")) < 128
        ratios.append(steps[lines].mean() / np.median(steps[~lines]))
    assert np.median(ratios) > 3


def test_surfaces_and_lines_are_told_apart():
    ring, smile = arc(50, 50, 40, 40, 0, 360), curve((30, 60), (50, 70), (70, 60))
    roof, ray = path((10, 50), (50, 10), (90, 50)), path((95, 50), (99, 80))
    parts = parts_of([ray, smile, ring])
    assert [(part.filled, part.apart) for part in parts] == [
        (True, False),
        (False, True),
        (False, False),
    ]
    assert [part.filled for part in parts_of([roof])] == [True]
    moon = parts_of([curve((20, 10), (5, 50), (20, 90)), curve((20, 90), (15, 50), (20, 10))])
    assert [part.filled for part in moon] == [True]
    assert len(moon[0].outlines[0]) > 15


@pytest.mark.parametrize(
    "options, message",
    [
        ({"per_category": 0}, "per_category=0: must be at least 1"),
        ({"size": 8}, "size=8: must be at least 32"),
        ({"workers": 0}, "workers=0: must be at least 1"),
        ({"categories": ["ripple"]}, "no synthetic photos of 'ripple'"),
    ],
)
def test_invalid_arguments(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        write_photos(tmp_path, **{"per_category": 1, "seed": 0} | options)


def test_a_thousand_photos_take_seconds():
    scene("cat", 0, seed=0)  # compiles the simplification
    start = time.process_time()
    for index in range(20):
        scene(PHOTO_CATEGORIES[index], index, seed=0)
    # 17 ms each on one core; a busy neighbour doubles the processor time.
    assert (time.process_time() - start) / 20 < 0.08
