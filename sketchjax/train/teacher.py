"""A frozen model whose embeddings a stage's losses imitate: it sees what the student sees."""

from __future__ import annotations

from typing import Any, NamedTuple

from sketchjax.config import Config, stage_rows
from sketchjax.errors import CheckpointError, ConfigError
from sketchjax.losses.table import LOSSES
from sketchjax.models.architecture import FITS
from sketchjax.models.network import Network
from sketchjax.models.table import HEAD
from sketchjax.retrieval.model import load


class Teacher(NamedTuple):
    """A trained network that stays as it is.

    network: the teacher's.
    variables: of it.
    fingerprint: the sha256 of the model.
    """

    network: Network
    variables: Any
    fingerprint: str


def needs_teacher(losses: Any) -> bool:
    """Whether any of these losses, by name, imitates a teacher."""
    return any("teacher" in LOSSES[name].needs for name in losses)


def load_teacher(config: Config, student: Network) -> Teacher | None:
    """The model of `train.teacher`; None where no stage needs one.

    student: the network to be trained.
    Raises ConfigError when the file cannot be read, or its embeddings cannot be this network's
    targets: another width, a side that it lacks, photos or rasters of another size.
    """
    rows = [row for row in stage_rows(config) if needs_teacher(row.losses)]
    if not rows:
        return None
    path = config.train.teacher
    try:
        model = load(path)
    except CheckpointError as error:
        raise ConfigError(f"train.teacher: {error}") from error
    if model.output != HEAD:
        raise ConfigError(
            f"train.teacher={path} was trained up to its encoder {model.output}: it has no "
            "embeddings; give the model of a finished run"
        )
    own, wanted = model.architecture, student.architecture
    problems = []
    if own.width != wanted.width:
        problems.append(
            f"train.teacher={path} has embeddings of {own.width} features, and model.bits="
            f"{wanted.width}; they must be equal"
        )
    for side in dict.fromkeys(side for row in rows for side in row.inputs):
        theirs, ours = own.forms.get(side), wanted.forms[side]
        if theirs is None:
            problems.append(f"train.teacher={path} has no encoder of {side}s")
        elif theirs.kind != ours.kind:
            problems.append(
                f"train.teacher={path} reads {side}s as {theirs.kind}, and this network as "
                f"{ours.kind}"
            )
        # Strokes are drawn by each network as it needs them; pictures come in one size.
        elif theirs.kind != "strokes" and theirs.size != ours.size:
            problems.append(
                f"train.teacher={path} reads {side}s of {theirs.size} pixels, and this network of "
                f"{ours.size}; they must be equal"
            )
        elif theirs.fit != ours.fit:
            problems.append(
                f"train.teacher={path} reads {side}s with drawing.fit={FITS[theirs.fit]}, and this "
                f"network with {FITS[ours.fit]}; they must be equal"
            )
        elif theirs.contours and not ours.contours:
            problems.append(f"train.teacher={path} reads contours, and this network does not")
    if problems:
        raise ConfigError(problems)
    return Teacher(model.network, model.variables, model.fingerprint)
