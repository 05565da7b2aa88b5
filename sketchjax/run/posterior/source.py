"""What a posterior head is fitted to, and the settings that decide it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from sketchjax.data.folder.manifest import Manifest
from sketchjax.data.inputs import part_name
from sketchjax.models.network import Network
from sketchjax.models.table import POSTERIOR
from sketchjax.retrieval.model import Model
from sketchjax.retrieval.passes import Passes, Task

EPOCHS = 30  # of the classifier
STEPS = 1500  # of the training of codes
STARTS = 4  # trainings of codes, of which validation sketches choose


@dataclass(frozen=True)
class Settings:
    """What decides a posterior head, besides the network and the data.

    copies: augmented copies of each training sketch that the classifier sees, besides the sketch.
    epochs: of the classifier.
    steps: of the training of codewords, thresholds and temperature; 0: their closed form.
    starts: trainings with other batches; the codes that rank validation sketches best are kept.
    seed: of copies, classifier, the order of the thresholds and training.
    """

    copies: int = 2
    epochs: int = EPOCHS
    steps: int = STEPS
    starts: int = STARTS
    seed: int = 0


@dataclass(frozen=True)
class Source:
    """What a head is fitted to.

    model: trained; folder: of the data, with its manifest.
    unseen: categories kept out of training, bool[l].
    pairs: splits of queries and gallery of each ranking.
    augmentation: amounts by name, of the copies.
    batch: sketches encoded at once.
    task: shows progress.
    check: called now and then while codes are made; it may raise to end that.
    """

    model: Model
    folder: Path
    manifest: Manifest
    unseen: np.ndarray
    pairs: list[tuple[str, str]]
    augmentation: dict[str, float]
    batch: int
    task: Task
    check: Callable[[], None] = lambda: None

    @property
    def ranked(self) -> list[str]:
        """The splits of all rankings, the first gallery first."""
        splits = (split for queries, gallery in self.pairs for split in (gallery, queries))
        return list(dict.fromkeys(splits))

    @property
    def embedded(self) -> bool:
        """Whether codes come from the classifier of the embedding, as where pictures are read."""
        return any(form.kind != "strokes" for form in self.model.architecture.forms.values())

    @property
    def has_classifier(self) -> bool:
        """Whether the network has trained the classifier that codes come from."""
        return self.embedded or self.model.architecture.head == POSTERIOR

    @property
    def classified(self) -> list[str]:
        """The parts that need posteriors: what codes are chosen by, and what is ranked."""
        return list(dict.fromkeys((*self.parts("validation"), *self.ranked)))

    def parts(self, split: str) -> list[str]:
        """A split of every side."""
        return [part_name(side, split) for side in self.model.architecture.forms]

    def passes(self, network: Network) -> Passes:
        """Passes of a network over the data."""
        devices = jax.local_device_count()
        return Passes(
            network,
            self.folder,
            self.manifest,
            batch=-(-self.batch // devices) * devices,
            forms=self.model.architecture.forms,
            task=self.task,
            check=self.check,
        )
