"""The feeds of a run's stages, and where its training split is kept: on the devices or on disk."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jax
import numpy as np
from rich.filesize import decimal

from sketchjax.config import Config, StageRow
from sketchjax.data.feed.order import Order
from sketchjax.data.folder.shards import Shards
from sketchjax.errors import NotFiniteError
from sketchjax.files import write_whole
from sketchjax.memory import free_bytes
from sketchjax.ops.resident import Resident
from sketchjax.train.feed import Feed, ResidentFeed, StreamFeed
from sketchjax.train.reporter import Reporter
from sketchjax.train.split import TrainingSplit
from sketchjax.train.stages import Stage

# Share of the free memory that `auto` lets the data take; training needs the rest.
RESIDENT_SHARE = 0.25
_READ = 65_536  # sketches read at once: 10 MB


@dataclass
class Supply:
    """Gives each stage of a run its feed.

    config: of the run.
    folder: of the data.
    split: the training sketches that take part.
    workdir: of the run, for a list of the sketches of a batch that went wrong.
    reporter: shows the progress of reading.
    """

    config: Config
    folder: Path
    split: TrainingSplit
    workdir: Path
    reporter: Reporter

    def feed(self, stage: Stage, *, position: int, detour: int) -> Feed:
        """The feed of a stage.

        stage: of the plan.
        position: its first block.
        detour: how often the stage went back; each time it gets another order.
        """
        data, settings = self.config.data, self.config.train
        order = self.order(stage.row, (self.config.seed, stage.row.number, detour))
        if self._resident is not None:
            return ResidentFeed(self._resident, order, points=data.points, position=position)
        return StreamFeed(
            self.folder, order, points=data.points, workers=settings.workers, position=position
        )

    def order(self, row: StageRow, key: tuple[int, ...] = ()) -> Order:
        """The order of a stage's batches. key: of the shuffle."""
        settings = self.config.train
        return self.split.order(settings.batch_size, settings.inner_steps, key, classes=row.classes)

    @cached_property
    def choice(self) -> tuple[str, str]:
        """`resident` or `stream`, and a line that says why."""
        return choose(self.config.data.feed, self.folder)

    @cached_property
    def _resident(self) -> Resident | None:
        """The training split if the devices are to hold it, else None; read once for all stages."""
        kind, _ = self.choice
        if kind != "resident":
            return None
        return read_resident(self.folder, self.reporter.task, self.split.records)

    def with_sketches(self, error: NotFiniteError) -> NotFiniteError:
        """The error with the sketches of its batch: three in its message, all of them in a file."""
        if error.records is None:
            return error
        with Shards(self.folder, "train") as shards:
            records = shards.read(error.records)
            names = [shards.manifest.categories[label] for label in records.labels.tolist()]
        rows = list(zip(records.key_ids.tolist(), names, error.records.tolist(), strict=True))
        path = self.workdir / "not_finite.csv"
        lines = ["key_id,category,record", *(",".join(map(str, row)) for row in rows)]
        if jax.process_index() == 0:
            write_whole(path, "\n".join([*lines, ""]).encode())
        shown = ", ".join(f"{key_id} ({name})" for key_id, name, _ in rows[:3])
        return NotFiniteError(f"{error}; its sketches: {shown}, ...; all {len(rows)} are in {path}")


def choose(kind: str, folder: Path) -> tuple[str, str]:
    """`resident` or `stream` for the config's `data.feed`, and a line that says why.

    kind: `auto` gives `resident` if the split needs at most a quarter of a device's free memory;
      `resident` falls back to `stream` if the split does not fit at all.
    folder: of the data.
    """
    manifest = Shards(folder, "train").manifest
    points = sum(t * number for t, number in manifest.lengths["train"].items())
    needed, free = 3 * points + 8 * manifest.counts["train"], free_memory()
    size = f"{decimal(needed)} of strokes"
    if kind == "stream":
        return kind, f"feed: stream, the host reads and sends {size}"
    share = RESIDENT_SHARE if kind == "auto" else 1.0
    if needed <= share * free and 3 * points < 2**31:  # an offset has 32 bits
        return "resident", f"feed: resident, {size} on each device, of {decimal(free)} free"
    return "stream", f"feed: stream, as {size} do not fit on a device with {decimal(free)} free"


def free_memory() -> int:
    """Free bytes of a device: of its own memory, or its share of the machine's."""
    device = jax.local_devices()[0]
    memory = device.memory_stats() if device.platform != "cpu" else None
    if memory and "bytes_limit" in memory:
        return memory["bytes_limit"] - memory["bytes_in_use"]
    return free_bytes() // jax.local_device_count()


def read_resident(
    folder: Path,
    task: Callable[[str, int], AbstractContextManager[Callable[[int], None]]],
    wanted: np.ndarray | None = None,
) -> Resident:
    """The training split in the host's memory, ready to be sent to the devices.

    folder: of the data.
    task: shows progress.
    wanted: i64[n], the records to take; None: all.
    """
    with Shards(folder, "train") as shards:
        if wanted is None:
            wanted = np.arange(len(shards))
        lengths = shards.manifest.lengths["train"]
        points = np.empty((sum(t * number for t, number in lengths.items()), 3), np.uint8)
        offset, label = np.zeros(len(wanted) + 1, np.int32), np.empty(len(wanted), np.int32)
        with task("reading sketches", len(wanted)) as advance:
            for first in range(0, len(wanted), _READ):
                records = shards.read(wanted[first : first + _READ])
                end, start = first + len(records.labels), offset[first]
                offset[first + 1 : end + 1] = start + records.offsets[1:]
                points[start : offset[end]] = records.points
                label[first:end] = records.labels
                advance(end - first)
    points = points[: offset[-1]]
    return Resident(points, offset, label)  # pyright: ignore[reportArgumentType]
