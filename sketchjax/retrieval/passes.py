"""Whole passes of a network over the splits of a data folder."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

import jax
import numpy as np

from sketchjax.data.feed.scan import scan_feed
from sketchjax.data.folder.manifest import Manifest
from sketchjax.models.network import Network
from sketchjax.parallel import gather
from sketchjax.retrieval.encode import Encoded, Encoder, concatenate

# (name, total) -> a context that gives the function to call as sketches are done.
Task = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


@dataclass
class Passes:
    """One data folder and one network, compiled once for each choice of branches.

    batch, points: sketches of a step over all devices, points of a sketch; task: shows how far a
    pass is; check: called between two steps, and may raise to end a pass.
    """

    network: Network
    folder: Path
    manifest: Manifest
    batch: int
    points: int
    task: Task
    check: Callable[[], None]
    encoders: dict[str, Encoder] = field(default_factory=dict)

    def stream(
        self, variables: dict, split: str, branch: str = "whole", *, name: str = ""
    ) -> Iterator[tuple[Encoded, np.ndarray]]:
        """One pass in order, part by part: what the network makes of it, and entropies f[n].

        name: of the pass, where it is not encoding alone.
        """
        if branch not in self.encoders:
            self.encoders[branch] = Encoder(self.network, branch)
        entropies: list[np.ndarray] = []

        def batches():
            for scan in scan_feed(
                self.folder,
                split,
                batch=self.batch // jax.process_count(),
                points=self.points,
                process_index=jax.process_index(),
                process_count=jax.process_count(),
            ):
                entropy, mask = gather((scan.entropy, scan.mask))
                entropies.append(entropy[mask])
                yield scan.batch, scan.mask

        with self.task(name or f"encoding {split}", self.manifest.counts[split]) as advance:
            parts = self.encoders[branch].stream(variables, batches())
            for number, part in enumerate(parts):
                self.check()
                advance(len(part.labels))
                yield part, entropies[number]

    def encode(
        self, variables: dict, split: str, branch: str = "whole", *, features: bool = True
    ) -> Encoded:
        """Predictions of a whole split, and its features where they are wanted."""
        width = None if features else 0
        return concatenate(
            replace(part, features=part.features[:, :width])
            for part, _ in self.stream(variables, split, branch)
        )
