"""Ways to codes on frozen features: heads trained by an objective, posterior heads, and others.

What is compared is a row of a table by name; `run.compare` fits, keeps and scores them all alike.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Protocol

import jax
import msgspec
import numpy as np
from flax import traverse_util

from sketchjax.models.architecture import Architecture
from sketchjax.models.table import HEADS, POSTERIOR
from sketchjax.run.material import Material
from sketchjax.run.posterior.choice import choose
from sketchjax.run.posterior.classifier import classified, rows_for_codes
from sketchjax.run.posterior.head import posterior_params, with_posterior
from sketchjax.run.posterior.source import STEPS
from sketchjax.train.frozen import (
    HeadNetwork,
    HeadTrainer,
    Settings,
    head_network,
    head_outputs,
    head_stage,
)

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)  # of learning, to choose from
FIRST_RATES = RATES[2:5]  # the others are tried where the best one is at the edge
_EACH = 4  # sketches per class of a batch for a loss over pairs
_BATCH = 128

# What decides codes, by name: all that a fitted way to codes has to keep.
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Setting:
    """What all codes of one length share.

    architecture: of the models whose encoders made the features.
    reads: e, the fused features of a sketch.
    bits: of a code.
    epochs: of a trained head.
    """

    architecture: Architecture
    reads: int
    bits: int
    epochs: int


class Coder(Protocol):
    """A way to codes of one length."""

    def fit(self, material: Material, rate: float | None, seed: int) -> Arrays:
        """What decides the codes.

        material: of a run.
        rate: of learning; None for a way that has none.
        seed: of everything random.
        Raises NotFiniteError when a loss is not finite, ConfigError when such codes cannot be made.
        """
        ...

    def encode(self, arrays: Arrays, features: np.ndarray) -> np.ndarray:
        """Codes bool[n d] of fused features f32[n e]; arrays: as `fit` returned them."""
        ...


MakeCoder = Callable[[Setting], Coder]


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


def next_rates(best: float, tried: Collection[float]) -> list[float]:
    """Those next to the best of the RATES tried so far that were not tried themselves."""
    place = RATES.index(best)
    return [rate for rate in RATES[max(0, place - 1) : place + 2] if rate not in tried]


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


class TrainedHead:
    """A head trained by an objective, at one of RATES."""

    def __init__(self, objective: Objective, setting: Setting):
        architecture = msgspec.structs.replace(
            setting.architecture,
            head=objective.head,
            width=setting.bits,
            embedding=objective.embedding,
        )
        self._objective, self._epochs = objective, setting.epochs
        self._network = head_network(architecture, setting.reads)
        self._trainer = cache(self._make_trainer)

    def fit(self, material: Material, rate: float | None, seed: int) -> Arrays:
        assert rate is not None
        labels = material.frozen.labels
        trainer = self._trainer(len(labels), len(np.unique(labels)))
        return _flat(trainer.train(material.frozen, rate, seed))

    def encode(self, arrays: Arrays, features: np.ndarray) -> np.ndarray:
        return _codes(self._network, arrays, features)

    def _make_trainer(self, count: int, seen: int) -> HeadTrainer:
        """count: training sketches; seen: their categories."""
        devices = jax.local_device_count()
        batch = max(1, min(_BATCH, count // 8) // devices) * devices
        classes = _classes(seen, batch) if self._objective.balanced else 0
        rows = [
            head_stage(name, losses, number=number, epochs=share * self._epochs, classes=classes)
            for number, (name, (losses, share)) in enumerate(self._objective.stages.items())
        ]
        settings = Settings(batch=batch, inner_steps=min(8, count // batch))
        return HeadTrainer(self._network, rows, settings)


class PosteriorHead:
    """What `run.recode` would choose from the same features, with one start as all heads here."""

    def __init__(self, setting: Setting):
        self._bits = setting.bits
        architecture = with_posterior(setting.architecture, setting.bits)
        self._network = head_network(architecture, setting.reads)

    def fit(self, material: Material, rate: float | None, seed: int) -> Arrays:
        classifier, frozen = material.classifier(seed), material.frozen
        choice = choose(
            [classified(material.validation, classifier)],
            classifier,
            rows_for_codes(frozen.features, frozen.labels, material.copies),
            material.unseen,
            self._bits,
            steps=STEPS,
            starts=1,
            seed=seed,
        )
        return _flat({"params": posterior_params(classifier, choice)})

    def encode(self, arrays: Arrays, features: np.ndarray) -> np.ndarray:
        return _codes(self._network, arrays, features)


CODERS: dict[str, MakeCoder] = {
    **{name: partial(TrainedHead, objective) for name, objective in OBJECTIVES.items()},
    POSTERIOR: PosteriorHead,
}


def _classes(seen: int, batch: int) -> int:
    """P: the most classes of a batch that divide it and leave four sketches of each, at least 2."""
    found = [p for p in range(2, seen + 1) if batch % p == 0 and batch // p >= _EACH]
    return max(found, default=0)


def _flat(variables: Any) -> Arrays:
    """The variables of a network by their path, such as params/hash/kernel."""
    flat = traverse_util.flatten_dict(variables, sep="/")
    return {name: np.asarray(array) for name, array in flat.items()}


def _codes(network: HeadNetwork, arrays: Arrays, features: np.ndarray) -> np.ndarray:
    threshold = HEADS[network.architecture.head].threshold
    assert threshold is not None, "every head that is compared has codes"
    variables = traverse_util.unflatten_dict(arrays, sep="/")
    return head_outputs(network, variables, features)[0] > threshold
