"""A study in progress: what its parts share."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from rich.console import Console

from sketchjax.config import Config
from sketchjax.data.folder.manifest import Manifest
from sketchjax.paper.study.plan import Planned
from sketchjax.report.examples import entropy_example
from sketchjax.report.material import EntropyExample
from sketchjax.run.output import console


@dataclass
class Study:
    """A study in progress.

    config: of the study.
    workdir: of the study; its runs are in WORKDIR/runs.
    folder, manifest: of the data of all runs.
    runs: all that the config asks for, in order.
    failures: what went wrong, by the name of the run or measurement.
    exit_code: of the first failure; 0 if there is none.
    out: where it prints.
    """

    config: Config
    workdir: Path
    folder: Path
    manifest: Manifest
    runs: list[Planned]
    failures: dict[str, str] = field(default_factory=dict)
    exit_code: int = 0
    out: Console = field(default_factory=console)

    @cached_property
    def entropy(self) -> EntropyExample:
        """One category by image entropy (figure 4); read once, as it takes a pass over the data."""
        return entropy_example(self.folder, category="star")
