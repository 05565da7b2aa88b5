"""The methods of the paper's tables: how each changes a run's config, and what it starts from.

They share what they can: the base network, its pretrained branches, the epochs and the learning
rates. A row differs from its neighbours only in what its name says.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ml_collections import ConfigDict

from sketchjax.config import Config

HASHING_STAGES = ("joint", "center", "full")  # of SketchMate's five, those that read the head
SKETCHES_PER_CLASS = 8  # of a balanced batch
DEEP_FEATURES = 256  # of the fusion layer that table 2 hashes
RECOGNITION_FEATURES = 2048  # of the layer in place of the hash layer (section 4.4)


@dataclass(frozen=True)
class Method:
    """A row of a table.

    label: its name in our tables.
    paper: its name in the paper's tables; None if the paper lacks it.
    change: what it does to a copy of the base config.
    begins: the methods whose trained parts it starts from.
    by_bits: whether it depends on the length of the codes.
    """

    label: str
    paper: str | None
    change: Callable[[Config], None]
    begins: tuple[str, ...] = ()
    by_bits: bool = True


def train_only(config: Config, *stages: str) -> None:
    """Leave out the other stages. Raises KeyError when the plan lacks one of these."""
    missing = [name for name in stages if name not in config.plan]
    if missing:
        raise KeyError(f"{missing[0]} in its plan")
    # The others remain in the plan: a stage's place in it seeds the stage's random numbers.
    for name in config.plan:
        if name not in stages:
            config.stages[name].epochs = 0


def set_losses(config: Config, stage: str, **weights: float) -> None:
    """Give a stage this objective in place of its own."""
    config.stages[stage].losses = ConfigDict(weights)


def weight(config: Config, stage: str, loss: str) -> float:
    """The weight of a loss in a stage."""
    given: Any = config.stages[stage].losses[loss]
    if isinstance(given, ConfigDict):
        given = given.get("weight", 1.0)
    return given


def branch_only(branch: str, kind: str = "") -> Callable[[Config], None]:
    """One encoder with its own classifier: pretraining, and a recogniser of table 6.

    branch: the encoder's name, which is also that of its stage.
    kind: of encoder, with the settings of the one it replaces; empty: the base's own.
    """

    def change(config: Config) -> None:
        config.model.branches = (branch,)
        if kind:
            config.model.encoders[branch].kind = kind
        train_only(config, branch)

    return change


def single_branch(**losses: float) -> Callable[[Config], None]:
    """The CNN and the hash layer with these losses, for as many epochs as the full model."""

    def change(config: Config) -> None:
        config.model.branches = ("cnn",)
        train_only(config, *HASHING_STAGES)
        for stage in HASHING_STAGES:
            set_losses(config, stage, **losses)

    return change


def balanced_contrastive(config: Config) -> None:
    """Batches of few classes: about as many pairs agree as in the published code's batches."""
    single_branch(supervised_hashing=1.0)(config)
    # 8 of 64 sketches share a class: 1 pair in 9, where 345 classes at random give 1 in 345.
    classes = max(2, config.train.batch_size // SKETCHES_PER_CLASS)
    for stage in HASHING_STAGES:
        config.stages[stage].sampler = ConfigDict({"classes": classes, "each": 0})


def semantic_codes(config: Config) -> None:
    """Codes of word vectors, and a hash layer that learns them at the rate of the branch."""
    single_branch(semantic=1.0)(config)
    # At ten times that rate its codes collapsed: MAP 0.09 at 16 bits on QuickDraw-55.
    config.train.head_rate = 1.0


def stage_three(config: Config) -> None:
    """Both branches joined by the hash layer under cross entropy: where all variants start."""
    train_only(config, "joint")


def variant(*, center: str = "", quantization: bool = False) -> Callable[[Config], None]:
    """Stages 4 and 5 with these losses; their weights are the base config's.

    center: the centre loss to use, with the weight of `center`. Without one, the variant trains as
      long as the others under cross entropy only.
    quantization: whether the last stage has quantisation loss.
    """

    def change(config: Config) -> None:
        train_only(config, "center", "full")
        for stage in ("center", "full"):
            losses = {"cross_entropy": weight(config, stage, "cross_entropy")}
            if center:
                losses[center] = weight(config, stage, "center")
            if quantization and stage == "full":
                losses["quantization"] = weight(config, stage, "quantization")
            set_losses(config, stage, **losses)

    return change


def recogniser(*stages: str, center: bool = False) -> Callable[[Config], None]:
    """A layer of many features in place of the hash layer.

    stages: those it trains.
    center: whether they have sketch centre loss.
    """

    def change(config: Config) -> None:
        config.model.head = "features"
        config.model.features = RECOGNITION_FEATURES
        config.train.head_rate = 1.0  # a layer this wide learns fast enough
        losses = {"cross_entropy": 1.0}
        if center:
            # A distance is a sum over features: scaled to as many as the paper's longest code has.
            losses["center"] = weight(config, "center", "center") * 64 / RECOGNITION_FEATURES
        train_only(config, *stages)
        for stage in stages:
            set_losses(config, stage, **losses)

    return change


def deep_features(config: Config) -> None:
    """A fusion layer of few features, which table 2 hashes."""
    config.model.fusion_features = DEEP_FEATURES
    train_only(config, "joint")


METHODS: Mapping[str, Method] = {
    "cnn": Method("our CNN branch", "our CNN branch", branch_only("cnn"), by_bits=False),
    "rnn": Method("our RNN branch", "our RNN branch", branch_only("rnn"), by_bits=False),
    "joint": Method("stage 3", None, stage_three, ("cnn", "rnn")),
    "dlbhc": Method("DLBHC", "DLBHC", single_branch(cross_entropy=1.0), ("cnn",)),
    "dsh_supervised": Method(
        "DSH-Supervised", "DSH-Supervised", single_branch(supervised_hashing=1.0), ("cnn",)
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
        "Sketch-a-Net", "Sketch-a-Net", branch_only("cnn", "sketch_a_net"), by_bits=False
    ),
    "resnet50": Method("ResNet 50", "ResNet 50", branch_only("cnn", "resnet50"), by_bits=False),
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
    """A method that a study's config adds to those of the paper.

    method: `label`; `changes` of the base config, where a stage's `losses` replace all of its own;
      `begins`, the methods to start from, by default both branches; `trains`, its stages, by
      default those of the whole network.
    """

    def change(config: Config) -> None:
        train_only(config, *method.get("trains", HASHING_STAGES))
        apply_changes(config, method.changes)

    return Method(method.label, None, change, tuple(method.get("begins", ("cnn", "rnn"))))


def apply_changes(config: Config, changes: Config) -> None:
    """Set the fields of a config that `changes` names.

    An objective is replaced as a whole, and so is an encoder by one of another kind.
    """
    for name, value in changes.items():
        own = config.get(name)
        sections = isinstance(value, ConfigDict) and isinstance(own, ConfigDict)
        if sections and name != "losses" and value.get("kind") in (None, own.get("kind")):
            apply_changes(own, value)
        else:
            with config.unlocked():  # a study of the command line is locked, and encoders are rows
                config[name] = copy.deepcopy(value)
