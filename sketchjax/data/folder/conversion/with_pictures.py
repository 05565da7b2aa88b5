"""The pictures of a conversion, from their sources to the manifest, next to the strokes.

Sketches of picture folders that are SVG files become strokes: their splits and the photos that they
draw come from here, all else is as for other drawings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.progress import Progress

from sketchjax.data.folder.conversion import picture_notes
from sketchjax.data.folder.conversion.origin import Origin
from sketchjax.data.folder.conversion.picture_options import PictureOptions
from sketchjax.data.folder.conversion.picture_pack import index_of, pack_pictures
from sketchjax.data.folder.conversion.picture_pieces import (
    PicturesFound,
    load_pictures,
    picture_piece_name,
    portions,
    read_pictures,
)
from sketchjax.data.folder.conversion.picture_plan import (
    Kept,
    PicturePlan,
    check_names,
    ordered,
    plan_pictures,
)
from sketchjax.data.folder.conversion.pieces import Bundle, Piece
from sketchjax.data.folder.conversion.plan import Plan, Selection
from sketchjax.data.folder.index import Index, write_index
from sketchjax.data.folder.manifest import Manifest, PictureSet, Shard, shard_name
from sketchjax.data.folder.splits import SPLITS, NamedFirst, SplitRule
from sketchjax.data.progress import Bar
from sketchjax.data.sources import pictures
from sketchjax.data.sources.finding import passed_over
from sketchjax.data.sources.pictures import PHOTO, RASTER, STROKES, Collection
from sketchjax.data.sources.pictures.tables import read_names
from sketchjax.data.workers import Pool
from sketchjax.errors import DataError


def picture_sources(sources: Iterable[str | Path]) -> tuple[list[Path], list[Path]]:
    """The sources of sketch files, and those of pictures."""
    plain, pictured = [], []
    for source in map(Path, sources):
        (pictured if pictures.is_pictures(source) else plain).append(source)
    return plain, list(dict.fromkeys(pictured))


class Pictured:
    """The pictures of a conversion."""

    def __init__(
        self,
        sources: Sequence[Path],
        names: Mapping[Path, str],
        options: PictureOptions,
        chosen: Sequence[str] | None,
        skip: bool,
    ):
        """Read what the sources hold.

        names: what each is called in messages and in the manifest.
        chosen: use only these categories; None uses all.
        skip: whether to continue after what cannot be used.
        Raises DataError where a source cannot be read or, without `skip`, anything in it cannot be
        used; ConfigError for invalid options.
        """
        if sources:
            options.check()
        self._names, self._options, self._skip = names, options, skip
        renamed = read_names(options.names) if sources and options.names else {}
        self._collections = [pictures.collect(source, SPLITS, renamed) for source in sources]
        check_names(self._collections, names)
        for found in self._collections:
            self._choose(found, chosen)
            if found.faults and not skip:
                raise DataError(picture_notes.faulty(names[found.root], found))
        self._pieces: list[tuple[str, Path, PicturesFound]] = []
        self._plan = PicturePlan()
        self._categories: list[str] = []

    @staticmethod
    def _choose(found: Collection, chosen: Sequence[str] | None) -> None:
        if chosen is None:
            return
        kept = {name: item for name, item in found.items.items() if item.category in chosen}
        found.left_out["pictures of other categories"] += len(found.items) - len(kept)
        found.items = kept

    @property
    def categories(self) -> frozenset[str]:
        """All categories of the sources."""
        return frozenset(i.category for found in self._collections for i in found.items.values())

    def bundles(self) -> list[Bundle]:
        """The SVG sketches, by folder."""
        bundles = []
        for found in self._collections:
            folders: dict[tuple[Path, str], list[pictures.Item]] = {}
            for item in found.of(STROKES):
                folders.setdefault((item.path.parent, item.category), []).append(item)
            for (_, category), items in folders.items():
                name = f"{self._names[found.root]}/{items[0].name.rpartition('/')[0]}"
                paths, keys = zip(*((item.path, item.id) for item in items), strict=True)
                bundles.append(Bundle(name, paths, category, keys))
        return bundles

    def rule(self, others: SplitRule) -> SplitRule:
        """The rule of the strokes; `plan` fills in the SVG sketches' splits."""
        return NamedFirst({}, others) if self._collections else others

    def settings(self) -> dict[str, Any]:
        """Everything that decides the pictures, except their files; empty where there are none."""
        if not self._collections:
            return {}
        options = self._options
        tables = {self._names[found.root]: found.tables for found in self._collections}
        return {
            "pictures": {
                "validation": options.validation,
                "names": read_names(options.names) if options.names else None,
                "both_sides": options.both_sides,
                **asdict(options.look),
                "tables": tables,
            }
        }

    def origins(self) -> list[Origin]:
        """The pictures' files, by folder, as the manifest names them."""
        origins = []
        for found in self._collections:
            title = self._names[found.root]
            if found.root.is_file():
                origins.append(Origin(title, (found.root,)))
                continue
            folders: dict[str, list[Path]] = {}
            for item in found.of(PHOTO, RASTER):
                folder = f"{title}/{item.name.rpartition('/')[0]}"
                folders.setdefault(folder, []).append(item.path)
                if item.contour is not None and self._options.look.contours == "files":
                    folder = f"{title}/contour/{item.contour.parent.name}"
                    folders.setdefault(folder, []).append(item.contour)
            origins += [Origin(name, tuple(paths), folder=True) for name, paths in folders.items()]
        return origins

    def read(self, partial: Path, pool: Pool, bars: Progress) -> None:
        """First pass: the pictures' pieces."""
        if not self._collections:
            return
        folder = partial / "pictures"
        folder.mkdir(exist_ok=True)
        look = self._options.look
        work = {
            folder / picture_piece_name(items, look, self._skip): (items, self._names[found.root])
            for found in self._collections
            for items in portions(found.of(PHOTO, RASTER))
        }
        done = {base: load_pictures(base) for base in work}
        missing = [base for base, found in done.items() if found is None]
        bar = Bar(bars, "pictures", "parts", len(work), len(work) - len(missing), "pictures")
        tasks = ((read_pictures, (*work[base], base, look, self._skip)) for base in missing)
        for index, _ in pool.run(tasks, bar.sketches):
            base = missing[index]
            done[base] = load_pictures(base)
            bar.finished()
        self._pieces = [
            (work[base][1], base, found) for base, found in done.items() if found is not None
        ]

    def plan(self, pieces: Sequence[Piece], selection: Selection) -> Selection:
        """Decide the pictures' splits; the selection of the strokes that goes with them."""
        rule = selection.rule
        if not isinstance(rule, NamedFirst):
            return selection
        self._plan = plan_pictures(
            self._collections,
            self._names,
            [(base, found) for _, base, found in self._pieces],
            self._digests(pieces),
            rule.others,
            self._options.validation,
            selection.seed,
        )
        items = [item for found in self._collections for item in found.of(STROKES)]
        named = {item.id: self._plan.split.get(item.name) for item in items}
        selection = replace(selection, rule=NamedFirst(named, rule.others))
        if self._options.both_sides:
            sketched = {name for piece in pieces for name in piece.found.categories}
            shared = (sketched | self._plan.categories(False)) & self._plan.categories(True)
            self._plan.only(shared)
            return replace(selection, photos=frozenset(shared))
        return selection

    def _digests(self, pieces: Sequence[Piece]) -> dict[str, int]:
        """By name, a digest of the points of each sketch of strokes."""
        names = {item.id: item.name for found in self._collections for item in found.of(STROKES)}
        return {
            names[key]: digest
            for piece in pieces
            if names
            for key, digest in piece.index()[["key_id", "digest"]].tolist()
            if key in names
        }

    def joined(self, plan: Plan) -> Plan:
        """The plan of the strokes with the categories of both.  Raises DataError if none is."""
        if not self._collections:
            return plan
        mine = {kept.item.category for kept in self._plan.kept}
        self._categories = sorted({*plan.categories, *mine})
        if not self._categories:
            left_out = self._plan.left_out.items()
            reasons = [f"{number:,} {reason}" for reason, number in left_out if number]
            notes = [note for own in self._collections for note in passed_over(own.passed_over)]
            raise DataError(
                f"no picture is left to convert: {'; '.join(reasons + notes) or 'none found'} "
                "(pictures are read from photo/CATEGORY/NAME.jpg and sketch/CATEGORY/NAME.png)"
            )
        return plan.relabelled(self._categories)

    def pack(
        self, manifest: Manifest, plan: Plan, out: Path, partial: Path, pool: Pool, bars: Progress
    ) -> Manifest:
        """Second pass: write the pictures' shards and indexes; the manifest with them in it."""
        if not self._collections:
            return manifest
        kinds = {"photo": PHOTO, "raster": RASTER}
        sets = {
            title: self._pack_kind(title, kind, plan.shards, manifest, out, partial, pool, bars)
            for title, kind in kinds.items()
        }
        bad, bad_listed, left_out = picture_notes.counts(
            manifest, self._collections, self._names, [one for *_, one in self._pieces], self._plan
        )
        notes = {}
        for title, own in self._plan.notes.items():
            found = [one for source, _, one in self._pieces if source == title]
            notes[title] = [*own, *picture_notes.doubts(found), *picture_notes.changes(found)]
        first = next(iter(notes))
        notes[first] += picture_notes.one_sided(plan, self._plan)
        passed_over = Counter(manifest.passed_over)
        for found in self._collections:
            passed_over.update(found.passed_over)
        return msgspec.structs.replace(
            manifest,
            pictures={title: made for title, made in sets.items() if made is not None},
            instances=self._index_strokes(plan, out),
            bad=bad,
            bad_listed=bad_listed,
            left_out=left_out,
            decisions=manifest.decisions | {t: texts for t, texts in notes.items() if texts},
            passed_over=dict(sorted(passed_over.items())),
        )

    def _pack_kind(
        self,
        title: str,
        kind: str,
        shards: int,
        manifest: Manifest,
        out: Path,
        partial: Path,
        pool: Pool,
        bars: Progress,
    ) -> PictureSet | None:
        """Write the pictures of one kind; None where there are none."""
        labels = {name: label for label, name in enumerate(self._categories)}
        seed = manifest.settings["seed"]
        kept = [one for one in self._plan.kept if one.item.kind == kind]
        if not kept:
            return None
        by_split: dict[str, list[list[Kept]]] = {}
        for split in SPLITS:
            own = [one for one in kept if self._plan.split[one.item.name] == split]
            by_split[split] = ordered(own, seed, shards) if own else []
        files = [
            (out / shard_name(f"{title}-{split}", number, shards), rows)
            for split, parts in by_split.items()
            for number, rows in enumerate(parts)
        ]
        bar = Bar(bars, title, "shards", len(files), 0, "pictures")
        made: dict[str, Shard] = {}
        tasks = (
            (pack_pictures, (path, partial, rows, labels, self._plan.instance))
            for path, rows in files
        )
        for index, shard in pool.run(tasks, bar.sketches):
            made[files[index][0].name] = shard
            bar.finished()
        names = iter(path.name for path, _ in files)
        flat = {split: [one for part in parts for one in part] for split, parts in by_split.items()}
        by_category = {name: dict.fromkeys(flat, 0) for name in self._categories}
        for split, rows in flat.items():
            for row in rows:
                by_category[row.item.category][split] += 1
        return PictureSet(
            counts={split: len(rows) for split, rows in flat.items()},
            counts_by_category=by_category,
            shards={s: [made[next(names)] for _ in parts] for s, parts in by_split.items()},
            indexes={
                split: write_index(
                    out, f"{title}-{split}-index.json", index_of(rows, labels, self._plan.instance)
                )
                for split, rows in flat.items()
                if rows
            },
        )

    def _index_strokes(self, plan: Plan, out: Path) -> dict[str, Any]:
        """Write which photo each sketch of strokes draws, where a source has such sketches."""
        names = {item.id: item.name for found in self._collections for item in found.of(STROKES)}
        written = {}
        for split in SPLITS if names else ():
            rows = plan.split_rows(split)
            if not len(rows):
                continue
            own = [names.get(key, "") for key in rows["key_id"].tolist()]
            instances = [self._plan.instance.get(name, -1) for name in own]
            index = Index(
                rows["key_id"], rows["label"].astype(np.int32), np.array(instances, np.int64), own
            )
            written[split] = write_index(out, f"{split}-index.json", index)
        return written
