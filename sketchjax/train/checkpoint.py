"""Checkpoints: the state through orbax, the progress next to it, and a sha256 of every file.

A checkpoint is a folder `STEP` that appears whole or not at all. It is valid only if all its files
are what was written (`train.intact`). One that is not is renamed to `STEP.bad`, to be looked at,
and the one before it is used.
"""

import os
import re
import shutil
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax
import orjson

from sketchjax.errors import CheckpointError, on_disk
from sketchjax.files import sync_folder
from sketchjax.train.arrays import describe, differences, load_arrays, save_arrays
from sketchjax.train.intact import check, seal

PROGRESS = "progress.json"
_NUMBER = re.compile(r"0|[1-9][0-9]*", re.ASCII)
_HIDDEN = re.compile(r"\.([0-9]+)\.(?:[0-9a-f]+\.)?(partial|removed|replaced)", re.ASCII)


@dataclass
class Progress:
    """What a checkpoint holds besides the state: where the run is, and what it has measured.

    stage: name of the stage that the state belongs to.
    feed: position of its feed, in blocks.
    data: sha256 of the data folder's manifest.
    teacher: the fingerprint of `train.teacher`; empty without one.
    seconds_total: of all work that led here, over all calls of the run.
    seconds: of training, by stage.
    sketches: that were trained with, by stage.
    skipped: steps that were not finite, by stage.
    scores: of the stages that were evaluated.
    losses: of the stage's last dispatches.
    detours: how often a stage went back after a spike of its loss (`train.spike`).
    pretrained: the parts that came trained, by top-level name.
    """

    stage: str = ""
    feed: int = 0
    data: str = ""
    seconds_total: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    sketches: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    detours: dict[str, int] = field(default_factory=dict)
    pretrained: list[str] = field(default_factory=list)
    teacher: str = ""


