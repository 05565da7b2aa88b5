"""Two data sets as their authors' archives unpack: Sketchy and TU-Berlin, base and extended.

Their folders are found, their categories brought to one name on both sides, and their numbers
compared with those that are known. A difference is reported, not refused: copies in circulation
differ, and papers print yet other numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sketchjax.data.class_lists import class_list, letters
from sketchjax.data.sources.categories import canonical, some
from sketchjax.data.sources.pictures.collection import (
    PHOTO,
    RASTER,
    STROKES,
    Collection,
    folders_of,
)
from sketchjax.data.sources.pictures.layout import PAIRS, add_tables, is_picture_folder
from sketchjax.errors import DataError

# The rendering in which a sketch keeps the size and place that it has in its photo.
SKETCHY_VIEW = "tx_000000000000"
_READY = "_ready"  # as some copies call a folder of pictures that were resized


@dataclass(frozen=True)
class Known:
    """The folders and numbers of a set.

    title: for messages.
    folders: where its parts are, by kind and part: the first that is there is read.
    names: what its categories are called, by their letters.
    counts: the numbers of its parts when it is whole; source: of these.
    """

    title: str
    folders: Mapping[tuple[str, str], tuple[str, ...]]
    names: Mapping[str, str]
    counts: Mapping[str, int]
    source: str


def known_set(root: Path) -> Known | None:
    """The set whose layout a folder has; None where it is another folder.

    A folder with photo/CATEGORY or sketch/CATEGORY is one of the user's own, whatever else it has.
    """
    if any((_top(root) / side / f"{SKETCHY_VIEW}{end}").is_dir() for side, end in _VIEWS):
        return sketchy()
    if is_picture_folder(root):
        return None
    for name in ("ImageResized", f"ImageResized{_READY}", "png", f"png{_READY}", "svg"):
        if (root / name).is_dir():
            folders = [letters(folder.name) for folder in folders_of(root / name)]
            known = sum(name in tu_berlin().names for name in folders)
            if folders and known >= 0.9 * len(folders):
                return tu_berlin()
    return None


def read_known(
    root: Path, known: Known, splits: tuple[str, ...], names: dict[str, str]
) -> Collection:
    """Read a set.

    known: which one.
    splits: the names of splits that a splits.csv next to its folders may use.
    names: categories that are to have another name than the set's.
    Raises DataError where a folder cannot be read, or a category is not the set's.
    """
    found, counts = Collection(root), Counter[str]()
    own = {canonical(key): names.get(name, name) for key, name in _spellings(root, known).items()}
    for (side, part), places in known.folders.items():
        folder = next((root / place for place in places if (root / place).is_dir()), None)
        if folder is None:
            continue
        before = len(found.items)
        if part == "extended photos":
            _add_extended(found, folder, own)
        else:
            found.add_side(folder, side, own)
        counts[part] = len(found.items) - before
        found.notes.append(f"{known.title}: {part} from {folder.relative_to(root).as_posix()}")
    found.sort()
    found.notes += _other_views(root)
    add_tables(found, splits, own)
    if PAIRS not in found.tables:
        _pair_by_name(found, known)
    found.notes += _compare(known, counts)
    return found


def _add_extended(found: Collection, folder: Path, names: dict[str, str]) -> None:
    """Add the extended photos, without those whose category and name the base set has.

    12,499 of Sketchy's 12,500 photos are in both folders; a gallery that has them twice raises
    figures of instances and of precision at k.
    """
    base = {(item.category, item.stem) for item in found.items.values() if item.kind == PHOTO}
    extended = Collection(found.root)
    extended.add_side(folder, "photo", names)
    new = {
        name: item
        for name, item in extended.items.items()
        if (item.category, item.stem) not in base
    }
    found.items.update(new)
    repeated = extended.items.keys() - new.keys()
    if repeated:
        found.left_out["photo of the base set again, by category and name"] += len(repeated)
    found.repeated |= repeated | extended.repeated
    found.faults += extended.faults
    found.left_out += extended.left_out
    found.passed_over += extended.passed_over


def _pair_by_name(found: Collection, known: Known) -> None:
    """Pair the sketches whose name is a photo's and a number: n02691156_10151-3.png."""
    if known.title != "Sketchy":
        return
    photos = {(i.category, i.stem): name for name, i in found.items.items() if i.kind == PHOTO}
    without = 0
    for name, item in found.items.items():
        if item.kind in (RASTER, STROKES):
            photo = photos.get((item.category, item.stem.rpartition("-")[0]))
            if photo is None:
                without += 1
            else:
                found.pairs[name] = photo
    if without:
        found.notes.append(f"Sketchy: {without:,} sketches whose photo is not here")


