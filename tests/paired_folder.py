"""Tiny data folders of sketches and photos of coloured shapes, for tests of two sides."""

import io
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import orjson
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image, ImageDraw

from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.index import Index, write_index
from sketchjax.data.folder.manifest import Manifest, PictureSet, Shard
from sketchjax.data.folder.pictures import PictureRecord
from sketchjax.data.folder.shards import WRITER_OPTIONS, Shards
from sketchjax.data.folder.splits import SPLITS
from sketchjax.files import sha256

CATEGORIES = ("arrow", "box", "roof")
SIZE = 24
# Corners of each shape in a square of side 1.
_SHAPES = {
    "arrow": [(0, 0.5), (1, 0.5), (0.7, 0.2), (1, 0.5), (0.7, 0.8)],
    "box": [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)],
    "roof": [(0, 1), (0.5, 0), (1, 1)],
    "stairs": [(0, 1), (0, 0.5), (0.5, 0.5), (0.5, 0), (1, 0)],
}


@dataclass(frozen=True)
class Thing:
    """One object: its category, number, split, place and size in a square of side 1, and hue."""

    category: str
    number: int
    split: str
    corner: tuple[float, float]
    size: float
    colour: tuple[int, int, int]

    def outline(self, side: float, rng: np.random.Generator) -> list[tuple[float, float]]:
        """Its corners in a square of this side, each a little off, as a hand draws them."""
        left, top = self.corner
        corners = np.array(_SHAPES[self.category]) * self.size + (left, top)
        return [tuple(xy) for xy in side * (corners + rng.normal(0, 0.01, corners.shape))]


def things(each: int = 20, seed: int = 0, categories: tuple[str, ...] = CATEGORIES) -> list[Thing]:
    """`each` objects of every category: 70 % to train, 10 % to validate, the rest to rank."""
    rng, found = np.random.default_rng(seed), []
    for category in categories:
        for place in range(each):
            share = place / each
            split = "train" if share < 0.7 else "validation" if share < 0.8 else "gallery"
            corner, size = tuple(rng.uniform(0.05, 0.45, 2)), rng.uniform(0.25, 0.5)
            colour = tuple(rng.integers(0, 200, 3).tolist())
            found.append(Thing(category, len(found), split, corner, size, colour))
    return found


def paired_folder(home: Path, sketches: str = "raster", drawn: int = 2, **options) -> Path:
    """A data folder of photos and of `drawn` sketches of each, as rasters or strokes.

    Photos that are ranked are of the gallery, their sketches are queries. With sketches `none`
    there are photos only, every second one that is ranked a query. Options: of `things`.
    """
    made = things(**options)
    if sketches == "none":
        made = [_as_query(thing) if thing.number % 2 else thing for thing in made]
    folder, rng = home / "data", np.random.default_rng(1)
    manifest = _strokes(home, folder, made, drawn if sketches == "strokes" else 1, rng)
    if sketches != "strokes":
        manifest = _without_strokes(folder, manifest)
    if sketches == "raster":
        rasters = [_raster(thing, rng) for thing in made for _ in range(drawn)]
        manifest = _add(folder, manifest, "raster", rasters)
    manifest = _add(folder, manifest, "photo", [_photo(thing, rng) for thing in made])
    manifest.save(folder)
    return folder


def _as_query(thing: Thing) -> Thing:
    return replace(thing, split="query") if thing.split == "gallery" else thing


def _split_of(thing: Thing, kind: str) -> str:
    return "query" if thing.split == "gallery" and kind != "photo" else thing.split