class Checkpoints:
    """The folder of a run's checkpoints; a checkpoint's number is the run's step.

    folder: created if it does not exist.
    keep: how many are kept.
    active: False in every process but 0; these write nothing.

    A thread writes one checkpoint at a time while training continues.
    """

    def __init__(self, folder: Path, *, keep: int, active: bool = True):
        self.folder, self.keep, self.active = folder, keep, active
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None
        if active:
            with on_disk(f"{folder} cannot be used"):
                folder.mkdir(parents=True, exist_ok=True)
                self._clear_away()
                # While it is open, no other folder can get its inode.
                self._opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_) -> None:
        """Wait until the last save is complete; nothing can be saved after that."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()
            if self.active:
                os.close(self._opened)

    def steps(self) -> list[int]:
        """The numbers of all checkpoints in rising order, valid or not, but not set aside."""
        with on_disk(f"{self.folder} cannot be read"):
            return sorted(int(name) for name in self._names() if _NUMBER.fullmatch(name))

    def latest(self) -> tuple[int, Progress, list[str]] | None:
        """Number and progress of the newest valid checkpoint; None if there never was one.

        The third item has one line for each newer one that is not valid; these are set aside.
        Raises CheckpointError when there are or were checkpoints but none is valid, and DiskError
        when one cannot be read for another reason.
        """
        refused: list[str] = []
        for step in reversed(self.steps()):
            path = self.folder / str(step)
            try:
                check(path, step)
            except CheckpointError as error:
                refused.append(f"checkpoint {step} is not valid: {error}{self._set_aside(step)}")
            else:
                return step, _read_progress(path), refused
        bad = [name for name in self._names() if re.fullmatch(r"[0-9]+\.bad", name)]
        if not refused and not bad:
            return None
        refused = refused or [f"all checkpoints of this run were not valid: {', '.join(bad)}"]
        remedy = f"no valid checkpoint remains; delete {self.folder} to train from the start"
        raise CheckpointError("\n".join([*refused, remedy]))

    def restore(self, step: int, like: Any) -> Any:
        """The state of a checkpoint, on the first device.

        step: its number.
        like: a state with the same structure, or its shapes and types.
        Raises CheckpointError when the checkpoint holds other arrays, naming the first that differ,
        or is not what was written.
        """
        path = self.folder / str(step)
        differing = differences(check(path, step)["arrays"], describe(like))
        if differing:
            shown = [f"  - {line}" for line in differing[:5]]
            shown += [f"  - and {len(differing) - 5} more"] if len(differing) > 5 else []
            raise CheckpointError(
                f"{path} does not fit this config's model; use another --workdir, or the config "
                "and the version that it was made with. They differ in:\n" + "\n".join(shown)
            )
        with on_disk(f"{path} cannot be read"):
            return load_arrays(path.resolve() / "state", like)

    def save(self, step: int, state: Any, progress: Progress) -> None:
        """Start a save; returns when its data are copied and the previous save is complete.

        step: the run's, which is the checkpoint's number.
        state: of the current stage.
        progress: of the run.
        Raises what went wrong with the previous save: DiskError when the disk refused it.
        """
        if not self.active:
            return
        self.wait()
        # Both change while the thread writes, so it gets copies.
        content = orjson.dumps(asdict(progress))
        self._writing = self._thread.submit(self._write, step, jax.device_get(state), content)

    def wait(self) -> None:
        """Wait until the last save is complete; raises what went wrong with it."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def _write(self, step: int, state: Any, progress: bytes) -> None:
        # A new name each time: a thread of tensorstore may still write to that of a failed attempt.
        partial = self.folder.resolve() / f".{step}.{uuid.uuid4().hex}.partial"
        try:
            with on_disk(f"checkpoint {step} cannot be saved in {self.folder}"):
                self._still_there()
                partial.mkdir()
                (partial / PROGRESS).write_bytes(progress)
                save_arrays(partial / "state", state)
                # If the folder vanished, orbax made it again, but this file is then missing.
                (partial / PROGRESS).stat()
                seal(partial, step, describe(state))
                self._still_there()
                self._put(partial, step)
                self._prune(step)
        finally:
            # A failed save must not fill the disk.
            shutil.rmtree(partial, ignore_errors=True)

    def _still_there(self) -> None:
        """Raise OSError when the folder has vanished or another has taken its place.

        Nothing is ever written to another run's folder.
        """
        if not os.path.samestat(os.stat(self.folder), os.fstat(self._opened)):
            raise FileNotFoundError(2, "another folder has taken its place", str(self.folder))

    def _put(self, partial: Path, step: int) -> None:
        """Give a finished checkpoint its name. An older one of that number stays until then."""
        path, replaced = self.folder / str(step), self.folder / f".{step}.replaced"
        if os.path.lexists(path):
            os.replace(path, replaced)
        os.replace(partial, path)
        sync_folder(self.folder)
        if os.path.lexists(replaced):
            _delete(replaced)

    def _prune(self, newest: int) -> None:
        """Delete what is older than the newest `keep` valid checkpoints.

        Damaged ones in between are left for `latest` to report.
        """
        kept = 1
        for step in reversed([step for step in self.steps() if step < newest]):
            if kept < self.keep:
                with suppress(CheckpointError):
                    check(self.folder / str(step), step)
                    kept += 1
            else:
                # Renamed first, so that no checkpoint is ever seen half deleted.
                hidden = self.folder / f".{step}.removed"
                os.replace(self.folder / str(step), hidden)
                _delete(hidden)

    def _set_aside(self, step: int) -> str:
        """Rename a checkpoint that is not valid; returns how to say so in a message."""
        if not self.active:
            return ""
        path, aside = self.folder / str(step), self.folder / f"{step}.bad"
        with on_disk(f"{path} cannot be set aside"):
            if os.path.lexists(aside):
                _delete(aside)
            os.replace(path, aside)
            sync_folder(self.folder)
        return f"; set aside as {aside.name}"

    def _clear_away(self) -> None:
        """Delete what a killed process left half done, and restore what it was about to replace."""
        for name in self._names():
            if (match := _HIDDEN.fullmatch(name)) is None:
                continue
            path = self.folder / match[1]
            if match[2] == "replaced" and not os.path.lexists(path):
                os.replace(self.folder / name, path)
            else:
                _delete(self.folder / name)

    def _names(self) -> list[str]:
        return sorted(os.listdir(self.folder)) if self.folder.exists() else []


def _read_progress(path: Path) -> Progress:
    """The progress of a valid checkpoint."""
    content = orjson.loads((path / PROGRESS).read_bytes())
    try:
        return Progress(**content)
    except TypeError as error:
        raise CheckpointError(
            f"{path} was written by another version of sketchjax ({error}); resume with that "
            "version, or use another --workdir"
        ) from error


def _delete(path: Path) -> None:
    """Delete a folder or a file."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
