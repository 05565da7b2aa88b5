"""Which objective suits these drawings: a head for each, on the features of one finished run.

Encoders stay as they are, so a head trains in seconds. Learning rates are chosen, and heads
compared, by the exact MAP of the validation sketches among themselves: no query is looked at.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import msgspec
import numpy as np

from sketchjax.data.folder.manifest import NAME
from sketchjax.errors import ConfigError, NotFiniteError
from sketchjax.files import sha256, write_whole
from sketchjax.models.architecture import Architecture
from sketchjax.models.table import FUSION, HEADS
from sketchjax.retrieval.encode import Encoded, concatenate
from sketchjax.retrieval.passes import Task
from sketchjax.run.posterior import Settings as Copies
from sketchjax.run.posterior import Source, map_among_themselves, training_rows
from sketchjax.run.recode import checked, find_source
from sketchjax.train.frozen import (
    Frozen,
    Settings,
    head_network,
    head_outputs,
    head_stage,
    train_head,
)

FILE = "compare.json"
RATES = (1e-3, 3e-3, 1e-2)
_EACH = 4  # sketches per class of a batch for a loss over pairs
_CHOOSING = 4096  # validation sketches: 17 million pairs
_BATCH = 128  # losses over triplets need its cube


@dataclass(frozen=True)
class Objective:
    """How a head is trained.

    stages: the losses of each stage by its name, and its share of the epochs.
    head: a row of HEADS with codes; embedding: how its features are normalised.
    balanced: whether batches have several sketches of each class.
    """

    stages: Mapping[str, tuple[dict[str, Any], float]]
    head: str = "hash"
    embedding: str = "raw"
    balanced: bool = False


def _only(losses: dict[str, Any], **own: Any) -> Objective:
    return Objective({"only": (losses, 1.0)}, **own)


_METRIC: dict[str, Any] = {"head": "embedding", "embedding": "batch_norm", "balanced": True}
_ENTROPY = {"cross_entropy": 1.0}

# Each with its defaults, which are those that its authors published where they did.
OBJECTIVES: dict[str, Objective] = {
    "cross_entropy": _only(_ENTROPY),
    "sketchmate": Objective(
        {
            "joint": (_ENTROPY, 0.6),
            "center": (_ENTROPY | {"center": 0.1}, 0.3),
            "full": (_ENTROPY | {"center": 0.1, "quantization": 0.01}, 0.1),
        }
    ),
    "supervised_hashing": _only({"supervised_hashing": 1.0}, balanced=True),
    "orthohash": _only({"orthohash": 1.0}),
    "orthohash_arc": _only({"orthohash": {"kind": "arc"}}),
    "csq": _only({"csq": 1.0}),
    "dpn": _only({"dpn": 1.0}),
    "mds": _only({"mds": 1.0}, balanced=True),
    "greedy_hash": _only(_ENTROPY | {"greedy_hash": 1.0}, head="sign_hash"),
    "hashnet": _only({"hashnet": 1.0}, balanced=True),
    "bihalf": _only({"bihalf": 1.0}, balanced=True),
    "dpsh": _only({"dpsh": 1.0}, balanced=True),
    "dtsh": _only({"dtsh": 1.0}, balanced=True),
    "tie_aware": _only({"tie_aware": 1.0}, balanced=True),
    "contrastive_snr": _only({"contrastive": {"distance": "snr"}, "zero_mean": 0.005}, **_METRIC),
    "contrastive_cosine": _only({"contrastive": {"distance": "cosine"}}, **_METRIC),
    "triplet_snr": _only({"triplet": {"distance": "snr"}, "zero_mean": 0.005}, **_METRIC),
    "triplet_cosine": _only({"triplet": {"distance": "cosine"}}, **_METRIC),
}


class Row(msgspec.Struct, frozen=True):
    """What a head of an objective reached.

    objective: a row of OBJECTIVES; bits: of its codes.
    learning_rate: of RATES, chosen by the first seed; None where no loss was finite.
    map_validation: of each seed.
    """

    objective: str
    bits: int
    learning_rate: float | None
    map_validation: tuple[float, ...]


class _Kept(msgspec.Struct, frozen=True):
    """OUT/compare.json. mark: the model, the data and the settings that the rows are of."""

    mark: dict[str, Any]
    rows: tuple[Row, ...]


def compare(
    path: Path,
    out: Path,
    bits: Sequence[int],
    *,
    objectives: Sequence[str] = (),
    seeds: int = 3,
    epochs: int = 10,
    copies: int = 0,
    data: Path | None = None,
    task: Task,
    note: Callable[[str], None],
) -> list[Row]:
    """Train a head of each objective and length, and score its codes on validation sketches.

    path: the workdir of a finished run, or a model file of one.
    out: gets compare.json after each row; a rerun computes only what is missing.
    bits: lengths of the codes, multiples of 8.
    objectives: rows of OBJECTIVES; empty: all.
    seeds: heads of each, all at the learning rate that suits the first.
    epochs: over the training sketches and their copies.
    copies: augmented copies of each training sketch.
    data: its data folder; by default the run's own.
    task: shows progress; note: gets what was decided, line by line.

    Returns the rows, by length and falling mean.
    Raises ConfigError for names and numbers out of range, and CheckpointError and DataError as
    `recode` does, before any work.
    """
    names = list(dict.fromkeys(objectives)) or list(OBJECTIVES)
    numbers = {"seeds": (seeds, 1), "epochs": (epochs, 1), "copies": (copies, 0)}
    lengths = checked(bits, numbers, _unknown(names))
    source = find_source(path, data, task)
    mark = {
        "model": source.model.fingerprint,
        "data": sha256(source.folder / NAME),
        "seeds": seeds,
        "epochs": epochs,
        "copies": copies,
    }
    kept = _kept(out, mark)
    wanted = [(name, length) for length in lengths for name in names]
    done = {(row.objective, row.bits): row for row in kept}
    missing = [key for key in wanted if key not in done]
    if missing:
        contest = _Contest(
            source.model.architecture, *_seen(source, copies, note), epochs=epochs, seeds=seeds
        )
        with task("heads", len(missing)) as advance:
            for name, length in missing:
                done[name, length] = contest.row(name, length)
                content = _Kept(mark, tuple(done.values()))
                write_whole(out / FILE, msgspec.json.format(msgspec.json.encode(content)))
                advance(1)
    rows = [done[key] for key in wanted]
    return sorted(rows, key=lambda row: (row.bits, -np.mean(row.map_validation or (0.0,))))


def _unknown(names: Sequence[str]) -> list[str]:
    """One line for each name that is no objective."""
    problems = []
    for name in names:
        if name not in OBJECTIVES:
            near = difflib.get_close_matches(name, OBJECTIVES, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(OBJECTIVES)}"
            problems.append(f"{name!r} is no objective; {hint}")
    return problems


def _kept(out: Path, mark: dict[str, Any]) -> tuple[Row, ...]:
    """The rows of an earlier call with the same model, data and settings.

    Raises ConfigError when the folder has rows of others: they would be lost.
    """
    path = out / FILE
    if not path.exists():
        return ()
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{path} cannot be read ({error}); give another OUT") from error
    if kept.mark != mark:
        raise ConfigError(
            f"{out} has rows of another model, other data or other settings; give another OUT"
        )
    return kept.rows


@dataclass(frozen=True)
class _Contest:
    """What the heads of all objectives share.

    architecture: of the model whose encoders made the features.
    frozen: what the heads are trained on.
    validation: sketches with their fused features, by which they are judged.
    epochs: over the training sketches and their copies.
    seeds: heads of each objective and length.
    """

    architecture: Architecture
    frozen: Frozen
    validation: Encoded
    epochs: int
    seeds: int

    def row(self, name: str, bits: int) -> Row:
        """Choose an objective's learning rate by the first seed, then train the others with it."""
        scored = {rate: self._score(OBJECTIVES[name], bits, rate, 0) for rate in RATES}
        found = {rate: score for rate, score in scored.items() if score is not None}
        if not found:
            return Row(name, bits, None, ())
        best = max(found, key=lambda rate: found[rate])
        others = [self._score(OBJECTIVES[name], bits, best, seed) for seed in range(1, self.seeds)]
        return Row(name, bits, best, (found[best], *(own for own in others if own is not None)))

    def _score(self, objective: Objective, bits: int, rate: float, seed: int) -> float | None:
        """The MAP of validation codes after training a head; None when its loss is not finite."""
        labels = self.frozen.labels
        devices = jax.local_device_count()
        batch = max(1, min(_BATCH, len(labels) // 8) // devices) * devices
        classes = _classes(len(np.unique(labels)), batch) if objective.balanced else 0
        rows = [
            head_stage(
                name,
                losses,
                number=number,
                epochs=share * self.epochs,
                learning_rate=rate,
                classes=classes,
            )
            for number, (name, (losses, share)) in enumerate(objective.stages.items())
        ]
        settings = Settings(batch=batch, inner_steps=min(8, len(labels) // batch), seed=seed)
        own = msgspec.structs.replace(
            self.architecture, head=objective.head, width=bits, embedding=objective.embedding
        )
        network = head_network(own, self.frozen.features.shape[1])
        try:
            variables = train_head(network, rows, self.frozen, settings)
        except NotFiniteError:
            return None
        features, _ = head_outputs(network, variables, self.validation.features)
        threshold = HEADS[objective.head].threshold
        assert threshold is not None, "every objective's head has codes"
        return map_among_themselves(features > threshold, self.validation.labels)


def _classes(seen: int, batch: int) -> int:
    """P: the most classes of a batch that divide it and leave four sketches of each, at least 2."""
    found = [p for p in range(2, seen + 1) if batch % p == 0 and batch // p >= _EACH]
    return max(found, default=0)


def _seen(source: Source, copies: int, note: Callable[[str], None]) -> tuple[Frozen, Encoded]:
    """What the heads are trained on, and the validation sketches with their fused features."""
    passes = source.passes(source.model.network)
    rows, labels, entropy = training_rows(source, Copies(copies=copies), passes, note)
    manifest = source.manifest
    frozen = Frozen(
        rows, labels, entropy, np.asarray(manifest.entropy_low), np.asarray(manifest.entropy_high)
    )
    validation = concatenate(passes.stream(source.model.variables, "validation", FUSION))
    return frozen, validation[~source.unseen[validation.labels]][:_CHOOSING]
