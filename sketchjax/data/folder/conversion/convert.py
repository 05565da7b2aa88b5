"""Stroke files of any known format into a data folder: ArrayRecord shards and a manifest.

Two passes over a pool of processes. The first reads each file into a compact piece on disk
(`pieces`); then the splits are decided over all sketches (`plan`); the second gathers, measures the
image entropy and writes, shard by shard (`pack`). Pieces and finished shards survive a kill and are
used again; `manifest.json` is written last. Memory: 120 bytes a sketch at the decision (6 GB for
the 50 million drawings of QuickDraw), and 250 MB a process. Disk: all points once more, 140 bytes
a sketch, in `OUT/.partial` until the end.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from rich.console import Console
from rich.progress import Progress

from sketchjax.data import entropy
from sketchjax.data import sources as formats
from sketchjax.data.folder.conversion import pack
from sketchjax.data.folder.conversion.pieces import Filters, Piece, is_whole, piece_name, read_piece
from sketchjax.data.folder.conversion.plan import Plan, Selection, make_plan
from sketchjax.data.folder.conversion.progress import Bar, progress_bars
from sketchjax.data.folder.conversion.summary import bad_records, summarize
from sketchjax.data.folder.conversion.workers import Pool
from sketchjax.data.folder.manifest import NAME, Manifest, differences
from sketchjax.data.folder.manifest_rules import SHARD_PATTERN
from sketchjax.data.folder.record import RECORD_VERSION
from sketchjax.data.folder.splits import SPLITS, SplitRule, split_rule
from sketchjax.errors import ConfigError, DataError

PARTIAL = ".partial"


def convert(
    sources: Iterable[str | Path],
    out: str | Path,
    *,
    splits: SplitRule | Mapping[str, float] | str | Path | None = None,
    categories: Sequence[str] | None = None,
    recognized_only: bool = False,
    min_per_category: int = 0,
    max_per_category: int | None = None,
    shards: int = 8,
    seed: int = 0,
    on_bad: str = "stop",
    workers: int | None = None,
    progress: bool = True,
) -> Manifest:
    """Convert sketch files and folders of them into the data folder `out`.

    splits: counts (int) or fractions (float) of each category by split, or a CSV `key_id,split`;
      None is `splits.DEFAULT_FRACTIONS`. What it guarantees when files are added: see `splits`.
    categories: use these alone. recognized_only: use only what is known to be recognised.
    min_per_category: leave out categories with fewer sketches; max_per_category: use at most so
      many of each, chosen by hash.
    on_bad: "stop" raises DataError at the first bad record and when a category has too few
      sketches; "skip" goes on, counts and lists them in the manifest.
    workers: processes; None is one for each core at hand, 1 works in this process.
    The same sources, settings and seed give the same bytes, whatever the workers. A folder that
    holds the same conversion already is left as it is.
    Raises DataError for bad input and for a folder that holds another conversion, ConfigError for
    settings that cannot be.
    """
    _check(shards, on_bad, min_per_category, max_per_category, workers)
    out = Path(out)
    console = Console(stderr=True, quiet=not progress)
    skip, rule = on_bad == "skip", split_rule(splits)
    chosen = None if categories is None else tuple(sorted(set(categories)))
    filters = Filters(chosen, recognized_only)
    selection = Selection(rule, seed, shards, min_per_category, max_per_category, chosen, skip)
    paths, strangers = _find(sources, out, skip)
    names = _names([*paths, *strangers])
    settings = _settings(selection, filters, on_bad)
    listed = [{"name": names[path], "bytes": path.stat().st_size} for path in sorted(names)]
    finished = _finished(out, settings, listed)
    if finished is not None:
        console.print(f"{out} holds this conversion already: nothing to do")
        return finished
    processes = workers or len(os.sched_getaffinity(0))
    with _working_folder(out) as partial, progress_bars(console) as bars, Pool(processes) as pool:
        pieces = _read_all(paths, names, partial, filters, skip, pool, bars)
        plan = make_plan(pieces, selection)
        packed = _pack_all(plan, pieces, out, partial, settings, pool, bars)
        bad, bad_listed = bad_records(pieces, [names[path] for path in strangers])
        manifest = summarize(plan, packed, settings, listed, bad, bad_listed)
        _remove_stale(out, manifest)
        manifest.save(out)
    return manifest


def _check(shards, on_bad, minimum, maximum, processes) -> None:
    problems = []
    if not 1 <= shards <= 99_999:
        problems.append(f"shards={shards}: from 1 to 99,999 can be")
    if on_bad not in ("stop", "skip"):
        problems.append(f"on_bad={on_bad!r}: it is 'stop' or 'skip'")
    if minimum < 0:
        problems.append(f"min_per_category={minimum}: 0 or more")
    if maximum is not None and maximum < 1:
        problems.append(f"max_per_category={maximum}: 1 or more")
    if processes is not None and processes < 1:
        problems.append(f"workers={processes}: 1 or more")
    if problems:
        raise ConfigError(problems)


def _find(sources: Iterable[str | Path], out: Path, skip: bool) -> tuple[list[Path], list[Path]]:
    """The sketch files among the sources, and (when skipping) named files of no known format."""
    known, strangers = [], []
    for source in map(Path, sources):
        named = source.name.lower().endswith(formats.EXTENSIONS)
        (strangers if skip and source.is_file() and not named else known).append(source)
    paths = [path for path in formats.find(known) if out.absolute() not in path.absolute().parents]
    return paths, sorted(set(strangers))


def _names(paths: Sequence[Path]) -> dict[Path, str]:
    """Names for messages and manifest: relative to the folder that holds all, so that the same
    drawings elsewhere give the same bytes."""
    top = os.path.commonpath([path.absolute().parent for path in paths])
    return {path: path.absolute().relative_to(top).as_posix() for path in paths}


def _settings(selection: Selection, filters: Filters, on_bad: str) -> dict[str, Any]:
    """Everything that decides the bytes, besides the sources."""
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
    }


def _finished(out: Path, settings: dict[str, Any], sources: list[dict]) -> Manifest | None:
    """The manifest of a finished conversion in `out`, None when there is none.

    Raises DataError when it is another conversion than the one asked.
    """
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; name a folder to write to")
    if not (out / NAME).exists():
        return None
    manifest = Manifest.load(out)
    lines = differences(manifest.settings, settings)
    there = {source["name"]: source["bytes"] for source in manifest.sources}
    asked = {source["name"]: source["bytes"] for source in sources}
    lines += differences(there, asked, "source file ")
    if lines:
        shown = [f"  - {line}" for line in lines[:10]]
        shown += [f"  - and {len(lines) - 10} more"] if len(lines) > 10 else []
        raise DataError(
            f"{out} holds another conversion; name another folder, or delete it first. "
            "They differ in:\n" + "\n".join(shown)
        )
    for shard in (shard for split in manifest.shards.values() for shard in split):
        path = out / shard.name
        if not path.is_file() or path.stat().st_size != shard.bytes:
            raise DataError(f"{path} is missing or cut short; delete {out} and convert again")
    return manifest


@contextmanager
def _working_folder(out: Path) -> Iterator[Path]:
    """The folder of what is not finished, locked against a second conversion to the same place.

    It is removed at the end, and kept after an error or a kill.
    """
    partial = out / PARTIAL
    try:
        partial.mkdir(parents=True, exist_ok=True)
        lock = (partial / "lock").open("w")
    except OSError as error:
        raise DataError(f"cannot write to {out}: {error.strerror}; check the folder") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(f"another conversion is writing to {out}; wait for its end") from error
        try:
            yield partial
        except OSError as error:
            raise DataError(f"cannot write to {out}: {error}; what is finished is kept") from error
        shutil.rmtree(partial)


def _read_all(
    paths: Sequence[Path],
    names: Mapping[Path, str],
    partial: Path,
    filters: Filters,
    skip: bool,
    pool: Pool,
    bars: Progress,
) -> list[Piece]:
    """First pass: a piece of every file, in the order of the files."""
    folder = partial / "pieces"
    folder.mkdir(exist_ok=True)
    bases = [folder / piece_name(path, filters, skip) for path in paths]
    known = {base.name for base in bases}
    for stale in folder.iterdir():
        if stale.stem not in known:
            stale.unlink()
    missing = [number for number, base in enumerate(bases) if not is_whole(base)]
    # The largest first, so that no worker is left alone with one at the end.
    missing.sort(key=lambda number: -paths[number].stat().st_size)
    bar = Bar(bars, "reading", "files", len(paths), len(paths) - len(missing))
    tasks = (
        (read_piece, (paths[number], names[paths[number]], bases[number], filters, skip))
        for number in missing
    )
    for _ in pool.run(tasks, bar.sketches):
        bar.finished()
    return [Piece.load(base) for base in bases]


def _pack_all(
    plan: Plan,
    pieces: Sequence[Piece],
    out: Path,
    partial: Path,
    settings: dict[str, Any],
    pool: Pool,
    bars: Progress,
) -> dict[str, list[tuple[pack.Packed, np.ndarray]]]:
    """Second pass: every shard, by split; each with the entropies of its sketches."""
    identity = orjson.dumps([settings, [piece.base.name for piece in pieces]])
    notes = partial / f"shards-{hashlib.sha256(identity).hexdigest()[:32]}"
    for stale in set(partial.glob("shards-*")) - {notes}:
        shutil.rmtree(stale)
    notes.mkdir(exist_ok=True)
    bases = [piece.base for piece in pieces]
    listed = list(plan.shard_rows())
    packed = {name: pack.kept(out / name, notes) for _, name, _ in listed}
    missing = [(name, rows) for _, name, rows in listed if packed[name] is None]
    bar = Bar(bars, "writing", "shards", len(listed), len(listed) - len(missing))
    tasks = ((pack.pack_shard, (out / name, notes, rows, bases)) for name, rows in missing)
    for index, result in pool.run(tasks, bar.sketches):
        packed[missing[index][0]] = result
        bar.finished()
    found: dict[str, list] = {split: [] for split in SPLITS}
    for split, name, _ in listed:
        found[split].append((packed[name], pack.kept_entropies(name, notes)))
    return found


def _remove_stale(out: Path, manifest: Manifest) -> None:
    """Delete shards that a stopped conversion with other settings left behind."""
    current = {shard.name for split in manifest.shards.values() for shard in split}
    for path in out.iterdir():
        if SHARD_PATTERN.fullmatch(path.name) and path.name not in current:
            path.unlink()
