"""The layout of a picture folder.

    photo/CATEGORY/NAME.jpg, .png or .webp      pairs.csv: sketch,photo,category
    sketch/CATEGORY/NAME.svg, .png or others    splits.csv: path,split
    contour/CATEGORY/NAME.png

Either side may be missing, and each table. Paths in the tables start at the folder.
"""

from __future__ import annotations

from pathlib import Path

from sketchjax.data.sources.categories import canonical
from sketchjax.data.sources.pictures.collection import PHOTO, Collection, Item
from sketchjax.data.sources.pictures.tables import read_table

PAIRS, SPLITS_FILE, CONTOUR = "pairs.csv", "splits.csv", "contour"
_SIDES = ("photo", "sketch")
_HINTS = 10  # a message lists that many faults; a hint takes a look at all names


def is_picture_folder(path: Path) -> bool:
    """Whether a folder has one of the two sides."""
    return any((path / side).is_dir() for side in _SIDES)


def read_folder(root: Path, splits: tuple[str, ...], names: dict[str, str]) -> Collection:
    """Read a picture folder.

    splits: the names of splits that its table may use.
    names: categories that have another name than their folder's.
    Raises DataError where a folder or a table cannot be read.
    """
    found = Collection(root)
    for side in _SIDES:
        if (root / side).is_dir():
            found.add_side(root / side, side, names)
    _add_contours(found)
    found.sort()
    add_tables(found, splits, names)
    known = {*_SIDES, PAIRS, SPLITS_FILE, CONTOUR}
    others = sorted(path.name for path in root.iterdir() if path.name not in known)
    if others := [name for name in others if not name.startswith(".")]:
        more = f" and {len(others) - 8} more" if len(others) > 8 else ""
        found.notes.append(f"not part of the picture folder: {', '.join(others[:8])}{more}")
    return found


def add_tables(found: Collection, splits: tuple[str, ...], names: dict[str, str]) -> None:
    """Read pairs.csv and splits.csv, where a folder has them, into its collection.

    splits, names: as for `read_folder`.
    """
    if (found.root / PAIRS).is_file():
        _add_pairs(found, found.root / PAIRS, names)
    if (found.root / SPLITS_FILE).is_file():
        _add_splits(found, found.root / SPLITS_FILE, splits)


def _add_contours(found: Collection) -> None:
    """Give each photo the contour map of its category and name, where there is one."""
    folder = found.root / CONTOUR
    if not folder.is_dir():
        return
    for name, item in list(found.items.items()):
        if item.kind == PHOTO:
            path = folder / item.path.parent.name / f"{item.stem}.png"
            if path.is_file():
                found.items[name] = Item(name, PHOTO, item.category, item.path, contour=path)


def _add_pairs(found: Collection, path: Path, names: dict[str, str]) -> None:
    """Read which sketch draws which photo."""
    table = read_table(path, ("sketch", "photo", "category"))
    found.tables[PAIRS] = table.digest
    gone = {fault.file for fault in found.faults} | found.repeated
    for line, (sketch, photo, category) in table.rows:
        category = canonical(category)
        missing = [name for name in (sketch, photo) if name not in found.items]
        if missing:
            if not gone.intersection(missing):  # what was found, but cannot be used, is reported
                found.fault(PAIRS, "missing", _missing(found, missing[0]), line)
        elif found.items[photo].kind != PHOTO or found.items[sketch].kind == PHOTO:
            reason = "the first column is a sketch, the second a photo"
            found.fault(PAIRS, "unreadable", reason, line)
        elif found.items[photo].category != found.items[sketch].category:
            found.fault(PAIRS, "unreadable", "the two files are in different categories", line)
        elif category and names.get(category, category) != found.items[photo].category:
            reason = f"the category is {category[:50]!r}, but the files are in another"
            found.fault(PAIRS, "unreadable", reason, line)
        elif found.pairs.setdefault(sketch, photo) != photo:
            found.fault(PAIRS, "repeated", f"{sketch} draws another photo too; keep one", line)


def _missing(found: Collection, name: str) -> str:
    """A path that is no item: of a table written elsewhere, or with other letters."""
    if len(found.faults) >= _HINTS:
        return f"there is no file {name[:200]!r}"
    end = "/".join(name.replace("\\", "/").split("/")[-3:]).casefold()
    near = next((own for own in found.items if own.casefold() == end), None)
    hint = f"; write {near!r}: paths start at the folder" if near else ""
    return f"there is no file {name[:200]!r}{hint}"


def _add_splits(found: Collection, path: Path, splits: tuple[str, ...]) -> None:
    """Read the split of each file."""
    table = read_table(path, ("path", "split"))
    found.tables[SPLITS_FILE] = table.digest
    found.splits = {}
    gone = {fault.file for fault in found.faults} | found.repeated
    for line, (name, split) in table.rows:
        if split not in splits:
            reason = f"split {split[:30]!r} is not one of {', '.join(splits)}"
            found.fault(SPLITS_FILE, "unreadable", reason, line)
        elif name not in found.items:
            if name not in gone:
                found.fault(SPLITS_FILE, "missing", _missing(found, name), line)
        elif found.splits.setdefault(name, split) != split:
            found.fault(SPLITS_FILE, "repeated", f"{name} is in two splits; keep one", line)
