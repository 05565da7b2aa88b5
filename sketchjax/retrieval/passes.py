"""Whole passes of a network over the splits of a data folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax

from sketchjax.data.feed.items import open_items
from sketchjax.data.feed.scan import scan
from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.inputs import Form, side_and_split
from sketchjax.models.network import Network
from sketchjax.models.table import HEAD, of_side
from sketchjax.retrieval.encode import Encoded, Encoder, concatenate

# (name, total) -> a context that gives the function to call as sketches are done.
Task = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


@dataclass
class Passes:
    """One data folder and one network, compiled once for each output.

    A part of the data is a split of a side, named as `data.inputs.part_name` does.

    network: any network.
    folder: of the data.
    manifest: of that folder.
    batch: items of a step, over all devices.
    forms: of the items of each side that the network has.
    task: shows progress.
    check: called between two steps; it may raise to end a pass.
    encoders: those compiled so far, by output.
    """

    network: Network
    folder: Path
    manifest: Manifest
    batch: int
    forms: Mapping[str, Form]
    task: Task
    check: Callable[[], None] = lambda: None
    encoders: dict[str, Encoder] = field(default_factory=dict)

    def stream(
        self, variables: Any, part: str, output: str = HEAD, *, name: str = ""
    ) -> Iterator[Encoded]:
        """One pass over a part of the data in order, some items at a time.

        variables: of the network.
        part: of the folder.
        output: `head` for the head of the part's side, an encoder's name, or `fusion` for what the
          head of the sketches reads.
        name: of the pass, as progress shows it; by default "encoding PART".
        """
        side, split = side_and_split(part)
        if output == HEAD:
            output = of_side(HEAD, side)
        if output not in self.encoders:
            self.encoders[output] = Encoder(self.network, output)
        items = open_items(self.folder, self.forms[side], split)
        scans = scan(
            items,
            batch=self.batch // jax.process_count(),
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
        with self.task(name or f"encoding {part}", len(items)) as advance:
            for some in self.encoders[output].stream(variables, scans):
                self.check()
                advance(len(some.labels))
                yield some

    def encode(
        self, variables: Any, part: str, output: str = HEAD, *, features: bool = True
    ) -> Encoded:
        """A whole part of the data.

        variables: of the network.
        part: of the folder.
        output: `head` or an encoder's name.
        features: whether to keep the features; predictions need less memory.
        """
        parts = self.stream(variables, part, output)
        if not features:
            # A copy: a view would keep the whole array in memory.
            parts = (replace(some, features=some.features[:, :0].copy()) for some in parts)
        return concatenate(parts)
