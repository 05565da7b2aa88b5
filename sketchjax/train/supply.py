"""The feeds of a run's stages, and where its training data are kept: on the devices or on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jax
import numpy as np
from rich.filesize import decimal

from sketchjax.config import Config, StageRow
from sketchjax.data.feed.items import READ, Items, totals_of
from sketchjax.data.feed.order import Order
from sketchjax.data.feed.pairs import class_orders, paired_orders
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.folder.shards import Shards
from sketchjax.data.inputs import Form, Pictures
from sketchjax.errors import NotFiniteError
from sketchjax.files import write_whole
from sketchjax.memory import free_bytes
from sketchjax.ops.resident import Resident, ResidentPictures
from sketchjax.parallel import gather
from sketchjax.train.feed import Feed, JointFeed, ResidentFeed, StreamFeed
from sketchjax.train.reporter import Reporter
from sketchjax.train.split import TrainingSplit
from sketchjax.train.stages import Stage

# Share of the free memory that `auto` lets the data take; training needs the rest.
RESIDENT_SHARE = 0.25
_DECODED = 256  # pictures read at once: 38 MB at 224 px
_STROKES = Form("strokes", 1)


@dataclass
class Supply:
    """Gives each stage of a run its feed.

    config: of the run.
    folder: of the data.
    splits: by side, the training items that take part.
    workdir: of the run, for a list of the items of a batch that went wrong.
    reporter: shows the progress of reading.
    """

    config: Config
    folder: Path
    splits: Mapping[str, TrainingSplit]
    workdir: Path
    reporter: Reporter

    @property
    def split(self) -> TrainingSplit:
        """That of sketches, or of photos in a run without sketches."""
        return next(iter(self.splits.values()))

    def feed(self, stage: Stage, *, position: int, detour: int) -> Feed:
        """The feed of a stage.

        stage: of the plan.
        position: its first block.
        detour: how often the stage went back; each time it gets another order.
        """
        orders = self.orders(stage.row, (self.config.seed, stage.row.number, detour))
        joint = len(orders) > 1
        feeds = {
            side: self._feed(side, order, position=position, joint=joint)
            for side, order in orders.items()
        }
        return JointFeed(feeds) if joint else next(iter(feeds.values()))

    def _feed(
        self, side: str, order: Order, *, position: int, joint: bool
    ) -> StreamFeed | ResidentFeed:
        """One side's feed; joint: whether its batches have the instances of their items."""
        split, held = self.splits[side], self._resident
        if held is not None:
            own = held[side] if joint else held[side]._replace(instance=None)
            return ResidentFeed(own, order, points=split.form.size, position=position)
        items = split.items()
        return StreamFeed(
            items,
            order,
            workers=self.config.train.workers,
            position=position,
            instances=items.instances if joint else None,
        )

    def order(self, row: StageRow, key: tuple[int, ...] = ()) -> Order:
        """The order of a stage's batches, that of the sketches where it reads both sides.

        key: of the shuffle.
        """
        return next(iter(self.orders(row, key).values()))

    def orders(self, row: StageRow, key: tuple[int, ...] = ()) -> dict[str, Order]:
        """The order of a stage's batches on each side that it reads. key: of the shuffle."""
        batch, inner_steps = self.config.train.batch_size, self.config.train.inner_steps
        if len(row.inputs) == 1:
            split = self.splits[row.inputs[0]]
            return {row.inputs[0]: split.order(batch, inner_steps, key, classes=row.classes)}
        sides = {side: self.splits[side].side for side in row.inputs}
        if row.classes:
            return class_orders(sides, batch, inner_steps, key, classes=row.classes)
        return paired_orders(sides, batch, inner_steps, key)

    @cached_property
    def choice(self) -> tuple[str, str]:
        """`resident` or `stream`, and a line that says why."""
        return choose(self.config.data.feed, self.split.manifest, self._forms)

    @property
    def _forms(self) -> list[Form]:
        return [split.form for split in self.splits.values()]

    @cached_property
    def _resident(self) -> dict[str, Resident | ResidentPictures] | None:
        """Each side's training split if the devices are to hold it; read once for all stages."""
        kind, _ = self.choice
        if kind != "resident":
            return None
        task, joint = self.reporter.task, len(self.splits) > 1
        held: dict[str, Resident | ResidentPictures] = {}
        for side, split in self.splits.items():
            if split.form.kind == "strokes":
                held[side] = read_resident(self.folder, task, split.records)
            else:
                held[side] = read_pictures(split.items(), task, split.records)
            if joint:
                instances = split.side.instances.astype(np.int32)
                held[side] = held[side]._replace(instance=instances)  # pyright: ignore[reportArgumentType]
        return held

    def with_sketches(self, error: NotFiniteError, side: str | None = None) -> NotFiniteError:
        """The error with the items of its batch: three in its message, all of them in a file.

        side: that the batch is of; None: the first.
        """
        if error.records is None:
            return error
        split = self.splits[side] if side else self.split
        with closing(split.items()) as items:
            batch, ids, _ = items.read(error.records)
        names = [split.manifest.categories[label] for label in batch.label.tolist()]
        rows = list(zip(ids.tolist(), names, error.records.tolist(), strict=True))
        path = self.workdir / "not_finite.csv"
        lines = ["key_id,category,record", *(",".join(map(str, row)) for row in rows)]
        if jax.process_index() == 0:
            write_whole(path, "\n".join([*lines, ""]).encode())
        shown = ", ".join(f"{key_id} ({name})" for key_id, name, _ in rows[:3])
        return NotFiniteError(f"{error}; its sketches: {shown}, ...; all {len(rows)} are in {path}")


