"""The methods of the paper's tables: what each changes in a run's config, and what it begins from.

All train the same base network where they can, from the same pretrained branches, for the same
epochs at the same learning rates: a row differs from its neighbours in what its name says alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ml_collections import ConfigDict

from sketchjax.config import Config
from sketchjax.config.relations import HASHING_STAGES, STAGES

DEEP_FEATURES = 256  # of the fusion layer that table 2 hashes
RECOGNITION_FEATURES = 2048  # of the layer in place of the hash layer (section 4.4)


@dataclass(frozen=True)
class Method:
    """A row of a table. label: its name there; paper: its name in the paper's tables, if any.

    change: what it does to a copy of the base config; begins: methods whose trained weights it
    takes; by_bits: whether it depends on the length of the codes.
    """

    label: str
    paper: str | None
    change: Callable[[Config], None]
    begins: tuple[str, ...] = ()
    by_bits: bool = True


def train_only(config: Config, *stages: str) -> None:
    """Leave out the other stages."""
    for stage in STAGES:
        if stage not in stages:
            config.stages[stage].epochs = 0


def set_losses(config: Config, stage: str, **weights: float) -> None:
    """The objective of a stage."""
    config.stages[stage].losses = ConfigDict(weights)


def branch_alone(branch: str, encoder: str = "alexnet") -> Callable[[Config], None]:
    """One branch with its own classifier: pretraining, and a recogniser of table 6."""

    def change(config: Config) -> None:
        config.model.branches = branch
        config.model.cnn.encoder = encoder
        train_only(config, branch)

    return change


def single_branch(**losses: float) -> Callable[[Config], None]:
    """The CNN and the hash layer with these losses, for as many epochs as the full model."""

    def change(config: Config) -> None:
        config.model.branches = "cnn"
        train_only(config, *HASHING_STAGES)
        for stage in HASHING_STAGES:
            set_losses(config, stage, **losses)

    return change


def balanced_contrastive(config: Config) -> None:
    """Batches of a few classes, so that about as many pairs agree as the published code sees."""
    single_branch(contrastive=1.0)(config)
    # 8 of 64 sketches share a class: 1 pair in 9, where 345 classes at random give 1 in 345.
    config.train.classes_per_batch = max(2, config.train.batch_size // 8)


def semantic_codes(config: Config) -> None:
    """Codes of word vectors, and a hash layer that follows them no faster than the branch does."""
    single_branch(semantic=1.0)(config)
    # At ten times the rate its codes collapsed: MAP 0.09 at 16 bits on QuickDraw-55.
    config.train.head_rate = 1.0


def stage_three(config: Config) -> None:
    """Both branches joined by the hash layer under cross entropy: where all variants begin."""
    train_only(config, "joint")


def variant(*, center: str = "", quantization: bool = False) -> Callable[[Config], None]:
    """Stages 4 and 5 with these losses; the weights are the base config's.

    The variant without centre loss trains as long as the others do, under cross entropy alone.
    """

    def change(config: Config) -> None:
        weights = {stage: dict(config.stages[stage].losses) for stage in ("center", "full")}
        train_only(config, "center", "full")
        for stage, losses in weights.items():
            own = {"cross_entropy": losses["cross_entropy"]}
            if center:
                own[center] = losses["center"]
            if quantization and stage == "full":
                own["quantization"] = losses["quantization"]
            set_losses(config, stage, **own)

    return change


def recogniser(*stages: str, center: bool = False) -> Callable[[Config], None]:
    """A layer of many features in place of the hash layer."""

    def change(config: Config) -> None:
        config.model.recognition_features = RECOGNITION_FEATURES
        config.train.head_rate = 1.0  # so many features learn fast enough
        weight = config.stages.center.losses.center
        train_only(config, *stages)
        for stage in stages:
            own = {"cross_entropy": 1.0}
            # Distances are sums over the features: as many bits as the paper's longest code.
            set_losses(
                config,
                stage,
                **own | ({"center": weight * 64 / RECOGNITION_FEATURES} if center else {}),
            )

    return change


def deep_features(config: Config) -> None:
    """A fusion layer of few features, which table 2 hashes."""
    config.model.fusion_features = DEEP_FEATURES
    train_only(config, "joint")


METHODS: Mapping[str, Method] = {
    "cnn": Method("our CNN branch", "our CNN branch", branch_alone("cnn"), by_bits=False),
    "rnn": Method("our RNN branch", "our RNN branch", branch_alone("rnn"), by_bits=False),
    "joint": Method("stage 3", None, stage_three, ("cnn", "rnn")),
    "dlbhc": Method("DLBHC", "DLBHC", single_branch(cross_entropy=1.0), ("cnn",)),
    "dsh_supervised": Method(
        "DSH-Supervised", "DSH-Supervised", single_branch(contrastive=1.0), ("cnn",)
    ),
    "dsh_supervised_balanced": Method(
        "DSH-Supervised, balanced batches", None, balanced_contrastive, ("cnn",)
    ),
    "dsh_sketch": Method("DSH-Sketch", "DSH-Sketch", semantic_codes, ("cnn",)),
    "cel": Method("Our+CEL", "Our+CEL", variant(), ("joint",)),
    "cel_cl": Method("Our+CEL+CL", "Our+CEL+CL", variant(center="common_center"), ("joint",)),
    "cel_scl": Method("Our+CEL+SCL", "Our+CEL+SCL", variant(center="center"), ("joint",)),
    "full": Method(
        "Our+CEL+SCL+QL (Full)",
        "Our+CEL+SCL+QL (Full)",
        variant(center="center", quantization=True),
        ("joint",),
    ),
    "deep": Method("256-d fusion features", None, deep_features, ("cnn", "rnn"), by_bits=False),
    "sketch_a_net": Method(
        "Sketch-a-Net", "Sketch-a-Net", branch_alone("cnn", "sketch_a_net"), by_bits=False
    ),
    "resnet50": Method("ResNet 50", "ResNet 50", branch_alone("cnn", "resnet50"), by_bits=False),
    "recognition_joint": Method(
        "both branches, 2048 features", None, recogniser("joint"), ("cnn", "rnn"), by_bits=False
    ),
    "recognition_cel": Method(
        "our RNN&CNN + CEL",
        "our RNN&CNN + CEL",
        recogniser("center", "full"),
        ("recognition_joint",),
        by_bits=False,
    ),
    "recognition_scl": Method(
        "our RNN&CNN + CEL + SCL",
        "our RNN&CNN + CEL + SCL",
        recogniser("center", "full", center=True),
        ("recognition_joint",),
        by_bits=False,
    ),
}

# The rows of each table that is made of runs, in the paper's order.
ROWS: Mapping[str, tuple[str, ...]] = {
    "1": (
        "dlbhc",
        "dsh_supervised",
        "dsh_supervised_balanced",
        "dsh_sketch",
        "cel",
        "cel_cl",
        "cel_scl",
        "full",
    ),
    "2": ("deep",),
    "4": ("cel", "cel_cl", "cel_scl", "full"),
    "6": ("sketch_a_net", "resnet50", "rnn", "cnn", "recognition_cel", "recognition_scl"),
    "zero-shot": ("full", "dlbhc", "dsh_sketch"),
}


def own_method(method: Config) -> Method:
    """A method of the study's own config, beside those of the paper.

    method: `label`; `changes` of the base, an objective takes the place of its own; `begins`: the
    methods whose weights it takes, both branches where none are named; `trains`: its stages, those
    of the whole network where none are named.
    """

    def apply(config: Config, changes: Config) -> None:
        for name, value in changes.items():
            if isinstance(value, ConfigDict) and name != "losses":
                apply(config[name], value)
            else:
                config[name] = copy.deepcopy(value)

    def change(config: Config) -> None:
        train_only(config, *method.get("trains", HASHING_STAGES))
        apply(config, method.changes)

    return Method(method.label, None, change, tuple(method.get("begins", ("cnn", "rnn"))))
