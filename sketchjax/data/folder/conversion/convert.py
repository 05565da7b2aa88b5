"""Convert sketch files and pictures to a data folder: ArrayRecord shards and a manifest.

There are two passes over a pool of processes. The first reads each file into a compact piece on
disk (`pieces`). Then the splits are decided over all sketches (`plan`). The second pass gathers the
sketches of each shard, measures their image entropy and writes them (`pack`). Pieces and finished
shards survive a kill and are used again; `manifest.json` is written last.

Memory: 70 bytes per sketch when the splits are decided (3.5 GB for the 50 million drawings of
QuickDraw), and 250 MB per process. Disk: a second copy of all points, 140 bytes per sketch, in
`OUT/.partial` until the end. Photos and raster sketches go the same way next to the
strokes (`with_pictures`).
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from rich.console import Console
from rich.progress import Progress

from sketchjax.data import entropy
from sketchjax.data import sources as formats
from sketchjax.data.folder.conversion import pack
from sketchjax.data.folder.conversion.origin import Origin, check_unchanged, entries
from sketchjax.data.folder.conversion.output import (
    check_out,
    finished,
    remove_stale,
    working_folder,
)
from sketchjax.data.folder.conversion.picture_options import PictureOptions
from sketchjax.data.folder.conversion.pieces import (
    Bundle,
    Filters,
    Piece,
    is_whole,
    piece_name,
    read_piece,
)
from sketchjax.data.folder.conversion.plan import Plan, Selection, make_plan, no_sketches
from sketchjax.data.folder.conversion.summary import bad_records, decisions, summarize
from sketchjax.data.folder.conversion.with_pictures import (
    Pictured,
    picture_sources,
)
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.record import RECORD_VERSION
from sketchjax.data.folder.splits import SPLITS, SplitRule, split_rule
from sketchjax.data.progress import Bar, progress_bars
from sketchjax.data.workers import Pool, cores
from sketchjax.errors import ConfigError, DataError

NO_FILES = formats.Survey([])


def convert(
    sources: Iterable[str | Path],
    out: str | Path,
    *,
    splits: SplitRule | Mapping[str, float] | str | Path | None = None,
    categories: Sequence[str] | None = None,
    unseen: Sequence[str] = (),
    recognized_only: bool = False,
    min_per_category: int = 0,
    max_per_category: int | None = None,
    shards: int = 8,
    seed: int = 0,
    on_bad: str = "stop",
    workers: int | None = None,
    progress: bool = True,
    photo_options: PictureOptions | None = None,
) -> Manifest:
    """Convert sketch files, pictures, and folders of them to the data folder `out`.

    The same sources, settings and seed give the same bytes for any number of workers. A folder that
    already holds the same conversion is left as it is.

    sources: sketch files, and folders of them at any depth; picture folders and archives
      (`sources.pictures`).
    out: the folder to write.
    splits: counts (int) or fractions (float) of each category by split, or a CSV `key_id,split`;
      None is `splits.DEFAULT_FRACTIONS`. `splits` says what holds when files are added.
    categories: use only these, in any spelling that `sources.canonical` knows; None uses all.
    unseen: categories that are kept out of training, which need no training sketches.
    recognized_only: use only drawings that the game is known to have recognised.
    min_per_category: leave out categories with fewer sketches.
    max_per_category: use at most this many of each category, chosen by hash; None uses all.
    shards: files per split.
    seed: the key of the splits and of the order.
    on_bad: "stop" raises DataError at the first bad record, and if a category has too few
      sketches; "skip" continues and records them in the manifest.
    workers: processes; None is one per available core, 1 works in this process.
    progress: whether to show progress bars on stderr.
    photo_options: how pictures are kept and divided; None is the default.
    Raises DataError for bad input and for a folder that holds another conversion, ConfigError for
    invalid settings, InUseError where another process converts to `out`, and DiskError.
    """
    _check(shards, on_bad, min_per_category, max_per_category, workers)
    out = Path(out)
    check_out(out)
    console = Console(stderr=True, quiet=not progress)
    skip, rule = on_bad == "skip", split_rule(splits)
    chosen = None if categories is None else _canonical(categories)
    filters = Filters(chosen, recognized_only)
    options = photo_options or PictureOptions()
    plain, pictured = picture_sources(sources)
    found, strangers = _find(plain, out, skip) if plain or not pictured else (NO_FILES, [])
    names = _names([*found.paths, *strangers, *pictured])
    pictures = Pictured(pictured, names, options, chosen, skip)
    bundles = [*_bundles(found.paths, names), *pictures.bundles()]
    selection = Selection(
        pictures.rule(rule),
        seed,
        shards,
        min_per_category,
        max_per_category,
        chosen or (),
        _canonical(unseen),
        skip,
        pictured=pictures.categories,
    )
    settings = _settings(selection, filters, on_bad) | pictures.settings()
    origins = [bundle.origin for bundle in bundles] + pictures.origins()
    origins += [Origin(names[path], (path,)) for path in strangers]
    origins.sort(key=lambda origin: origin.name)
    done = finished(out, settings, origins)
    if done is not None:
        console.print(f"{out} already holds this conversion: nothing to do")
        return done
    states = [origin.states() for origin in origins]
    pool = Pool(workers or cores())
    with working_folder(out) as partial, progress_bars(console) as bars, pool:
        pieces = _read_all(bundles, partial, filters, skip, pool, bars)
        pictures.read(partial, pool, bars)
        selection = pictures.plan(pieces, selection)
        paths = {bundle.name: bundle.paths[0] for bundle in bundles}
        plan = make_plan(pieces, selection, paths) if pieces else no_sketches(shards)
        plan = pictures.joined(plan)
        packed = _pack_all(plan, pieces, out, partial, settings, pool, bars)
        files = entries(origins, pool, bars)
        bad, bad_listed = bad_records(pieces, [names[path] for path in strangers], plan)
        decided = decisions(pieces, plan)
        counts = found.counts()
        manifest = summarize(plan, packed, settings, files, bad, bad_listed, decided, counts)
        manifest = pictures.pack(manifest, plan, out, partial, pool, bars)
        check_unchanged(origins, states)
        remove_stale(out, manifest)
        manifest.save(out)
    alike = [", ".join(map(repr, names)) for names in formats.look_alike(manifest.categories)]
    notes = [
        *found.notes(),
        *(f"{name}: {text}" for name, texts in manifest.decisions.items() for text in texts),
        *(f"categories that look alike: {group}; if they are one, rename it" for group in alike),
    ]
    for text in notes:
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    return manifest


def _check(shards, on_bad, minimum, maximum, processes) -> None:
    rules = (
        (1 <= shards <= 99_999, f"shards={shards}: must be 1 to 99,999"),
        (on_bad in ("stop", "skip"), f"on_bad={on_bad!r}: must be 'stop' or 'skip'"),
        (minimum >= 0, f"min_per_category={minimum}: must be at least 0"),
        (maximum is None or maximum >= 1, f"max_per_category={maximum}: must be at least 1"),
        (processes is None or processes >= 1, f"workers={processes}: must be at least 1"),
    )
    if problems := [text for right, text in rules if not right]:
        raise ConfigError(problems)


def _canonical(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({*map(formats.canonical, names)}))


def _find(
    sources: Iterable[str | Path], out: Path, skip: bool
) -> tuple[formats.Survey, list[Path]]:
    """The sketch files among the sources and, with `skip`, named files of no known format."""
    known, strangers = [], []
    for source in map(Path, sources):
        named = source.name.lower().endswith(formats.EXTENSIONS)
        (strangers if skip and source.is_file() and not named else known).append(source)
    if not known and strangers:
        raise DataError(
            f"{strangers[0]}: unknown format; known are {', '.join(formats.EXTENSIONS)}"
        )
    return formats.survey(known, skip=out), sorted(set(strangers))


def _bundles(paths: Sequence[Path], names: Mapping[Path, str]) -> list[Bundle]:
    """What becomes one piece each, in the order of the paths: SVG files go by their folder."""
    bundles, folders = [], dict[Path, list[Path]]()
    for path in paths:
        if path.name.lower().endswith(formats.SVG):
            folders.setdefault(_plain(path).parent, []).append(path)
        else:
            bundles.append(Bundle(names[path], (path,)))
    for folder, inside in folders.items():
        name = Path(names[inside[0]]).parent.as_posix()
        category = formats.category_of_name(folder)
        bundles.append(Bundle(name, tuple(inside), category))
    return bundles


def _names(paths: Sequence[Path]) -> dict[Path, str]:
    """Names for messages and manifest: relative to the folder that holds all of them, so that the
    same drawings elsewhere give the same bytes."""
    top = os.path.commonpath([_plain(path).parent for path in paths])
    return {path: _plain(path).relative_to(top).as_posix() for path in paths}


def _plain(path: Path) -> Path:
    """The whole path, without `..`; links keep their own names."""
    return Path(os.path.abspath(path))


def _settings(selection: Selection, filters: Filters, on_bad: str) -> dict[str, Any]:
    """Everything that decides the bytes, except the sources."""
    return {
        "splits": selection.rule.settings(),
        "seed": selection.seed,
        "shards": selection.shards,
        "categories": None if filters.categories is None else list(filters.categories),
        "recognized_only": filters.recognized_only,
        "min_per_category": selection.min_per_category,
        "max_per_category": selection.max_per_category,
        "on_bad": on_bad,
        "entropy": {
            "size": pack.ENTROPY_SIZE,
            "stroke_width": entropy.STROKE_WIDTH,
            "keep": pack.ENTROPY_KEEP,
        },
        "record_version": RECORD_VERSION,
        # Younger than version 1 of the manifest, which stays as it was.
        **({"unseen": list(selection.unseen)} if selection.unseen else {}),
    }


def _read_all(
    bundles: Sequence[Bundle],
    partial: Path,
    filters: Filters,
    skip: bool,
    pool: Pool,
    bars: Progress,
) -> list[Piece]:
    """First pass: one piece per bundle, in their order."""
    folder = partial / "pieces"
    folder.mkdir(exist_ok=True)
    bases = [folder / piece_name(bundle, filters, skip) for bundle in bundles]
    known = {base.name for base in bases}
    for stale in folder.iterdir():
        if stale.stem not in known:
            stale.unlink()
    missing = [number for number, base in enumerate(bases) if not is_whole(base)]
    # The largest first, so that the workers finish at about the same time.
    missing.sort(key=lambda number: -bundles[number].bytes)
    bar = Bar(bars, "reading", "files", len(bundles), len(bundles) - len(missing))
    tasks = ((read_piece, (bundles[number], bases[number], filters, skip)) for number in missing)
    for _ in pool.run(tasks, bar.sketches):
        bar.finished()
    return [Piece.load(base, bundle.name) for base, bundle in zip(bases, bundles, strict=True)]


def _pack_all(
    plan: Plan,
    pieces: Sequence[Piece],
    out: Path,
    partial: Path,
    settings: dict[str, Any],
    pool: Pool,
    bars: Progress,
) -> dict[str, list[tuple[pack.Packed, np.ndarray]]]:
    """Second pass: the shards by split, each with the entropies of its sketches."""
    identity = hashlib.sha256(orjson.dumps([settings, [piece.base.name for piece in pieces]]))
    # Settings and pieces decide the plan, but for SVG sketches, which go where their photos go.
    identity.update(plan.rows.view(np.uint8).data)
    identity.update(plan.edges.data)
    notes = partial / f"shards-{identity.hexdigest()[:32]}"
    for stale in set(partial.glob("shards-*")) - {notes}:
        shutil.rmtree(stale)
    notes.mkdir(exist_ok=True)
    bases = [piece.base for piece in pieces]
    shards = list(plan.shard_rows())
    packed = {name: pack.kept(out / name, notes) for _, name, _ in shards}
    missing = [(name, rows) for _, name, rows in shards if packed[name] is None]
    bar = Bar(bars, "writing", "shards", len(shards), len(shards) - len(missing))
    tasks = ((pack.pack_shard, (out / name, notes, rows, bases)) for name, rows in missing)
    for index, result in pool.run(tasks, bar.sketches):
        packed[missing[index][0]] = result
        bar.finished()
    found: dict[str, list] = {split: [] for split in SPLITS}
    for split, name, _ in shards:
        found[split].append((packed[name], pack.kept_entropies(name, notes)))
    return found