def choose(kind: str, manifest: Manifest, forms: Sequence[Form] = (_STROKES,)) -> tuple[str, str]:
    """`resident` or `stream` for the config's `data.feed`, and a line that says why.

    kind: `auto` gives `resident` if the training data need at most a quarter of a device's free
      memory; `resident` falls back to `stream` if they do not fit at all.
    manifest: of the data; forms: of the sides.
    """
    sizes = {form.kind: bytes_held(manifest, form) for form in forms}
    points = sum(t * number for t, number in manifest.lengths["train"].items())
    needed, free = sum(sizes.values()), free_memory()
    words = {"strokes": "strokes", "raster": "raster sketches", "photo": "photos"}
    size = " and ".join(f"{decimal(each)} of {words[name]}" for name, each in sizes.items())
    if kind == "stream":
        return kind, f"feed: stream, the host reads and sends {size}"
    share = RESIDENT_SHARE if kind == "auto" else 1.0
    if needed <= share * free and 3 * points < 2**31:  # an offset has 32 bits
        return "resident", f"feed: resident, {size} on each device, of {decimal(free)} free"
    return "stream", f"feed: stream, as {size} do not fit on a device with {decimal(free)} free"


def bytes_held(manifest: Manifest, form: Form) -> int:
    """What a device needs for a side's training split."""
    items = 8 * totals_of(manifest, form.kind).get("train", 0)
    if form.kind == "strokes":
        return items + 3 * sum(t * number for t, number in manifest.lengths["train"].items())
    channels = (3 if form.kind == "photo" else 1) + form.contours
    return items + items // 8 * form.size**2 * channels


def free_memory() -> int:
    """Free bytes of a device: of its own memory, or its share of the machine's.

    The least of all processes, as all have to keep the data in the same place.
    """
    device = jax.local_devices()[0]
    memory = device.memory_stats() if device.platform != "cpu" else None
    if memory and "bytes_limit" in memory:
        free = memory["bytes_limit"] - memory["bytes_in_use"]
    else:
        free = free_bytes() // jax.local_device_count()
    return int(gather(np.array([free])).min())


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
            for first in range(0, len(wanted), READ):
                records = shards.read(wanted[first : first + READ])
                end, start = first + len(records.labels), offset[first]
                offset[first + 1 : end + 1] = start + records.offsets[1:]
                points[start : offset[end]] = records.points
                label[first:end] = records.labels
                advance(end - first)
    points = points[: offset[-1]]
    return Resident(points, offset, label)  # pyright: ignore[reportArgumentType]


def read_pictures(
    items: Items,
    task: Callable[[str, int], AbstractContextManager[Callable[[int], None]]],
    wanted: np.ndarray | None = None,
) -> ResidentPictures:
    """A training split of photos or raster sketches, decoded, ready to be sent to the devices.

    items: of the split; their files are closed at the end.
    task: shows progress.
    wanted: i64[n], the records to take; None: all.
    """
    if wanted is None:
        wanted = np.arange(len(items))
    parts: list[Pictures] = []
    with closing(items), task("decoding pictures", len(wanted)) as advance:
        for first in range(0, len(wanted), _DECODED):
            batch, _, _ = items.read(wanted[first : first + _DECODED])
            parts.append(batch.inputs)
            advance(len(batch.label))
    pictures = jax.tree.map(lambda *each: np.concatenate(each), *parts)
    return ResidentPictures(pictures, items.labels[wanted])  # pyright: ignore[reportArgumentType]
