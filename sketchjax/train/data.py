"""The data folder of a run: converted from the config's source if needed, and fit to train with."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import numpy as np

from sketchjax.config import Config, kinds, rankings
from sketchjax.config.fields import FIELDS
from sketchjax.config.real_data import VARIABLE, real_data
from sketchjax.data.class_lists import expanded
from sketchjax.data.feed.items import counts_of, totals_of
from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.conversion.picture_options import PictureOptions
from sketchjax.data.folder.conversion.picture_pieces import Look
from sketchjax.data.folder.manifest import NAME, Manifest
from sketchjax.data.folder.shards import check_shards
from sketchjax.data.folder.splits import SplitFile, split_rule
from sketchjax.data.folder.unseen import found_categories, unseen_categories
from sketchjax.data.inputs import PHOTO, SKETCH, part_name, side_and_split
from sketchjax.data.sources.categories import some
from sketchjax.errors import ConfigError, DataError
from sketchjax.files import sha256


def data_folder(config: Config, workdir: Path) -> Path:
    """The folder that a run reads, whether it exists yet or not."""
    return Path(config.data.dir).expanduser() if config.data.dir else workdir / "data"


def prepare_data(config: Config, workdir: Path) -> Path:
    """The data folder of a run: as it is, or converted from `data.source`.

    Raises DataError or ConfigError when it cannot be converted.
    """
    data, photos = config.data, PHOTO in kinds(config)
    folder = data_folder(config, workdir)
    if (folder / NAME).exists():
        return folder
    if not data.source:
        unset = f"{VARIABLE}, where this project's configs look for real drawings, is not set; "
        raise DataError(
            f"{folder} is not a data folder (it has no {NAME}); "
            f"{'' if real_data() else unset}give data.dir a folder "
            "that `sketchjax convert` made, or data.source the drawings to convert"
        )
    if data.source == "synthetic":
        sources = paint_synthetic(config, workdir) if photos else draw_synthetic(config, workdir)
    else:
        sources = [Path(data.source).expanduser()]
    convert(
        sources,
        folder,
        splits=_splits(config),
        categories=list(data.categories) or None,
        recognized_only=data.recognized_only,
        max_per_category=data.max_per_category or None,
        shards=data.shards,
        seed=config.seed,
        on_bad=data.on_bad,
        unseen=tuple(expanded(data.unseen)),
        photo_options=PictureOptions(
            validation=config.photos.validation, look=Look(contours=config.photos.contours)
        ),
    )
    return folder


def manifest_sha256(folder: Path) -> str | None:
    """The sha256 of a data folder's manifest; None where there is none."""
    path = folder / NAME
    return sha256(path) if path.exists() else None


def _splits(config: Config) -> SplitFile | Path | dict[str, float]:
    """How a config's source is split.  Raises DataError for an invalid split file."""
    data = config.data
    if not data.split_file:
        return data.splits.to_dict()
    path = Path(data.split_file).expanduser()
    return SplitFile.read(path, extra_train=data.extra_train) if data.extra_train else path


def check_selection(config: Config, folder: Path, manifest: Manifest) -> None:
    """Refuse a data folder that holds sketches which the config asks to leave out.

    A data folder is used whole: these fields choose what is converted from `data.source`.
    Raises ConfigError naming the fields, or the categories that the folder lacks.
    """
    data, problems = config.data, []
    asked = found_categories(data.categories, manifest.categories, "data.categories")
    held = manifest.counts_by_category.values()
    most = max((sum(splits.values()) for splits in held), default=0)
    if asked and (more := sorted({*manifest.categories} - {*asked})):
        problems.append(f"data.categories does not name {some(more)}")
    if 0 < data.max_per_category < most:
        problems.append(
            f"data.max_per_category={data.max_per_category}, and it has {most} sketches of one"
        )
    if data.recognized_only and not manifest.settings.get("recognized_only"):
        problems.append("data.recognized_only=True, and it was converted without that")
    if data.split_file and not data.source and other_splits(config, manifest):
        problems.append(f"data.split_file={data.split_file} is not what it was split by")
    if problems:
        heading = (
            f"{folder} is used whole, and the config asks for a part of it; convert the drawings "
            "with these settings to another data.dir, or leave these fields out"
        )
        raise ConfigError([heading, *problems])


def other_splits(config: Config, manifest: Manifest) -> str:
    """The field that asks for other splits than a data folder's; "" where none does."""
    data, field = config.data, "data.split_file"
    if not data.split_file:
        field = "data.splits"
        if data.splits.to_dict() == FIELDS[field].default:
            return ""
    elif not Path(data.split_file).expanduser().is_file():
        return field
    same = split_rule(_splits(config)).settings() == manifest.settings.get("splits")
    return "" if same else field


