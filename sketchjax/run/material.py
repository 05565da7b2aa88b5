"""What codes are fitted to: the features of one finished run, computed once and kept in a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path

import msgspec
import numpy as np

from sketchjax.data.folder.manifest import Manifest
from sketchjax.errors import DataError
from sketchjax.models.table import FUSION
from sketchjax.retrieval.encode import Encoded, concatenate
from sketchjax.run.posterior.choice import CHOOSING
from sketchjax.run.posterior.classifier import fit_linear, trained_classifier, training_rows
from sketchjax.run.posterior.source import EPOCHS, Settings, Source
from sketchjax.tensors import load_tensors, save_tensors
from sketchjax.train.classifier import LinearClassifier
from sketchjax.train.frozen import Frozen

_FORMAT = "sketchjax features 1"
_TRAINING = ("features", "labels", "entropy")
_VALIDATION = "validation/"


@dataclass(frozen=True)
class Material:
    """What codes of one run are fitted to.

    own: the classifier of a run with a posterior head.
    frozen: the training sketches.
    validation: sketches of categories trained on, with their fused features.
    unseen: categories kept out of training, bool[l].
    copies: augmented copies of each training sketch, after the sketches.
    """

    frozen: Frozen
    validation: Encoded
    unseen: np.ndarray
    copies: int
    own: LinearClassifier | None = None
    _classifiers: dict[int, LinearClassifier] = field(default_factory=dict)

    def classifier(self, seed: int) -> LinearClassifier:
        """The classifier that posterior codes of all lengths share."""
        if self.own is not None:
            return self.own
        if seed not in self._classifiers:
            rows, labels = self.frozen.features, self.frozen.labels
            self._classifiers[seed] = fit_linear(rows, labels, self.unseen, EPOCHS, seed)
        return self._classifiers[seed]


class _About(msgspec.Struct, frozen=True):
    """What a file of features says: of which model and data, and with how many copies."""

    model: str
    data: str
    copies: int


def material_of(
    source: Source, path: Path, data: str, copies: int, note: Callable[[str], None]
) -> Material:
    """What codes of a run are fitted to.

    source: the run.
    path: of the file that keeps the features; written where it is missing or of something else.
    data: sha256 of the manifest.
    copies: augmented copies of each training sketch.
    note: gets what was decided, line by line.
    Raises DataError when the file is damaged.
    """
    about = _About(source.model.fingerprint, data, copies)
    arrays, found = _load(path) if path.exists() else ({}, None)
    if found != about:
        arrays = _features(source, copies, note)
        save_tensors(path, arrays, about, format=_FORMAT)
    validation = {own.name: arrays[_VALIDATION + own.name] for own in fields(Encoded)}
    frozen, encoded = _frozen(arrays, source.manifest), Encoded(**validation)
    own = trained_classifier(source) if source.has_classifier else None
    return Material(frozen, encoded, source.unseen, copies, own)


def _load(path: Path) -> tuple[dict[str, np.ndarray], _About]:
    return load_tensors(
        path,
        _About,
        format=_FORMAT,
        noun="file of features",
        error=DataError,
        remedy="remove it, and the same command makes it again",
    )


def _frozen(arrays: dict[str, np.ndarray], manifest: Manifest) -> Frozen:
    return Frozen(
        **{name: arrays[name] for name in _TRAINING},
        entropy_low=np.asarray(manifest.entropy_low),
        entropy_high=np.asarray(manifest.entropy_high),
    )


def _features(source: Source, copies: int, note: Callable[[str], None]) -> dict[str, np.ndarray]:
    """The training sketches and at most CHOOSING validation sketches, as arrays by name."""
    passes = source.passes(source.model.network)
    training = training_rows(source, Settings(copies=copies), passes, note)
    validation = concatenate(passes.stream(source.model.variables, "validation", FUSION))
    validation = validation[~source.unseen[validation.labels]][:CHOOSING]
    return dict(zip(_TRAINING, training, strict=True)) | {
        _VALIDATION + own.name: getattr(validation, own.name) for own in fields(Encoded)
    }
