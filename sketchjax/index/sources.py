"""What an index is made from: sketch files, data folders, runs, encoded folders, and photos.

A source gives its drawings in parts, always the same ones, so that interrupted work resumes where a
part ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np
import orjson

from sketchjax.data.feed.items import totals_of
from sketchjax.data.folder import manifest as manifests
from sketchjax.data.folder.shards import Shards
from sketchjax.data.folder.splits import SPLITS
from sketchjax.data.sketch import Sketches
from sketchjax.data.sources import BadRecord, read, survey
from sketchjax.errors import DataError
from sketchjax.export.description import is_exported
from sketchjax.index.encoded import CODES, EncodedFolder
from sketchjax.index.photos import PhotoSource, PictureShardSource, find_photos
from sketchjax.models.card import FILE
from sketchjax.retrieval.outputs import Encoder, Outputs
from sketchjax.wording import counted

PART = 8192  # drawings of a part: a kill costs at most this many
# (name, total) -> a context that gives the function to call as drawings are done.
Task = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
Note = Callable[[str], None]


class Source(Protocol):
    """Drawings of one place.

    name: of it, for people.
    key: that identifies it: its path, absolute and without links; of a data folder, its split too.
    paths: files whose content says whether it is still the same.
    """

    name: str

    @property
    def key(self) -> str: ...

    @property
    def paths(self) -> Sequence[Path]: ...

    def count(self) -> int:
        """How many drawings there are; may read all of them."""
        ...

    def parts(self, encoder: Encoder, start: int) -> Iterator[tuple[Sketches, Outputs]]:
        """The drawings from number `start`, where a part began, with their outputs."""
        ...


class _OneFile:
    """A source that a file identifies."""

    path: Path

    @property
    def key(self) -> str:
        """See `Source`."""
        return str(self.path.resolve())

    @property
    def paths(self) -> Sequence[Path]:
        """The file."""
        return [self.path]


class FileSource(_OneFile):
    """A sketch file in any form that `data.sources` reads.

    on_bad: called with each bad record; None: the first one raises DataError.
    note: gets what the reader decided.
    """

    def __init__(
        self, path: Path, name: str, on_bad: Callable[[BadRecord], None] | None, note: Note
    ):
        self.path, self.name = path, name
        self._on_bad, self._note = on_bad, note

    def count(self) -> int:
        """Drawings that can be read. All are, so that bad ones end the work before it begins."""
        reading = read(self.path, on_bad=self._on_bad, chunk=PART)
        total = sum(map(len, reading))
        for note in reading.notes:
            self._note(f"{self.name}: {note}")
        return total

    def parts(self, encoder: Encoder, start: int) -> Iterator[tuple[Sketches, Outputs]]:
        """See `Source`."""
        done = 0
        ignored = None if self._on_bad is None else lambda _: None
        for sketches in read(self.path, on_bad=ignored, chunk=PART):
            if done >= start:
                yield sketches, encoder.outputs(sketches)
            done += len(sketches)


class FolderSource(_OneFile):
    """A split of a data folder."""

    def __init__(self, folder: Path, split: str):
        self.path, self._split = folder / manifests.NAME, split
        self.name = f"{folder.resolve().name}/{split}"
        self._shards = Shards(folder, split)
        if not len(self._shards):
            counts = self._shards.manifest.counts
            others = ", ".join(name for name in SPLITS if counts.get(name)) or "none in any split"
            raise DataError(f"{folder} has no strokes in its split {split}; it has {others}")

    @property
    def key(self) -> str:
        """See `Source`."""
        return f"{super().key}:{self.name}"

    @property
    def manifest(self) -> manifests.Manifest:
        """Of the data folder."""
        return self._shards.manifest

    def count(self) -> int:
        """Drawings of the split."""
        return len(self._shards)

    def parts(self, encoder: Encoder, start: int) -> Iterator[tuple[Sketches, Outputs]]:
        """See `Source`."""
        names = self._shards.manifest.categories
        with self._shards as shards:
            for first in range(start, len(shards), PART):
                records = shards.read(np.arange(first, min(first + PART, len(shards))))
                sketches = Sketches(
                    points=records.points,
                    offsets=records.offsets,
                    categories=[names[label] for label in records.labels.tolist()],
                    key_ids=records.key_ids,
                    recognized=np.full(len(records.labels), -1, np.int8),
                    places=records.index,
                )
                yield sketches, encoder.outputs(sketches)


class EncodedSource(_OneFile):
    """What `sketchjax encode` wrote: nothing is encoded again."""

    def __init__(self, folder: Path, model: str):
        self.path, self.name = folder / CODES, folder.resolve().name
        self._folder = EncodedFolder(folder)
        if self._folder.model != model:
            raise DataError(
                f"{folder} was encoded by model {self._folder.model[:12]} and the index is for "
                f"model {model[:12]}; encode it with the same model"
            )

    def count(self) -> int:
        """Drawings of the folder."""
        return len(self._folder)

    def parts(self, encoder: Encoder, start: int) -> Iterator[tuple[Sketches, Outputs]]:
        """See `Source`."""
        del encoder
        for first in range(start, len(self._folder), PART):
            yield self._folder.read(first, min(first + PART, len(self._folder)))


def find_sources(
    paths: Sequence[Path], encoder: Encoder, *, split: str, skip_bad: bool, note: Note
) -> list[Source]:
    """The sources that paths of a command line name.

    paths: sketch files, folders of them, data folders, workdirs of finished runs, folders that
      `sketchjax encode` wrote, and folders of photos.
    encoder: of the index.
    split: of data folders and runs.
    skip_bad: whether bad records are left out; by default the first one raises DataError.
    note: gets what was decided, line by line.
    Returns each source once, however often it is named.
    Raises DataError where a path is none of these or has no drawings.
    """
    sources: list[Source] = []
    files = []
    for path in paths:
        if (path / manifests.NAME).is_file():
            sources.append(_split_of(path, split, encoder, note))
        elif (path / CODES).is_file():
            sources.append(EncodedSource(path, encoder.fingerprint))
        elif is_workdir(path):
            sources.append(_split_of(data_folder_of(path), split, encoder, note))
        elif "photo" in encoder.reads and (found := _photos_of(path, skip_bad, note)):
            sources.append(found)
        else:
            files.append(path)
    if files:
        found = survey(files)
        for line in found.notes():
            note(line)
        same_name = Counter(path.name for path in found.paths)
        for path in found.paths:
            name = path.name if same_name[path.name] == 1 else str(path)
            skipped = _Skipped(name, note) if skip_bad else None
            sources.append(FileSource(path, name, skipped, note))
    once = {source.key: source for source in reversed(sources)}
    for source in sources:
        if once[source.key] is not source:
            note(f"{source.name} is named more than once: taken once")
    return [source for source in sources if once[source.key] is source]


def _photos_of(path: Path, skip_bad: bool, note: Note) -> PhotoSource | None:
    """The photos of a folder, if it has any."""
    photos, faults = find_photos(path)
    skipped = _Skipped(path.name, note) if skip_bad else None
    for fault in faults:
        if skipped is None:
            raise DataError(
                f"{path}/{fault}; fix or remove it, or leave bad files out (--on-bad skip)"
            )
        skipped(BadRecord(path / fault.file, fault.place or 0, fault.kind, str(fault)))
    return PhotoSource(path, photos, skipped) if photos else None


def _split_of(folder: Path, split: str, encoder: Encoder, note: Note) -> Source:
    """What a model finds in a split of a data folder: the photos, if it reads photos.

    A model of raster sketches finds these where there are no photos.
    """
    for kind in ("photo", "raster"):
        if kind not in encoder.reads:
            continue
        pictures = PictureShardSource(folder, kind, split)
        if pictures.count():
            _say_what_is_left(pictures, kind, pictures.manifest, split, note)
            return pictures
    drawings = FolderSource(folder, split)
    _say_what_is_left(drawings, "strokes", drawings.manifest, split, note)
    return drawings


def _say_what_is_left(
    source: Source, kind: str, manifest: manifests.Manifest, split: str, note: Note
) -> None:
    """Note how much of a data folder a source leaves out: other splits, and sketches of photos.

    kind: of the items that it takes, as manifests name them.
    """
    count, every = source.count(), sum(totals_of(manifest, kind).values())
    one, many = ("photo", "photos") if kind == "photo" else ("sketch", "sketches")
    taken = counted(count, one, many)
    if count < every:
        taken = f"{count:,} of the {every:,} {many} of all splits"
    sketches = any(totals_of(manifest, drawn).get(split) for drawn in ("strokes", "raster"))
    left_out = kind == "photo" and sketches
    if count < every or left_out:
        note(f"{source.name}: {taken}" + "; its sketches are left out" * left_out)


def encode_sources(
    sources: Sequence[Source], encoder: Encoder, task: Task
) -> Iterator[tuple[str, Sketches, Outputs]]:
    """All drawings of sources with the name of their source and what the model makes of them."""
    counts = [source.count() for source in sources]
    with task("encoding", sum(counts)) as advance:
        for source, count in zip(sources, counts, strict=True):
            for sketches, outputs in source.parts(encoder, 0) if count else ():
                yield source.name, sketches, outputs
                advance(len(sketches))


def is_workdir(path: Path) -> bool:
    """Whether this is the workdir of a run, or what `sketchjax recode` wrote for one length."""
    return (path / "config.json").is_file() or _is_recoded(path)


def _is_recoded(path: Path) -> bool:
    return (path / FILE).is_file() and (path / "results.json").is_file()


def data_folder_of(workdir: Path) -> Path:
    """The data folder of a run.  Raises DataError when it has none, or has not finished."""
    if is_exported(workdir):
        raise DataError(
            f"{workdir} is an exported model, without drawings; make an index of some with it: "
            f"sketchjax index INDEX SOURCE... --model {workdir}"
        )
    if not (workdir / "results.json").is_file():
        raise DataError(
            f"the run in {workdir} has not finished; rerun its command with the same --workdir "
            "first"
        )
    path = workdir / "config.json"
    try:
        if _is_recoded(workdir) and not path.is_file():
            path = workdir / "results.json"
            return Path(orjson.loads(path.read_bytes())["config"]["data"]["dir"]).expanduser()
        named = dict(orjson.loads(path.read_bytes()))["data.dir"]
        return Path(named).expanduser() if named else workdir / "data"
    except (orjson.JSONDecodeError, TypeError, ValueError, KeyError) as error:
        raise DataError(f"{path} cannot be read as a run's config ({error!r})") from error


class _Skipped:
    """Notes the first few bad records of a file."""

    def __init__(self, name: str, note: Note):
        self._name, self._note, self._count = name, note, 0

    def __call__(self, bad: BadRecord) -> None:
        self._count += 1
        if self._count <= 3:
            self._note(f"{self._name}: left out {bad.place}: {bad.reason}")
        elif self._count == 4:
            self._note(f"{self._name}: and more")
