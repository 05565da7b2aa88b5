"""Which picture becomes which record: splits, instances and order of photos and raster sketches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sketchjax.data.folder.conversion.picture_pieces import PicturesFound
from sketchjax.data.folder.hashing import keyed_hash
from sketchjax.data.folder.splits import SPLITS, Fractions, SplitRule, band_of
from sketchjax.data.sources.pictures import PHOTO, STROKES, Collection, Item
from sketchjax.data.sources.pictures.collection import number_of
from sketchjax.errors import ConfigError, DataError

_VALIDATION_KEY = 0x7661  # no other draw from the seed uses it
_TOGETHER = {"train": "train", "validation": "validation", "gallery": "query"}  # photo: sketch


@dataclass(frozen=True, slots=True)
class Kept:
    """One picture that can be used: where its bytes are, and what it is."""

    item: Item
    base: Path
    start: int
    picture: int
    contour: int


@dataclass
class PicturePlan:
    """The pictures of a conversion.

    split: by name, of all items that are in one, those of strokes too.
    instance: by name, the photo's number; items that draw no known photo are not there.
    kept: the pictures that are in a split.
    notes, left_out: as in `Collection`.
    """

    split: dict[str, str] = field(default_factory=dict)
    instance: dict[str, int] = field(default_factory=dict)
    kept: list[Kept] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)

    def categories(self, photos: bool) -> set[str]:
        """The categories of the photos, or of the raster sketches."""
        return {kept.item.category for kept in self.kept if (kept.item.kind == PHOTO) == photos}

    def only(self, categories: Iterable[str]) -> None:
        """Leave out the pictures of all other categories."""
        wanted = {*categories}
        before = len(self.kept)
        self.kept = [kept for kept in self.kept if kept.item.category in wanted]
        self.left_out["pictures of a category on one side only"] += before - len(self.kept)


def check_names(collections: Sequence[Collection], names: Mapping[Path, str]) -> None:
    """Raise DataError where two sources have a picture of one name: ids would be the same."""
    seen: dict[int, tuple[str, str]] = {}
    for found in collections:
        for name, item in found.items.items():
            where = seen.setdefault(item.id, (names[found.root], name))
            if where != (names[found.root], name):
                raise DataError(
                    f"{name} is in {names[found.root]} and in {where[0]}: pictures of one name "
                    "cannot be in one data folder; convert the sources into two"
                )


def plan_pictures(
    collections: Sequence[Collection],
    names: Mapping[Path, str],
    pieces: Sequence[tuple[Path, PicturesFound]],
    drawings: Mapping[str, int],
    rule: SplitRule,
    validation: float,
    seed: int,
) -> PicturePlan:
    """Decide splits and instances.

    collections: the sources; names: what they are called.
    pieces: the base and content of each.
    drawings: by name, a digest of the points of each sketch of strokes.
    rule: divides pictures whose source has no splits.
    validation: the share of a source's training pictures that become the validation split, by a
      hash of the photo's name, so that a photo and its sketches stay together.
    seed: the key of all hashes.
    Raises ConfigError where the rule cannot divide pictures.
    """
    plan = PicturePlan()
    usable = _usable(pieces)
    every = {name: item for found in collections for name, item in found.items.items()}
    copies = _copies(every, pieces, drawings)
    keys_of = _split_keys(collections)
    drawn = {sketch: photo for found in collections for sketch, photo in found.pairs.items()}
    number = 0
    for found in collections:
        title = names[found.root]
        plan.notes[title] = found.all_notes()
        plan.left_out.update(found.left_out)
        items = {
            name: item
            for name, item in found.items.items()
            if item.kind == STROKES or name in usable
        }
        for name, item in items.items():
            if item.kind == PHOTO:
                plan.instance[name] = number
                number += 1
        pairs = {
            sketch: photo
            for sketch, photo in found.pairs.items()
            if sketch in items and photo in items
        }
        plan.instance.update({sketch: plan.instance[photo] for sketch, photo in pairs.items()})
        firsts = {name: copies.get(name, name) for name in items}
        photos = [drawn.get(name) or drawn.get(first, first) for name, first in firsts.items()]
        keys = np.array([keys_of[copies.get(name, name)] for name in photos], np.uint64)
        split = _splits(found, items, keys, rule, validation, seed, plan.notes[title])
        plan.split.update(split)
        plan.notes[title] += _apart(split, pairs)
        plan.notes[title] += _repeated(copies, every, items, plan.split)
        pictures = [usable[name] for name, item in items.items() if item.kind != STROKES]
        chosen = [kept for kept in pictures if kept.item.name in split]
        plan.left_out["pictures in no split"] += len(pictures) - len(chosen)
        plan.kept += [_with_item(kept, items) for kept in chosen]
    return plan


def ordered(kept: Sequence[Kept], seed: int, shards: int) -> list[list[Kept]]:
    """The pictures of one split by shard: a shuffle that depends on names and seed only."""
    ids = np.array([one.item.id for one in kept], np.uint64)
    hashes = keyed_hash(ids, seed)
    parts: list[list[Kept]] = [[] for _ in range(shards)]
    for place in np.argsort(hashes, kind="stable").tolist():
        parts[int(hashes[place] % np.uint64(shards))].append(kept[place])
    return parts


def _usable(pieces: Sequence[tuple[Path, PicturesFound]]) -> dict[str, Kept]:
    """Where the bytes of each usable picture are, by name; the items come later."""
    usable = {}
    for base, found in pieces:
        start = 0
        for name, (picture, contour) in zip(found.names, found.sizes, strict=True):
            item = Item(name, "", "", base)
            usable[name] = Kept(item, base, start, picture, contour)
            start += picture + contour
    return usable


def _copies(
    items: Mapping[str, Item],
    pieces: Sequence[tuple[Path, PicturesFound]],
    drawings: Mapping[str, int],
) -> dict[str, str]:
    """By name, the items with the same bytes or points as one of their kind before; its name."""
    digests = {
        name: digest
        for _, found in pieces
        for name, digest in zip(found.names, found.digests, strict=True)
    }
    digests |= drawings
    first: dict[tuple[str, int], str] = {}
    copies = {}
    for name, item in items.items():
        if name in digests:
            before = first.setdefault((item.kind, digests[name]), name)
            if before != name:
                copies[name] = before
    return copies


def _split_keys(collections: Sequence[Collection]) -> dict[str, int]:
    """By name, a u64 that decides the split of an item: the same for copies in other sets.

    It is a hash of the file's name, and of the category too where files of several categories have
    one name: pictures that are numbered in each category do not all go to one split.
    """
    keys = {}
    for found in collections:
        categories: dict[str, set[str]] = {}
        for item in found.items.values():
            categories.setdefault(item.stem, set()).add(item.category)
        for name, item in found.items.items():
            if item.place >= 0:
                keys[name] = item.id
            elif len(categories[item.stem]) == 1:
                keys[name] = number_of(item.stem)
            else:
                keys[name] = number_of(f"{item.category}/{item.stem}")
    return keys


def _repeated(
    copies: Mapping[str, str],
    every: Mapping[str, Item],
    items: Mapping[str, Item],
    split: Mapping[str, str],
) -> list[str]:
    """A note about pictures and sketches that are there more than once.

    every: the items of all sources.
    items: of this one.
    """
    own = {name: copies[name] for name in items if name in copies}
    if not own:
        return []
    name, first = next(iter(own.items()))
    are = "picture is" if len(own) == 1 else "pictures are"
    text = f"{len(own):,} {are} the same as another, such as {name} and {first}"
    labelled = [
        name for name, first in own.items() if items[name].category != every[first].category
    ]
    apart = [
        name
        for name, first in own.items()
        if name in split and first in split and split[name] != split[first]
    ]
    for names, what in ((labelled, "category"), (apart, "split")):
        if names:
            name = names[0]
            text += f"; in another {what}: {len(names):,}, such as {name} and {own[name]}"
    return [text]


def _with_item(kept: Kept, items: Mapping[str, Item]) -> Kept:
    return Kept(items[kept.item.name], kept.base, kept.start, kept.picture, kept.contour)


def _splits(
    found: Collection,
    items: Mapping[str, Item],
    keys: np.ndarray,
    rule: SplitRule,
    validation: float,
    seed: int,
    notes: list[str],
) -> dict[str, str]:
    """The split of each item that is in one.

    keys: u64[n], what decides it: the same for a photo, its sketches and its copies.
    """
    if found.splits is None:
        return _divided(items, keys, rule, seed, notes)
    split = {name: found.splits[name] for name in items if name in found.splits}
    if "validation" in split.values() or not validation:
        return split
    taken = band_of(keyed_hash(keys, (seed, _VALIDATION_KEY)), [validation]) == 0
    moved = [n for n, t in zip(items, taken.tolist(), strict=True) if t and split.get(n) == "train"]
    split.update(dict.fromkeys(moved, "validation"))
    if moved:
        notes.append(f"validation: {len(moved):,} of the training pictures, by the photo's name")
    return split


def _divided(
    items: Mapping[str, Item], keys: np.ndarray, rule: SplitRule, seed: int, notes: list[str]
) -> dict[str, str]:
    """Splits by shares, where the source has none: a photo's sketches go where it goes."""
    if not isinstance(rule, Fractions):
        raise ConfigError(
            "pictures without splits.csv are divided by shares; give shares for all four splits, "
            "or write splits.csv (path,split)"
        )
    shares = dict(rule.fractions)
    kinds = {item.kind == PHOTO for item in items.values()}
    notes.append("no splits.csv: split by shares, a photo and its sketches together")
    if len(kinds) == 1:  # of one side only: it asks and answers
        widths = [shares.get(name, 0) for name in SPLITS]
        chosen = band_of(keyed_hash(keys, seed), widths)
        return {n: SPLITS[c] for n, c in zip(items, chosen.tolist(), strict=True) if c >= 0}
    held_out = shares.get("gallery", 0) + shares.get("query", 0)
    widths = [shares.get("train", 0), shares.get("validation", 0), held_out]
    chosen = band_of(keyed_hash(keys, seed), widths)
    split = {}
    for (name, item), band in zip(items.items(), chosen.tolist(), strict=True):
        if band >= 0:
            photo = SPLITS[band]  # 2: gallery
            split[name] = photo if item.kind == PHOTO else _TOGETHER[photo]
    return split


def _apart(split: Mapping[str, str], pairs: Mapping[str, str]) -> list[str]:
    """A note about sketches that are not where their photo is."""
    apart = Counter(
        (split[photo], split[sketch])
        for sketch, photo in pairs.items()
        if sketch in split and photo in split and _TOGETHER.get(split[photo]) != split[sketch]
    )
    return [
        f"{count:,} sketches are in {sketch}, their photos in {photo}"
        for (photo, sketch), count in sorted(apart.items())
    ]