def _compare(known: Known, counts: Counter[str]) -> list[str]:
    """How the numbers of the parts that are here differ from the known ones."""
    notes = []
    for part, wanted in known.counts.items():
        if part in counts and counts[part] != wanted:
            numbers = f"{counts[part]:,} {part}, {wanted:,} known"
            notes.append(f"{known.title}: {numbers} ({known.source})")
    return notes


def _spellings(root: Path, known: Known) -> dict[str, str]:
    """The name in the set of every category folder, by the folder's name.  Raises DataError."""
    spellings, unknown = {}, set()
    for places in known.folders.values():
        for place in places:
            if (root / place).is_dir():
                for folder in folders_of(root / place):
                    name = known.names.get(letters(folder.name))
                    if name is None:
                        unknown.add(folder.name)
                    else:
                        spellings[folder.name] = canonical(name)
    if unknown:
        raise DataError(
            f"{root} looks like {known.title}, but has folders that are not categories of it: "
            f"{some(sorted(unknown))}; move them elsewhere, or rename them"
        )
    return spellings


def _other_views(root: Path) -> list[str]:
    """The renderings of Sketchy that are not read."""
    others = {
        folder.name.removesuffix(_READY)
        for side in ("photo", "sketch")
        if (_top(root) / side).is_dir()
        for folder in folders_of(_top(root) / side)
        if folder.name.startswith("tx_")
    } - {SKETCHY_VIEW}
    return [f"Sketchy: renderings that are not read: {', '.join(sorted(others))}"] if others else []


def _top(root: Path) -> Path:
    return root / "256x256" if (root / "256x256").is_dir() else root


def _names(of: str) -> dict[str, str]:
    return {letters(name): name for name in class_list(of)}


_VIEWS = [(side, end) for side in ("photo", "sketch") for end in ("", _READY)]


@cache
def sketchy() -> Known:
    """The Sketchy Database (Sangkloy et al. 2016), with the photos that Liu et al. 2017 added."""

    def view(side: str) -> tuple[str, ...]:
        return tuple(
            f"{top}{side}/{SKETCHY_VIEW}{end}" for top in ("256x256/", "") for end in ("", _READY)
        )

    extended = tuple(
        f"{top}{name}{end}"
        for top in ("", "256x256/")
        for name in ("EXTEND_image_sketchy", "extended_photo")
        for end in ("", _READY)
    )
    return Known(
        "Sketchy",
        {
            ("photo", "photos"): view("photo"),
            ("sketch", "raster sketches"): view("sketch"),
            ("sketch", "stroke sketches"): ("sketches", "sketches-06-04/sketches"),
            ("photo", "extended photos"): extended,
        },
        _names("sketchy"),
        {
            "photos": 12_500,
            "raster sketches": 75_481,
            "stroke sketches": 75_481,
            "extended photos": 60_502,
        },
        "counted in issue 25 of AnjanDutta/sem-pcyc; papers print 75,471 or 75,479 sketches",
    )


@cache
def tu_berlin() -> Known:
    """TU-Berlin (Eitz et al. 2012), with the photos that Zhang et al. 2016 collected."""
    # As the archive of photos calls them; the others agree by their letters.
    misspelt = {
        "mouse": "mouse (animal)",
        "pipe": "pipe (for smoking)",
        "spacesshuttle": "space shuttle",
        "wristwatching": "wrist-watch",
        "tromobone": "trombone",
        "chandeler": "chandelier",
        "griaffe": "giraffe",
        "diamod": "diamond",
        "spidar": "spider",
    }
    return Known(
        "TU-Berlin",
        {
            ("sketch", "raster sketches"): ("png", f"png{_READY}", "sketches"),
            ("sketch", "stroke sketches"): ("svg",),
            ("photo", "photos"): ("ImageResized", f"ImageResized{_READY}", "images"),
        },
        {**_names("tu-berlin"), **misspelt},
        {"raster sketches": 20_000, "stroke sketches": 20_000, "photos": 204_070},
        "counted in issue 25 of AnjanDutta/sem-pcyc; papers print 204,489 photos",
    )
