"""What a config says about the paper: its open questions answered, its stages named.

Read from the plain `config` object of results.json, so that any run's page can be made anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sketchjax.config import STAGES
from sketchjax.config.relations import has_place
from sketchjax.paper.numbers import FULL
from sketchjax.report.material import OpenChoice, Stage

# What SketchMate leaves open, and the fields that answer it here; a section means all its fields.
OPEN_QUESTIONS = (
    ("what reads the picture", ("model.cnn.encoder", "model.branches")),
    ("AlexNet: width, stride of the first layer, units of the dense layers",
     ("model.cnn.width", "model.cnn.stem_stride", "model.cnn.dense_features")),
    ("AlexNet: batch normalisation", ("model.cnn.batch_norm",)),
    ("dropout", ("model.cnn.dropout", "model.rnn.dropout")),
    ("width into the fusion (0: both branches as they are)", ("model.fusion_features",)),
    ("longest sequence, in points", ("data.points",)),
    ("size of the picture and width of its strokes, in pixels",
     ("drawing.size", "drawing.stroke_width")),
    ("changes to training sketches", ("augmentation",)),
    ("batch size, and classes of a balanced batch (0: drawn from all alike)",
     ("train.batch_size", "train.classes_per_batch")),
    ("trained parts that the run began with", ("train.pretrained",)),
    ("iterations with the codes fixed, in stage 5", ("train.inner_steps",)),
    ("which epochs belong to which stage",
     tuple(f"stages.{stage}.epochs" for stage in STAGES)),
    ("learning rate and its course, by stage",
     tuple(f"stages.{stage}.{name}" for stage in STAGES
           for name in ("learning_rate", "schedule", "warmup_epochs"))),
    ("learning rate of the hash layer and the classifier, over the stage's", ("train.head_rate",)),
    ("regularisation", ("train.weight_decay", "train.clip_norm")),
    ("number format of the computation", ("model.dtype",)),
    ("random seed", ("seed",)),
)  # fmt: skip
SYMBOLS = {"cross_entropy": "CEL", "common_center": "CL", "center": "SCL", "quantization": "QL"}
# Rows of the paper's table 1 by the losses that trained them.
PAPER_ROWS = {
    frozenset({"cross_entropy"}): "Our+CEL",
    frozenset({"cross_entropy", "common_center"}): "Our+CEL+CL",
    frozenset({"cross_entropy", "center"}): "Our+CEL+SCL",
    frozenset({"cross_entropy", "center", "quantization"}): FULL,
}
SINGLE_BRANCHES = ("cnn", "rnn")


def open_choices(config: Mapping[str, Any]) -> list[OpenChoice]:
    """The config's answer to each question that the paper leaves open; unknown fields are left out.

    config: nested, as in results.json.
    """
    choices = []
    for question, names in OPEN_QUESTIONS:
        for name in names:
            value: Any = config
            for part in name.split("."):
                value = value.get(part) if isinstance(value, Mapping) else None
            choices += [OpenChoice(question, *leaf) for leaf in leaves(value, name)]
    return choices


def leaves(config: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of a nested config as (dotted name, value), in its own order; none for None."""
    if isinstance(config, Mapping) and config:
        for key, value in config.items():
            yield from leaves(value, f"{name}.{key}" if name else str(key))
    elif isinstance(config, list) and any(isinstance(item, Mapping) for item in config):
        for index, item in enumerate(config):
            yield from leaves(item, f"{name}.{index}")
    elif config is not None and name:
        yield name, config


def config_stages(config: Mapping[str, Any]) -> list[Stage]:
    """The stages that the config trains (epochs above 0), each with its objective and paper row.

    config: nested, as in results.json; its `stages` has epochs and weights of losses by stage.
    A branch alone has no code, hence no row.
    """
    stages = []
    given = config.get("stages") or {}
    branches = (config.get("model") or {}).get("branches", "both")
    pretrained = (config.get("train") or {}).get("pretrained", "")
    for name in STAGES:
        stage = given.get(name) or {}
        if not stage.get("epochs") or not has_place(name, branches, pretrained):
            continue
        losses = stage.get("losses") or {}
        # A ConfigDict sorts its keys: back to the paper's order, then whatever it does not know.
        weights = {loss: losses[loss] for loss in [*SYMBOLS, *losses] if losses.get(loss)}
        row = None if name in SINGLE_BRANCHES else PAPER_ROWS.get(frozenset(weights))
        stages.append(Stage(name, _objective(weights), float(stage["epochs"]), paper_row=row))
    return stages


def _objective(weights: Mapping[str, float]) -> str:
    """The objective in the paper's symbols: CEL + 0.01 SCL."""
    terms = []
    for loss, weight in weights.items():
        symbol = SYMBOLS.get(loss, loss)
        terms.append(symbol if weight == 1 else f"{weight:g} {symbol}")
    return " + ".join(terms)
