"""The data folder of a run: made of the config's source where needed, and fit to train with."""

import time
from pathlib import Path

from sketchjax.config import Config
from sketchjax.data.folder.conversion.convert import convert
from sketchjax.data.folder.manifest import NAME, Manifest
from sketchjax.data.folder.shards import check_shards
from sketchjax.errors import ConfigError, DataError


def prepare_data(config: Config, workdir: Path) -> Path:
    """The converted folder: as it is, or made from `data.source`."""
    data = config.data
    folder = Path(data.dir) if data.dir else workdir / "data"
    if (folder / NAME).exists():
        return folder
    if not data.source:
        raise DataError(
            f"{folder} is not a data folder (it has no {NAME}); give data.dir a folder "
            "that `sketchjax convert` made, or data.source the drawings to convert"
        )
    source = draw_synthetic(config, workdir) if data.source == "synthetic" else data.source
    convert(
        [source],
        folder,
        splits=data.split_file or data.splits.to_dict(),
        categories=list(data.categories) or None,
        recognized_only=data.recognized_only,
        max_per_category=data.max_per_category or None,
        shards=data.shards,
        seed=config.seed,
        on_bad=data.on_bad,
    )
    return folder


def await_data(config: Config, workdir: Path) -> Path:
    """The folder that another process of this run prepares, once it is whole."""
    folder = Path(config.data.dir) if config.data.dir else workdir / "data"
    while not (folder / NAME).exists():
        time.sleep(0.2)
    return folder


def check_categories(config: Config, manifest: Manifest) -> None:
    """Raise ConfigError where `data.categories` asks for some that the data folder lacks."""
    lacking = [name for name in config.data.categories if name not in manifest.categories]
    if lacking:
        shown = ", ".join(lacking[:5]) + (f" and {len(lacking) - 5} more" if lacking[5:] else "")
        raise ConfigError(
            f"data.categories: the data has no {shown}; it has "
            f"{', '.join(manifest.categories[:8])}, ... (a folder that was converted without them "
            "has to be converted again)"
        )


def draw_synthetic(config: Config, workdir: Path) -> Path:
    """Ordinary ndjson files of synthetic doodles, which then go the way of all drawings."""
    # Its programs are compiled when imported: nothing for runs on real drawings.
    from sketchjax.data.sources import doodles as synthetic

    folder = workdir / "drawings"
    synthetic.write(
        folder,
        per_category=config.data.synthetic_per_category,
        seed=config.seed,
        categories=config.data.categories or None,
    )
    return folder


def check_data(folder: Path, queries: str) -> Manifest:
    """The folder's manifest, when a run can come to its end with it: known before any training.

    queries: the split that asks. Raises DataError naming the shards that are not what was written
    (0.3 s for QuickDraw-3.8M's 500 MB), or the splits and categories that lack sketches.
    """
    manifest = check_shards(folder)
    by_category = manifest.counts_by_category
    problems = [
        f"no {split} sketches; give data.splits.{split} some, or name them in data.split_file"
        for split in ("train", "gallery", queries)
        if not manifest.counts.get(split)
    ]
    # The middle 90 % of two sketches is none: such a class has no centre.
    few = [name for name, counts in by_category.items() if counts.get("train", 0) < 3]
    if few:
        shown = ", ".join(few[:5]) + (f" and {len(few) - 5} more" if len(few) > 5 else "")
        problems.append(f"less than 3 training sketches of {shown}; leave those categories out")
    if not any(counts.get("gallery") and counts.get(queries) for counts in by_category.values()):
        problems.append(f"no category with both gallery and {queries} sketches: nothing to score")
    if problems:
        raise DataError(f"{folder} cannot be trained with: " + "; ".join(problems))
    return manifest