def _photo(thing: Thing, rng: np.random.Generator) -> tuple[Thing, bytes, bytes]:
    """A filled shape on noise, as JPEG, and its outline as PNG."""
    ground = rng.integers(200, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    picture = Image.fromarray(ground)
    outline = thing.outline(SIZE, rng)
    ImageDraw.Draw(picture).polygon(outline, fill=thing.colour)
    content = io.BytesIO()
    picture.save(content, "jpeg", quality=95)
    return thing, content.getvalue(), _drawn(outline)


def _raster(thing: Thing, rng: np.random.Generator) -> tuple[Thing, bytes, bytes]:
    return thing, _drawn(thing.outline(SIZE, rng)), b""


def _drawn(outline: list[tuple[float, float]]) -> bytes:
    picture = Image.new("L", (SIZE, SIZE), 255)
    ImageDraw.Draw(picture).line(outline, fill=0, width=1)
    content = io.BytesIO()
    picture.save(content, "png")
    return content.getvalue()


def _strokes(home: Path, folder: Path, made: list[Thing], drawn: int, rng) -> Manifest:
    """Convert the sketches as strokes; their ids say which photo they draw."""
    (home / "in").mkdir(parents=True)
    splits = ["key_id,split"]
    for category in dict.fromkeys(thing.category for thing in made):
        lines = []
        for thing in (thing for thing in made if thing.category == category):
            for copy in range(drawn):
                key_id = str(1000 * (thing.number + 1) + copy)
                xs, ys = np.clip(np.array(thing.outline(255, rng)).T, 0, 255).round().tolist()
                row = {"word": category, "key_id": key_id, "recognized": True}
                lines.append(orjson.dumps(row | {"drawing": [[xs, ys]]}))
                splits.append(f"{key_id},{_split_of(thing, 'strokes')}")
        (home / "in" / f"{category}.ndjson").write_bytes(b"\n".join(lines))
    (home / "splits.csv").write_text("\n".join(splits))
    convert([home / "in"], folder, splits=home / "splits.csv", shards=1, workers=1, progress=False)
    manifest, indexes = Manifest.load(folder), {}
    for split in SPLITS:
        with Shards(folder, split) as shards:
            if not len(shards):
                continue
            found = shards.read(np.arange(len(shards)))
        number = found.key_ids.astype(np.int64) // 1000 - 1
        index = Index(found.key_ids, found.labels, number, [""] * len(number))
        indexes[split] = write_index(folder, f"{split}-index.json", index)
    return msgspec.structs.replace(manifest, instances=indexes)


def _without_strokes(folder: Path, manifest: Manifest) -> Manifest:
    for file in manifest.files():
        (folder / file.name).unlink()
    none = dict.fromkeys(SPLITS, 0)
    return msgspec.structs.replace(
        manifest,
        counts=none,
        counts_by_category=dict.fromkeys(manifest.categories, none),
        lengths={split: {} for split in SPLITS},
        shards={split: [] for split in SPLITS},
        instances={},
    )


def _add(folder: Path, manifest: Manifest, kind: str, pictures: list) -> Manifest:
    """Write pictures (thing, file, contour) to the folder; returns the manifest with them."""
    counts = {name: dict.fromkeys(SPLITS, 0) for name in manifest.categories}
    shards: dict = {split: [] for split in SPLITS}
    indexes = {}
    for split in SPLITS:
        own = [each for each in pictures if _split_of(each[0], kind) == split]
        if not own:
            continue
        records = []
        for place, (thing, content, contour) in enumerate(own):
            label = manifest.categories.index(thing.category)
            name = f"{kind}/{thing.category}/{thing.number}-{place}"
            number = 10_000 * (kind == "photo") + place
            records.append(PictureRecord(number, thing.number, label, name, content, contour))
            counts[thing.category][split] += 1
        path = folder / f"{kind}-{split}-00000-of-00001.arrayrecord"
        writer = ArrayRecordWriter(str(path), WRITER_OPTIONS)
        for record in records:
            writer.write(record.encode())
        writer.close()
        shards[split] = [Shard(path.name, len(own), path.stat().st_size, sha256(path))]
        index = Index(
            np.array([record.id for record in records], np.uint64),
            np.array([record.label for record in records], np.int32),
            np.array([record.instance for record in records], np.int64),
            [record.name for record in records],
        )
        indexes[split] = write_index(folder, f"{kind}-{split}-index.json", index)
    totals = {split: sum(each[split] for each in counts.values()) for split in SPLITS}
    added = {kind: PictureSet(totals, counts, shards, indexes)}
    return msgspec.structs.replace(manifest, pictures=manifest.pictures | added)
