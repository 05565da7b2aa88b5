"""Checkpoints: the state through orbax, the progress beside it, and a sha256 of every file.

A checkpoint is a folder `STEP` that appears whole or not at all. orbax restores a file with a
flipped byte without a word, so a checkpoint counts only when all its files are what was written;
one that does not is passed over for the one before it.
"""

import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import orjson

from sketchjax.errors import CheckpointError
from sketchjax.files import sha256

MANIFEST = "manifest.json"
PROGRESS = "progress.json"


@dataclass
class Progress:
    """What a checkpoint holds beside the state: where the run is, and what it has measured.

    stage: name of the stage that the state belongs to; feed: position of its feed; data: sha256 of
    the data folder's manifest. seconds_total: of all that led here, in every call; seconds,
    sketches: of training, by stage; scores: by stage, of those that are evaluated.
    """

    stage: str = ""
    feed: Any = None
    data: str = ""
    seconds_total: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    sketches: dict[str, int] = field(default_factory=dict)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)


class Checkpoints:
    """The folder of a run's checkpoints; a checkpoint's number is the run's step.

    keep: how many stay. Writing goes on beside the training, one checkpoint at a time.
    active: false in every process but 0, which writes nothing.
    """

    def __init__(self, folder: Path, *, keep: int, active: bool = True):
        self.folder, self.keep, self.active = folder, keep, active
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None
        if active:
            folder.mkdir(parents=True, exist_ok=True)
            for half in folder.glob(".*"):
                shutil.rmtree(half)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_) -> None:
        """Wait until what was started is whole; nothing can be saved after that."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def steps(self) -> list[int]:
        """The numbers of all checkpoints, valid or not, rising."""
        return sorted(int(path.name) for path in self.folder.glob("[0-9]*"))

    def latest(self) -> tuple[int, Progress, list[str]] | None:
        """Number and progress of the newest valid checkpoint; None where there is no checkpoint.

        The third is why newer ones were passed over, a line for each.
        Raises CheckpointError when there are checkpoints but none is valid.
        """
        damaged: list[str] = []
        for step in reversed(self.steps()):
            try:
                check_files(self.folder / str(step))
                content = orjson.loads((self.folder / str(step) / PROGRESS).read_bytes())
                return step, Progress(**content), damaged
            except (CheckpointError, OSError, TypeError, orjson.JSONDecodeError) as error:
                damaged.append(f"checkpoint {step} is not valid: {error}")
        if damaged:
            raise CheckpointError(
                "\n".join([*damaged, f"delete {self.folder} to train from the start"])
            )
        return None

    def restore(self, step: int, like: Any) -> Any:
        """The state of checkpoint `step`, with the structure of `like`, on the first device.

        like: a state, or its shapes and types. Raises CheckpointError when the checkpoint holds
        other arrays, naming the first ones that differ.
        """
        path = self.folder / str(step)
        differing = differences(_read_manifest(path)["arrays"], describe(like))
        if differing:
            shown = [f"  - {line}" for line in differing[:5]]
            shown += [f"  - and {len(differing) - 5} more"] if len(differing) > 5 else []
            raise CheckpointError(
                f"{path} does not fit this config's model; use another --workdir, or the config "
                "and the version that it was made with. They differ in:\n" + "\n".join(shown)
            )
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), like
        )
        with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
            return checkpointer.restore(
                path.resolve() / "state", args=ocp.args.StandardRestore(abstract)
            )

    def save(self, step: int, state: Any, progress: Progress) -> None:
        """Start saving; returns as soon as both are copied and the save before is whole.

        Raises what went wrong with the save before.
        """
        if not self.active:
            return
        self.wait()
        # Both go on changing while the thread writes: what it gets is its own.
        content = orjson.dumps(asdict(progress))
        self._writing = self._thread.submit(self._write, step, jax.device_get(state), content)

    def wait(self) -> None:
        """Wait until what was started is whole; raises what went wrong with it."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def _write(self, step: int, state: Any, progress: bytes) -> None:
        partial = self.folder.resolve() / f".{step}.partial"
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir()
        with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
            checkpointer.save(partial / "state", args=ocp.args.StandardSave(state))
        (partial / PROGRESS).write_bytes(progress)
        files = {str(path.relative_to(partial)): sha256(path) for path in _files(partial)}
        manifest = {"files": files, "arrays": describe(state)}
        (partial / MANIFEST).write_bytes(orjson.dumps(manifest))
        # A damaged one of this number may be there, passed over when the run went on.
        self._remove(step)
        os.replace(partial, self.folder / str(step))
        for old in self.steps()[: -self.keep]:
            self._remove(old)

    def _remove(self, step: int) -> None:
        """Delete a checkpoint; its name goes first, so that none is ever seen half deleted."""
        path, hidden = self.folder / str(step), self.folder / f".{step}.removed"
        if path.exists():
            os.replace(path, hidden)
            shutil.rmtree(hidden)


def describe(state: Any) -> dict[str, str]:
    """Type and shape of each array by its place in the tree, such as .params['hash']['bias']."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {
        jax.tree_util.keystr(path): f"{np.dtype(leaf.dtype)}{list(leaf.shape)}"
        for path, leaf in leaves
    }


def differences(there: dict[str, str], here: dict[str, str]) -> list[str]:
    """One line for each array that two descriptions do not share."""
    return [
        f"{name}: {there.get(name, 'nothing')} there, {here.get(name, 'nothing')} here"
        for name in sorted({*there, *here})
        if there.get(name) != here.get(name)
    ]


def check_files(path: Path) -> None:
    """Check that a checkpoint's files are those that were written, byte for byte.

    Raises CheckpointError naming the first that is not.
    """
    for name, digest in _read_manifest(path)["files"].items():
        file = path / name
        if not file.is_file():
            raise CheckpointError(f"{file} is missing")
        if sha256(file) != digest:
            raise CheckpointError(f"{file} is not what was written (its sha256 differs)")


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        content = orjson.loads((path / MANIFEST).read_bytes())
        return {"files": dict(content["files"]), "arrays": dict(content["arrays"])}
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path / MANIFEST} cannot be read: {error}") from error


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
