"""What a run's config says to a reader: its answers to open questions, and its stages.

Read from the plain `config` object of results.json, so the page of any run can be made again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sketchjax.report.material import OpenChoice, StageRow


def open_choices(
    config: Mapping[str, Any], questions: Iterable[tuple[str, str]]
) -> list[OpenChoice]:
    """The config's answer to each question; fields that the config lacks are skipped.

    config: nested, as in results.json.
    questions: (question, dotted name) pairs; the name of a section stands for all its fields.
    """
    choices = []
    for question, name in questions:
        value: Any = config
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        choices += [OpenChoice(question, *leaf) for leaf in leaves(value, name)]
    return choices


def leaves(config: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of a nested config as (dotted name, value), in its order.

    config: nested, as in results.json; None has no fields.
    name: of the section that config is; empty for a whole config.
    """
    if isinstance(config, Mapping) and config:
        for key, value in config.items():
            yield from leaves(value, f"{name}.{key}" if name else str(key))
    elif isinstance(config, list) and any(isinstance(item, Mapping) for item in config):
        for index, item in enumerate(config):
            yield from leaves(item, f"{name}.{index}")
    elif config is not None and name:
        yield name, config


def config_stages(
    config: Mapping[str, Any],
    symbols: Mapping[str, str],
    after_stages: Iterable[str] | None = None,
) -> list[StageRow]:
    """The stages that a run trained, in order, with their objectives.

    config: nested, as in results.json; its `stages` has epochs and losses by stage.
    symbols: the symbol of each loss by its name, in the order that objectives name them.
    after_stages: the stages that ran, in order (`after_stages` of results.json); None: those with
      epochs in the config.
    """
    given = config.get("stages") or {}
    if after_stages is None:
        after_stages = [name for name, stage in given.items() if (stage or {}).get("epochs")]
    stages = []
    for name in after_stages:
        stage = given.get(name) or {}
        epochs = stage.get("epochs")
        row = StageRow(
            name,
            objective(loss_weights(stage), symbols),
            None if epochs is None else float(epochs),
        )
        stages.append(row)
    return stages


def loss_weights(stage: Mapping[str, Any]) -> dict[str, float]:
    """The weights of a stage's losses by name, those of 0 left out.

    stage: from the config; a loss is a number, its weight, or a mapping of settings with `weight`
      among them, 1 where it is missing.
    """
    weights = {}
    for name, loss in (stage.get("losses") or {}).items():
        weight = loss.get("weight", 1.0) if isinstance(loss, Mapping) else loss
        if weight:
            weights[name] = float(weight)
    return weights


def objective(weights: Mapping[str, float], symbols: Mapping[str, str]) -> str:
    """An objective in symbols, such as CEL + 0.01 SCL.

    weights: of the losses, by name; a weight of 1 is not written.
    symbols: the symbol of each loss by its name, in the order of the terms; a loss without a
      symbol is written with its name, after those that have one.
    """
    known = [name for name in symbols if name in weights]
    terms = []
    for name in dict.fromkeys([*known, *weights]):
        symbol = symbols.get(name) or name
        terms.append(symbol if weights[name] == 1 else f"{weights[name]:g} {symbol}")
    return " + ".join(terms)
