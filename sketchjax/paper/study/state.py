"""A study in progress: what its parts share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sketchjax.config import Config
from sketchjax.data.folder.manifest import Manifest
from sketchjax.paper.attempts import Attempts
from sketchjax.paper.study.plan import Planned
from sketchjax.report.examples import entropy_example
from sketchjax.report.material import EntropyExample


@dataclass
class Study(Attempts):
    """A study in progress.

    config: of the study.
    workdir: of the study; its runs are in WORKDIR/runs.
    folder, manifest: of the data of all runs.
    runs: all that the config asks for, in order.
    """

    config: Config
    workdir: Path
    folder: Path
    manifest: Manifest
    runs: list[Planned]

    @cached_property
    def entropy(self) -> EntropyExample:
        """One category by image entropy (figure 4); read once, as it takes a pass over the data."""
        return entropy_example(self.folder, category="star")
