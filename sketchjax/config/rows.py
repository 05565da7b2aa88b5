"""The rows that a config names itself, encoders and stages: how to write and how to read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ml_collections import ConfigDict

from sketchjax.config.fields import FIELDS
from sketchjax.data.inputs import PHOTO, SIDES, SKETCH
from sketchjax.losses.table import LOSSES, WEIGHT
from sketchjax.models.table import ALL_ENCODERS, ENCODERS, HEAD, of_side

# The fields of a stage's row, by their name within it.
STAGE_FIELDS = {
    path.removeprefix("stages.*."): field
    for path, field in FIELDS.items()
    if path.startswith("stages.*.")
}


def encoder(kind: str, **settings: Any) -> ConfigDict:
    """A row of `model.encoders`.

    kind: a row of ENCODERS; `validate` refuses any other.
    settings: of that kind; those left out have their defaults.
    """
    declared = ENCODERS[kind].settings if kind in ENCODERS else {}
    usual = {name: field.default for name, field in declared.items()}
    return ConfigDict({"kind": kind} | usual | settings, type_safe=False)


def stage(
    name: str,
    *,
    trains: tuple[str, ...],
    output: str = HEAD,
    inputs: tuple[str, ...] = (SKETCH,),
    losses: Mapping[str, Any] | None = None,
    **settings: Any,
) -> tuple[str, ConfigDict]:
    """A row of `stages`, for `set_stages`.

    name: any identifier; it appears in files and figures.
    trains: the parts it changes: encoders by name, `encoders` for all of them, `head`; of photos
      `photo_encoders` and `photo_head`. The classifier of its output is always trained with them.
    output: what its losses read: `head` for the head of each side, or an encoder's name for that
      encoder's own classifier.
    inputs: the sides that it reads, `sketch`, `photo` or both.
    losses: by name, a weight or {"weight": ..., SETTING: ...}; by default cross entropy only.
    settings: epochs, learning_rate, schedule, warmup_epochs, augmentation, sampler; see
      `config.fields`.
    """
    row: dict[str, Any] = {}
    for path, field in STAGE_FIELDS.items():
        section, _, leaf = path.rpartition(".")
        (row.setdefault(section, {}) if section else row)[leaf] = field.default
    row |= {"trains": trains, "output": output, "inputs": inputs, **settings}
    row["losses"] = dict(row["losses"] if losses is None else losses)
    row["sampler"] = {"classes": 0, "each": 0} | dict(row["sampler"])
    return name, ConfigDict(row, type_safe=False)


def set_stages(config: Any, *stages: tuple[str, ConfigDict]) -> None:
    """Replace the stages of a config by these, in this order. It then scores the last one only."""
    config.stages = ConfigDict(type_safe=False)
    for name, row in stages:
        config.stages[name] = row
    config.plan = tuple(name for name, _ in stages)
    config.evaluation.after_stages = ()


def set_encoders(config: Any, **encoders: ConfigDict) -> None:
    """Replace the encoders of a config's network by these, in this order."""
    config.model.encoders = ConfigDict(type_safe=False)
    for name, row in encoders.items():
        config.model.encoders[name] = row
    config.model.branches, config.model.photo_branches = tuple(encoders), ()


def set_photo_encoders(config: Any, **encoders: ConfigDict) -> None:
    """Add encoders of photos to a config's network, in this order, in place of earlier ones."""
    for name, row in encoders.items():
        config.model.encoders[name] = row
    config.model.photo_branches = tuple(encoders)


@dataclass(frozen=True)
class StageRow:
    """A stage of the plan, with defaults for everything that its row leaves out.

    number: its place in the plan, which seeds its random numbers.
    losses: those with a weight above 0, each as {"weight": ..., SETTING: ...}.
    classes: of a balanced batch; 0: batches are drawn from all sketches alike.
    each: sketches per class of a balanced batch; 0: as many as the batch size allows.
    inputs: the sides that it reads.
    The others are the fields of `stages.*` in `config.fields`.
    """

    name: str
    number: int
    trains: tuple[str, ...]
    output: str
    losses: dict[str, dict[str, Any]]
    epochs: float
    learning_rate: float
    schedule: str
    warmup_epochs: float
    classes: int
    each: int
    augmentation: float = 1.0
    inputs: tuple[str, ...] = (SKETCH,)


def stage_rows(config: Any) -> list[StageRow]:
    """The stages that a config runs, in order: those with epochs and something to train.

    A stage that reads one encoder has nothing to train if the network lacks that encoder, or if
    the encoders come trained (`train.pretrained`).
    """
    rows = []
    for number, name in enumerate(config.plan):
        own = config.stages[name]
        value = lambda key, own=own: own.get(key, STAGE_FIELDS[key].default)  # noqa: E731
        sampler = own.get("sampler", {})
        row = StageRow(
            name=name,
            number=number,
            trains=tuple(own.trains),
            output=value("output"),
            losses=loss_terms(value("losses")),
            epochs=value("epochs"),
            learning_rate=value("learning_rate"),
            schedule=value("schedule"),
            warmup_epochs=value("warmup_epochs"),
            classes=sampler.get("classes", 0),
            each=sampler.get("each", 0),
            augmentation=value("augmentation"),
            inputs=tuple(side for side in SIDES if side in value("inputs")),
        )
        encoders = (*config.model.branches, *config.model.photo_branches)
        if row.epochs and has_place(row.output, encoders, config.train.pretrained):
            rows.append(row)
    return rows


def has_place(output: str, encoders: Any, pretrained: str) -> bool:
    """Whether a stage that reads this output has anything to train.

    encoders: of the network, on both sides.
    pretrained: `train.pretrained` of the config.
    """
    return output == HEAD or (output in encoders and not pretrained)


def loss_terms(losses: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Losses with a weight above 0, each with all its settings.

    losses: by name, a weight or a mapping of weight and settings.
    """
    terms = {}
    # Sorted: an objective is summed in this order, and a sum of floats depends on it.
    for name in sorted(losses):
        declared, given = LOSSES[name], losses[name]
        own: dict[str, Any] = (
            dict(given) if isinstance(given, Mapping | ConfigDict) else {"weight": given}
        )
        usual = {"weight": WEIGHT.default}
        usual |= {key: field.default for key, field in declared.settings.items()}
        own = {
            key: value if isinstance(value, str) else float(value)
            for key, value in (usual | own).items()
        }
        if own["weight"]:
            terms[name] = own
    return terms


def encoder_rows(config: Any, branches: Any) -> dict[str, dict[str, Any]]:
    """A side's encoders in order, each as {"kind": ..., SETTING: ...}, with all settings.

    branches: their names.
    """
    return {name: dict(_complete(config.model.encoders[name])) for name in branches}


def _complete(row: Any) -> dict[str, Any]:
    settings = ENCODERS[row.kind].settings
    usual = {name: field.default for name, field in settings.items()}
    return {"kind": row.kind} | usual | {name: row[name] for name in settings if name in row}


def trained_parts(
    trains: tuple[str, ...], branches: Any, photo_branches: Any = ()
) -> tuple[str, ...]:
    """The parts named by a stage's `trains`, with the words for all encoders of a side replaced.

    branches, photo_branches: the encoders of the two sides.
    """
    everything = {ALL_ENCODERS: branches, of_side(ALL_ENCODERS, PHOTO): photo_branches}
    parts = (name for part in trains for name in everything.get(part, (part,)))
    return tuple(dict.fromkeys(parts))
