"""A study under way: what its parts share."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sketchjax.config import Config
from sketchjax.data.folder.manifest import Manifest
from sketchjax.paper.study.plan import Planned
from sketchjax.report.examples import entropy_example
from sketchjax.report.material import EntropyExample


@dataclass
class Study:
    """A study under way. failures: what went wrong, by the name of a run or measurement."""

    config: Config
    workdir: Path
    folder: Path
    manifest: Manifest
    runs: list[Planned]
    failures: dict[str, str] = field(default_factory=dict)
    exit_code: int = 0

    @cached_property
    def entropy(self) -> EntropyExample:
        """One category by image entropy (figure 4): of all training sketches, so read once."""
        return entropy_example(self.folder)