def draw_synthetic(config: Config, workdir: Path) -> list[Path]:
    """Write synthetic doodles as ordinary ndjson files, to be converted like any drawings.

    Returns the files: others may lie next to them, of an earlier call with another config.
    """
    # Importing it compiles its programs: no cost for runs on real drawings.
    from sketchjax.data.sources import doodles

    return doodles.write(
        workdir / "drawings",
        per_category=config.data.synthetic_per_category,
        seed=config.seed,
        categories=config.data.categories or None,
    )


# What the items of a kind are called in messages, and what to do where a split has none.
_ITEMS = {"strokes": "sketches", "raster": "raster sketches", "photo": "photos"}


def _remedy(kind: str, split: str) -> str:
    """What to do where a split has no items of a kind."""
    if kind == "strokes":
        return f"give data.splits.{split} some, or name them in data.split_file"
    return (
        f"name some in splits.csv and convert again, or give data.dir a folder with {_ITEMS[kind]}"
    )


def _both(queries: str, gallery: str) -> str:
    """What the items of two parts of the data are called together."""
    sides = {side for side, _ in map(side_and_split, (queries, gallery))}
    return "items" if len(sides) == 2 else "photos" if PHOTO in sides else "sketches"


def paint_synthetic(config: Config, workdir: Path) -> list[Path]:
    """Write synthetic photos and sketches of them, to be converted like any pictures."""
    from sketchjax.data.sources.doodles.photos import write_photos

    folder = write_photos(
        workdir / "pictures",
        per_category=config.data.synthetic_per_category,
        seed=config.seed,
        sketches=config.photos.sketches_each,
        size=config.photos.painted_size,
        categories=config.data.categories or None,
    )
    return [folder]


def can_choose(manifest: Manifest, kinds: Mapping[str, str], unseen: np.ndarray) -> bool:
    """Whether posterior codes can be chosen: validation has `least_to_choose`.

    kinds: how each side is stored.
    unseen: bool[l], categories kept out of training, whose sketches choose nothing.
    """
    counts = [counts_of(manifest, kind) for kind in kinds.values()]
    least = 2 if len(counts) == 1 else 1
    return any(
        all(own[name].get("validation", 0) >= least for own in counts)
        for name, kept_out in zip(manifest.categories, unseen, strict=True)
        if not kept_out
    )


def least_to_choose(kinds: Mapping[str, str]) -> str:
    """What posterior codes are chosen by at least, in words: an item, and another for it to find.

    kinds: how each side is stored.
    """
    items = [_ITEMS[kind] for kind in kinds.values()]
    what = f"two validation {items[0]}" if len(items) == 1 else "validation sketch and photo"
    return f"{what} of one category that is trained on"


def check_data(folder: Path, config: Config) -> Manifest:
    """The manifest of a folder that a run can finish with, checked before any training.

    Raises DataError naming the shards that are damaged (0.3 s for QuickDraw-3.8M's 500 MB), or the
    splits and categories that lack sketches.
    """
    manifest = check_shards(folder)
    data, pairs, stored = config.data, rankings(config), kinds(config)
    by_category = {side: counts_of(manifest, kind) for side, kind in stored.items()}
    unseen = unseen_categories(manifest.categories, data.unseen, data.unseen_count, config.seed)
    kept_out = {name for name, out in zip(manifest.categories, unseen, strict=True) if out}
    asked = dict.fromkeys([*(part_name(side, "train") for side in stored), *chain(*pairs)])

    def count(part: str, name: str) -> int:
        side, split = side_and_split(part)
        return by_category[side][name].get(split, 0)

    problems = []
    for side, split in map(side_and_split, asked):
        if not totals_of(manifest, stored[side]).get(split):
            problems.append(f"no {split} {_ITEMS[stored[side]]}; {_remedy(stored[side], split)}")
    # The middle 90 % of two sketches is none of them: such a class has no centre.
    few = [
        name
        for name in manifest.categories
        if stored.get(SKETCH) == "strokes" and name not in kept_out and count("train", name) < 3
    ]
    if few:
        problems.append(
            f"fewer than 3 training sketches of {some(few)}; leave these categories out"
        )
    problems += [
        f"no category has both {gallery} and {queries} {_both(queries, gallery)}: nothing to score"
        for queries, gallery in pairs
        if not any(
            count(gallery, name) and count(queries, name)
            for name in manifest.categories
            if name in kept_out or not kept_out
        )
    ]
    if config.evaluation.posterior_bits and not can_choose(manifest, stored, unseen):
        problems.append(
            f"no {least_to_choose(stored)}, by which evaluation.posterior_bits are chosen; "
            f"{_remedy([*stored.values()][-1], 'validation')}"
        )
    if problems:
        raise DataError(f"{folder} cannot be trained with: " + "; ".join(problems))
    return manifest
