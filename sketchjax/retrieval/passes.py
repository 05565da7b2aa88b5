"""Whole passes of a network over the splits of a data folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax

from sketchjax.data.feed.scan import scan_feed
from sketchjax.data.folder.manifest import Manifest
from sketchjax.models.network import Network
from sketchjax.models.table import HEAD
from sketchjax.retrieval.encode import Encoded, Encoder, concatenate

# (name, total) -> a context that gives the function to call as sketches are done.
Task = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


@dataclass
class Passes:
    """One data folder and one network, compiled once for each output.

    network: any network of strokes.
    folder: of the data.
    manifest: of that folder.
    batch: sketches of a step, over all devices.
    points: t, points of a sketch.
    task: shows progress.
    check: called between two steps; it may raise to end a pass.
    encoders: those compiled so far, by output.
    """

    network: Network
    folder: Path
    manifest: Manifest
    batch: int
    points: int
    task: Task
    check: Callable[[], None] = lambda: None
    encoders: dict[str, Encoder] = field(default_factory=dict)

    def stream(
        self, variables: Any, split: str, output: str = HEAD, *, name: str = ""
    ) -> Iterator[Encoded]:
        """One pass over a split in order, part by part.

        variables: of the network.
        split: of the folder.
        output: `head`, an encoder's name, or `fusion` for what the head reads.
        name: of the pass, as progress shows it; by default "encoding SPLIT".
        """
        if output not in self.encoders:
            self.encoders[output] = Encoder(self.network, output)
        scans = scan_feed(
            self.folder,
            split,
            batch=self.batch // jax.process_count(),
            points=self.points,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
        with self.task(name or f"encoding {split}", self.manifest.counts[split]) as advance:
            for part in self.encoders[output].stream(variables, scans):
                self.check()
                advance(len(part.labels))
                yield part

    def encode(
        self, variables: Any, split: str, output: str = HEAD, *, features: bool = True
    ) -> Encoded:
        """A whole split.

        variables: of the network.
        split: of the folder.
        output: `head` or an encoder's name.
        features: whether to keep the features; predictions need less memory.
        """
        parts = self.stream(variables, split, output)
        if not features:
            # A copy: a view would keep the whole array in memory.
            parts = (replace(part, features=part.features[:, :0].copy()) for part in parts)
        return concatenate(parts)
